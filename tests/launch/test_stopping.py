"""However a run ends, all of it ends, soon, and says why."""

import os
import re
import signal
import time
from pathlib import Path

import pytest

from rlexp.errors import Interrupted
from rlexp.launch.stopping import stoppable
from tests.commands import summary, video, wait_for
from tests.launch.forked import Command, done, gone, processes_in, small, start
from tests.launch.trouble import MESSAGE

COUPLED = ("topology=coupled", "fabric.devices=2")
DECOUPLED = ("topology=decoupled", "fabric.devices=3")
TOPOLOGIES = {"coupled": COUPLED, "decoupled": DECOUPLED}
ENDLESS = ("total_timesteps=100000000", "checkpoint.every=0")
LONG_UPDATE = ("algo.update_epochs=1000000", "algo.per_rank_batch_size=4")


RAISED = rf"RuntimeError: {' '.join(MESSAGE.split())} \(\S+trouble\.py:\d+\)"


def trouble(what: str, *, at: int = 1, rank: int = -1, folder: Path | None = None) -> list[str]:
    words = ["env=gym", "env.id=tests.launch.trouble:Trouble-v0", "env.check=false"]
    words += [f"+env.kwargs.what={what}", f"+env.kwargs.at={at}", f"+env.kwargs.rank={rank}"]
    return words if folder is None else [*words, f"+env.kwargs.folder={folder}"]


def under_way(phase: str, tmp_path: Path, *overrides: str) -> Command:
    """Start an endless run and return it when it is in the first rollout ('collect') or update ('update')."""
    begun = tmp_path / "begun"  # each rank that steps leaves a file
    begun.mkdir()
    if phase == "collect":  # slow steps: a rollout of a minute
        words = [*trouble("slow", folder=begun), "algo.num_steps=1000"]
    else:  # 2 environments take 16 steps a rollout; the 16th is followed by an update of hours
        words = [*trouble("note", at=16, folder=begun), *LONG_UPDATE]
    command = start(*small(*words, *ENDLESS, *overrides), cwd=tmp_path / "cwd")
    players = 2 if {*COUPLED} <= {*overrides} else 1
    wait_for(lambda: len(list(begun.iterdir())) >= players, f"the {phase} to begin; {command.stderr}")
    time.sleep(0.3)
    assert len(command.ranks()) >= 1
    return command


def assert_failed(command: Command, code: int, message: str) -> dict:
    """Require exit code 1, one line on the standard error that ends in `message`, and a summary that agrees."""
    assert code == 1, command.stderr
    lines = command.stderr.splitlines()
    assert lines[-1].startswith("error: "), command.stderr
    assert len(lines) == 1, command.stderr
    values = summary(command.cwd / "RUN")
    assert values["state"] == "failed"
    assert re.fullmatch(message, values["error"]), values["error"]
    assert lines[0] == f"error: {values['error']}"
    return values


# A rank that is killed


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("phase", ["collect", "update"])
@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_a_killed_rank_ends_the_run_within_10_seconds_and_is_named(topology, phase, rank, tmp_path):
    command = under_way(phase, tmp_path, *TOPOLOGIES[topology])
    ranks = command.ranks()
    assert len(ranks) == (2 if topology == "coupled" else 3)
    begin = time.monotonic()
    os.kill(ranks[rank], signal.SIGKILL)
    code = command.wait(10)
    assert not processes_in(command.cwd)
    assert time.monotonic() - begin < 10
    assert_failed(command, code, f"rank {rank} was killed by SIGKILL")
    assert f"rank {rank} was killed by SIGKILL" in (command.cwd / "RUN" / "main.log").read_text()


def test_all_ranks_killed_at_once_end_the_run(tmp_path):
    command = under_way("collect", tmp_path, *COUPLED)
    for pid in command.ranks():
        os.kill(pid, signal.SIGKILL)
    assert_failed(command, command.wait(10), "rank [01] was killed by SIGKILL")


@pytest.mark.parametrize("devices", [1, 2])
def test_a_rank_that_is_reported_to_stop_from_outside_is_no_completed_run(devices, tmp_path):
    """SIGTERM to a rank alone, as a machine short of something might send it."""
    command = under_way("collect", tmp_path, "topology=coupled", f"fabric.devices={devices}", "env.num_envs=4")
    os.kill(command.ranks()[-1], signal.SIGTERM)
    assert_failed(command, command.wait(10), rf"rank {devices - 1} (was|ended).*(SIGTERM|143).*")


