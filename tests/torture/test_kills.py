"""Runs that are killed and stopped at random moments end as those that are not."""

import functools
import os
import random
import signal
import time
from pathlib import Path

import pytest

from tests.commands import metrics, summary
from tests.launch.forked import gone, small, start
from tests.topology.ranks import checkpoint
from tests.topology.test_resume import NORMALIZED, assert_equal_runs

REPLAY = ("algo.learning_starts=50", "algo.replay_ratio=0.2", "memory.size=400")
ENVIRONMENTS = {
    "CartPole": ("env=cartpole", "env.max_episode_steps=60"),
    "LunarLander": ("env=lunarlander", "env.max_episode_steps=40"),
    "Pendulum by SAC": ("env=pendulum", "env.max_episode_steps=40", "algo=sac", "algo.critic_dropout=0.1", *REPLAY),
    "pictures by Rainbow": (
        "env=gym", "env.id=tests.environments:Picture-v0", "env.images=pixels", "env.frame_stack=16", "algo=rainbow",
        "algo.hidden_sizes=[16]", *REPLAY,
    ),
    "CartPole with an LSTM": ("env=cartpole", "env.max_episode_steps=60", "model=lstm", "model.sequence_length=2"),
}  # fmt: skip
"""The rows of the pictures are so large that a run's replay memory lies in several files."""
TOPOLOGIES = {
    "coupled 1": (),
    "coupled 2": ("fabric.devices=2",),
    "decoupled 3": ("topology=decoupled", "fabric.devices=3"),
}
CASES = [(environment, topology) for environment in ENVIRONMENTS for topology in TOPOLOGIES]
KILLS, SIGNALS = 50, 20
STARTS_KILLED = 3
"""Starts of each run that are killed before it is left alone."""


def words(environment: str, topology: str, run_dir: Path) -> list[str]:
    """Return the command of a run of a few seconds: 24 updates with a checkpoint each, filmed and evaluated."""
    steps = 24 * 16 * (2 if topology == "coupled 2" else 1)
    evaluated = ("capture_video=true", "eval.episodes=2", f"eval.every={steps // 4}")
    fixed = (*evaluated, "checkpoint.every=1", f"total_timesteps={steps}", *NORMALIZED)
    return small(*ENVIRONMENTS[environment], *TOPOLOGIES[topology], *fixed, "resume=auto", f"hydra.run.dir={run_dir}")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Return the directory of the uninterrupted run of a case, and the seconds that it took."""

    @functools.cache
    def run(case: tuple[str, str]) -> tuple[Path, float]:
        folder = tmp_path_factory.mktemp("whole")
        begin = time.monotonic()
        command = start(*words(*case, folder / "RUN"), cwd=folder / "cwd")
        assert command.wait() == 0, command.stderr
        return folder / "RUN", time.monotonic() - begin

    return run


@pytest.fixture(scope="module")
def counts(rows):
    """Count what was done."""
    done = {"runs": 0, "kills": 0, "equal": 0, "stopped": 0, "equal after a stop": 0}
    yield done
    if done["runs"]:
        result = f"{done['equal']} of {done['runs']} equal to the uninterrupted run, after {done['kills']} kills"
        rows["runs killed by SIGKILL at random moments, resumed"] = result
    if done["stopped"]:
        result = f"{done['equal after a stop']} of {done['stopped']} equal to the uninterrupted run"
        rows["runs stopped by SIGINT or SIGTERM at a random moment, resumed"] = result


@pytest.mark.torture
@pytest.mark.parametrize("number", range(KILLS))
def test_a_run_that_is_killed_at_random_moments_equals_one_that_is_not(number, whole, counts, tmp_path):
    case, draw = CASES[number % len(CASES)], random.Random(number)
    reference, seconds = whole(case)
    counts["runs"] += 1
    for attempt in range(STARTS_KILLED):
        command = start(*words(*case, tmp_path / "RUN"), cwd=tmp_path / str(attempt))
        time.sleep(draw.uniform(0.1, seconds))
        counts["kills"] += summary_state(tmp_path / "RUN") == "running"
        os.kill(command.pid, signal.SIGKILL)  # its ranks end with it
        command.wait()
        assert gone(command.cwd)
    command = start(*words(*case, tmp_path / "RUN"), cwd=tmp_path / "last")
    assert command.wait() == 0, command.stderr
    assert summary(tmp_path / "RUN")["eval"] == summary(reference)["eval"]
    assert_equal_runs(reference, tmp_path / "RUN")
    counts["equal"] += 1


@pytest.mark.torture
@pytest.mark.parametrize("number", range(SIGNALS))
def test_a_run_that_is_stopped_at_a_random_moment_equals_one_that_is_not(number, whole, counts, tmp_path):
    case, draw = CASES[number % len(CASES)], random.Random(number)
    signum = draw.choice([signal.SIGINT, signal.SIGTERM])
    reference, seconds = whole(case)
    counts["stopped"] += 1
    command = start(*words(*case, tmp_path / "RUN"), cwd=tmp_path / "first")
    while not ((tmp_path / "RUN" / "metrics.csv").exists() and metrics(tmp_path / "RUN")):
        time.sleep(0.01)
    time.sleep(draw.uniform(0, 0.4 * seconds))
    assert summary_state(tmp_path / "RUN") == "running"
    os.kill(command.pid, signum)
    assert command.wait(20) == 128 + signum
    assert summary_state(tmp_path / "RUN") == "interrupted"
    assert checkpoint(tmp_path / "RUN").recorder.updates >= 1
    command = start(*words(*case, tmp_path / "RUN"), cwd=tmp_path / "last")
    assert command.wait() == 0, command.stderr
    assert_equal_runs(reference, tmp_path / "RUN")
    counts["equal after a stop"] += 1


def summary_state(run_dir: Path) -> str:
    return summary(run_dir)["state"] if (run_dir / "summary.json").exists() else ""
