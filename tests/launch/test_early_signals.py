"""A signal that comes while a rank is being started."""

import subprocess
import sys

import pytest

from tests.commands import ENDLESS, environment, processes_with, summary

SCRIPT = """
import os, signal, sys
from rlexp.main import cli
os.register_at_fork(after_in_child=lambda: os.kill(os.getpid(), signal.{name}))
sys.argv[1:] = {arguments!r}
cli()
"""
"""The command, each of whose children gets a signal in the moment of its fork."""


@pytest.mark.parametrize("name", ["SIGTERM", pytest.param("SIGINT", marks=pytest.mark.slow)])
def test_a_signal_between_a_ranks_fork_and_its_handlers_is_not_lost(name, tmp_path):
    """Lost, it would leave a rank that runs for ever."""
    script = SCRIPT.format(name=name, arguments=[*ENDLESS, f"hydra.run.dir={tmp_path}/RUN"])
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=60
    )
    assert done.stderr == f"error: rank 0 was stopped by {name}\n"
    assert done.returncode == 1
    assert summary(tmp_path / "RUN")["state"] == "failed"
    assert not processes_with(str(tmp_path / "RUN"))