@pytest.mark.parametrize(
    ("topology", "vectorization"), [("coupled", "sync"), ("coupled", "async"), ("decoupled", "sync")]
)
def test_ranks_end_with_the_command_that_started_them(topology, vectorization, tmp_path):
    command = under_way("collect", tmp_path, *TOPOLOGIES[topology], f"env.vectorization={vectorization}")
    assert len(processes_in(command.cwd)) >= 3
    os.kill(command.pid, signal.SIGKILL)
    assert command.wait(5) == -signal.SIGKILL
    assert gone(command.cwd, 5)


def test_environment_processes_end_with_the_rank_that_is_killed(tmp_path):
    command = under_way("collect", tmp_path, *COUPLED, "env.vectorization=async")
    assert len(processes_in(command.cwd)) == 1 + 2 + 4
    os.kill(command.ranks()[1], signal.SIGKILL)
    assert command.wait(10) == 1
    assert command.stderr.splitlines()[-1] == "error: rank 1 was killed by SIGKILL"
    assert gone(command.cwd, 1)


# An environment in trouble


@pytest.mark.parametrize(
    ("topology", "rank"), [("coupled", 0), ("coupled", 1), ("decoupled", 0)], ids=["rank 0", "rank 1", "player"]
)
def test_an_environment_that_raises_is_reported_with_its_rank_and_its_own_traceback(topology, rank, tmp_path):
    code, command = done(*trouble("raise", at=20, rank=rank), *TOPOLOGIES[topology], cwd=tmp_path / "cwd")
    values = assert_failed(command, code, rf"rank {rank}: environment \d: {RAISED}")
    text = (command.cwd / "RUN" / "main.log").read_text()
    assert "in _befall" in text
    assert "trouble.py" in text
    assert text.count("Traceback") == 2  # the first cause and its one line alone, not what others made of it
    assert values["updates"] == 1
    assert values["env_steps"] == 16 * (2 if topology == "coupled" else 1)
    assert gone(command.cwd, 1)


def test_an_environment_that_raises_at_once_is_reported(tmp_path):
    code, command = done(*trouble("raise", at=0, rank=1), *COUPLED, cwd=tmp_path / "cwd")
    assert_failed(command, code, rf"rank 1: environment \d: {RAISED}")


def test_an_environment_process_that_raises_is_reported_with_its_own_traceback(tmp_path):
    code, command = done(*trouble("raise", at=10, rank=1), *COUPLED, "env.vectorization=async", cwd=tmp_path / "cwd")
    assert_failed(command, code, rf"rank 1: environment \d: {RAISED}")
    assert "in _befall" in (command.cwd / "RUN" / "main.log").read_text()


@pytest.mark.parametrize("devices", [1, 2])
def test_an_endless_message_does_not_hold_up_the_end(devices, tmp_path):
    command = start(*small(*trouble("shout", at=10), f"fabric.devices={devices}"), cwd=tmp_path / "cwd")
    values = assert_failed(command, command.wait(15), r"rank [01]: environment \d: RuntimeError: glass glass .*")
    assert len(values["error"]) < 2000


@pytest.mark.parametrize(("topology", "rank"), [("coupled", 1), ("decoupled", 0)], ids=["rank 1", "player"])
def test_an_environment_that_hangs_is_reported_with_its_rank_and_where_it_stands(topology, rank, tmp_path):
    begin = time.monotonic()
    words = [*trouble("hang", at=20, rank=rank), *TOPOLOGIES[topology], "fabric.timeout_seconds=1.5"]
    code, command = done(*words, cwd=tmp_path / "cwd")
    assert time.monotonic() - begin < 15
    assert_failed(command, code, rf"rank {rank} hung for fabric\.timeout_seconds=1\.5; its stacks are in main\.log")
    text = (command.cwd / "RUN" / "main.log").read_text()
    assert "trouble.py" in text
    assert "in _befall" in text
    assert gone(command.cwd, 1)


@pytest.mark.parametrize("what", ["hang", "stuck"])
def test_an_environment_that_hangs_in_its_first_reset_is_reported(what, tmp_path):
    code, command = done(*trouble(what, at=0, rank=1), *COUPLED, "fabric.timeout_seconds=1.5", cwd=tmp_path / "cwd")
    assert_failed(command, code, r"rank 1 hung for fabric\.timeout_seconds=1\.5; its stacks are in main\.log")


@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_an_environment_that_returns_another_shape_is_reported(topology, tmp_path):
    code, command = done(*trouble("shape", at=20, rank=0), *TOPOLOGIES[topology], cwd=tmp_path / "cwd")
    assert_failed(command, code, r"rank 0: environment \d: the observation has shape \[5\], but its space \[4\] .*")
    assert "Traceback" in (command.cwd / "RUN" / "main.log").read_text()


