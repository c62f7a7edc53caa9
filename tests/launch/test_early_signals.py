"""A signal that comes while a rank is being started."""

import os
import signal

import pytest

from tests.commands import summary
from tests.launch.forked import done, gone


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_between_a_ranks_fork_and_its_handlers_is_not_lost(number, tmp_path):
    """Lost, it would leave a rank that runs for ever; here each child of the command gets it at its fork."""

    def signal_children() -> None:
        os.register_at_fork(after_in_child=lambda: os.kill(os.getpid(), number))

    code, command = done("total_timesteps=100000000", cwd=tmp_path / "cwd", before=signal_children)
    assert command.stderr == f"error: rank 0 was stopped by {number.name}\n"
    assert code == 1
    assert summary(command.cwd / "RUN")["state"] == "failed"
    assert gone(command.cwd)
