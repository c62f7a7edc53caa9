"""Signals: while Python imports, while a rank is being started, and what is said of how to resume."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time

import pytest

from rlexp.command.paths import with_run_directory
from tests.commands import ENDLESS, environment, metrics, summary, wait_for
from tests.launch.forked import done, gone, small, start
from tests.launch.test_stopping import trouble

EARLY = [(0.3, signal.SIGINT), (0.6, signal.SIGTERM), (1.2, signal.SIGINT)]
LATER = [(0.2, signal.SIGTERM), *((seconds, number) for seconds in (0.4, 0.9, 1.6, 2.0, 2.5, 3.0, 4.0, 5.0)
                                 for number in (signal.SIGINT, signal.SIGTERM))]  # fmt: skip


@pytest.mark.parametrize(
    ("seconds", "number"), [*EARLY, *(pytest.param(*each, marks=pytest.mark.slow) for each in LATER)]
)
@pytest.mark.parametrize("module", ["rlexp.main", pytest.param("rlexp.evaluate", marks=pytest.mark.slow)])
def test_a_signal_in_the_first_seconds_ends_in_one_line(module, seconds, number, tmp_path):
    """The times count from where Python starts to import rlexp: before that no code of rlexp has run."""
    words = [*ENDLESS, "hydra.run.dir=RUN"] if module == "rlexp.main" else ["checkpoint=none.safetensors"]
    python = [sys.executable, "-X", "importtime", "-m", module]
    process = subprocess.Popen(
        [*python, *words], cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, start_new_session=True,
    )  # fmt: skip
    assert process.stderr is not None
    read = ""
    while "rlexp" not in read:  # the line on rlexp.early
        read = process.stderr.readline()
    time.sleep(seconds)
    if number == signal.SIGINT:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    lines = [line for line in stderr.splitlines() if not line.startswith("import time:")]
    if module == "rlexp.evaluate" and process.returncode == 1:  # it was done before
        assert lines[-1].startswith("error: checkpoint=none.safetensors")
        return
    assert (lines, process.returncode) == ([f"stopped by {number.name}"], 128 + number)
    if (tmp_path / "RUN").exists():
        assert json.loads((tmp_path / "RUN" / "summary.json").read_text())["state"] == "interrupted"


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_a_run_that_is_stopped_says_what_is_saved_and_the_command_that_resumes_it(number, tmp_path):
    run_dir = tmp_path / "cwd" / "a run's"
    command = start(*small("total_timesteps=100000000", f"hydra.run.dir={run_dir.name}"), cwd=tmp_path / "cwd")
    wait_for(lambda: (run_dir / "metrics.csv").exists() and len(metrics(run_dir)) > 2, "updates")
    os.kill(command.pid, number)
    assert command.wait(10) == 128 + number
    assert command.stderr == f"stopped by {number.name}\n"
    *_, said, line = command.stdout.splitlines()
    assert said == f"saved after {summary(run_dir)['env_steps']:,} steps; continue with:"
    words = shlex.split(line)
    assert words[words.index("rlexp.main") + 1 :] == ["resume=a run's"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(command.cwd)
        assert with_run_directory(["resume=a run's"])[-1].endswith("a run\\'s'")


@pytest.mark.parametrize(("every", "saved"), [(1, "saved after 16 steps; continue with:"), (0, "nothing was saved")])
def test_a_run_that_fails_says_what_is_saved_and_where_its_log_is(every, saved, tmp_path):
    code, command = done(*trouble("raise", at=26), f"checkpoint.every={every}", cwd=tmp_path / "cwd")
    assert code == 1
    lines = command.stdout.splitlines()
    assert lines[lines.index("its log:") + 1] == "RUN/main.log"
    assert lines[lines.index("its log:") + 2].startswith(saved)
    if every:
        assert lines[-1].endswith("rlexp.main resume=RUN env.id=tests.launch.trouble:Trouble-v0")


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