def test_an_environment_that_ends_its_process_is_reported(tmp_path):
    code, command = done(*trouble("exit", at=20, rank=1), *COUPLED, cwd=tmp_path / "cwd")
    assert_failed(command, code, "rank 1 ended with exit code 7")


# Stopped by a person


def stop(command: Command, how: str) -> int:
    """Stop a command: by a signal to it alone, or by Ctrl-C, which goes to its whole process group; return the code."""
    if how == "Ctrl-C":
        os.killpg(command.pid, signal.SIGINT)
    else:
        os.kill(command.pid, getattr(signal, how))
    return command.wait(5)


@pytest.mark.parametrize(
    ("topology", "phase", "how"),
    [
        ("coupled", "collect", "SIGINT"),
        ("coupled", "collect", "Ctrl-C"),
        ("coupled", "update", "SIGTERM"),
        ("decoupled", "collect", "SIGTERM"),
        ("decoupled", "update", "Ctrl-C"),
        ("one", "update", "Ctrl-C"),
        ("one", "collect", "SIGTERM"),
    ],
)
def test_a_run_that_is_stopped_ends_within_5_seconds_and_is_interrupted(topology, phase, how, tmp_path):
    overrides = TOPOLOGIES.get(topology, ("topology=coupled", "fabric.devices=1"))
    if topology == "one":
        command = under_way(phase, tmp_path, "fabric.devices=1")
    else:
        command = under_way(phase, tmp_path, *overrides)
    code = stop(command, how)
    assert not processes_in(command.cwd)
    name = "SIGTERM" if how == "SIGTERM" else "SIGINT"
    assert code == (143 if how == "SIGTERM" else 130)
    assert command.stderr == f"stopped by {name}\n"
    values = summary(command.cwd / "RUN")
    assert (values["state"], values["error"]) == ("interrupted", f"stopped by {name}")


def test_a_run_that_is_stopped_closes_its_video(tmp_path):
    command = under_way("collect", tmp_path, *COUPLED, "capture_video=true", "algo.num_steps=1000")
    time.sleep(1)
    assert stop(command, "SIGINT") == 130
    films = list((command.cwd / "RUN" / "videos" / "train").glob("*.mp4"))
    assert films
    assert all(video(path) for path in films)
    assert gone(command.cwd, 1)


def test_ranks_that_cannot_stop_are_killed_within_5_seconds(tmp_path):
    begun = tmp_path / "begun"
    begun.mkdir()
    command = start(*small(*trouble("stuck", at=5, folder=begun), *COUPLED), cwd=tmp_path / "cwd")
    wait_for(lambda: len(list(begun.iterdir())) == 2, "both ranks")
    assert stop(command, "SIGTERM") == 143
    assert not processes_in(command.cwd)
    assert summary(command.cwd / "RUN")["state"] == "interrupted"


def test_a_signal_that_comes_where_python_ignores_exceptions_stops_the_program_all_the_same():
    class Dying:
        def __del__(self):
            os.kill(os.getpid(), signal.SIGTERM)
            for _ in range(1000):  # the handler raises here, and Python ignores it
                pass

    begin = time.monotonic()
    with pytest.raises(Interrupted) as caught, stoppable():
        Dying()
        time.sleep(5)
    assert caught.value.signum == signal.SIGTERM
    assert time.monotonic() - begin < 1
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_a_second_signal_does_not_tear_the_end(tmp_path):
    command = under_way("collect", tmp_path, *COUPLED)
    os.kill(command.pid, signal.SIGTERM)
    for _ in range(5):
        time.sleep(0.02)
        os.killpg(command.pid, signal.SIGINT)
    assert command.wait(5) in (143, 130)
    assert gone(command.cwd, 1)
    assert summary(command.cwd / "RUN")["state"] == "interrupted"


@pytest.mark.slow
@pytest.mark.parametrize("delay", [step / 20 for step in range(20)])
def test_a_run_that_is_stopped_as_it_starts_leaves_nothing_running(delay, tmp_path):
    command = start(*small(*trouble("slow"), *DECOUPLED, *ENDLESS), cwd=tmp_path / "cwd")
    time.sleep(delay)
    os.kill(command.pid, signal.SIGTERM)
    assert command.wait(5) in (143, -signal.SIGTERM)
    assert gone(command.cwd, 1)
    if (command.cwd / "RUN" / "summary.json").exists():
        assert summary(command.cwd / "RUN")["state"] in ("interrupted", "running")
