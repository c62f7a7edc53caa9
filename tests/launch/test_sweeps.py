"""Many jobs in one command: each true to itself, and nothing of one left for the next."""

import itertools
import os
import signal
import time
from pathlib import Path

import pytest
from hydra.core.plugins import Plugins
from omegaconf import OmegaConf

from tests.commands import command, summary, wait_for
from tests.launch.forked import Command, gone, processes_in, small, start
from tests.topology.ranks import policy_of

AXES = ("topology=coupled,decoupled", "fabric.devices=2,3", "seed=1,2")
TROUBLE = ("env=gym", "env.id=tests.launch.trouble:Trouble-v0", "+env.kwargs.rank=1", "+env.kwargs.at=6")


def words(*overrides: str) -> list[str]:
    """Return the overrides of a sweep of small jobs into SWEEP."""
    jobs = [word for word in small(*overrides) if not word.startswith("hydra.run.dir")]
    return ["--multirun", "hydra.sweep.dir=SWEEP", *jobs]


def jobs(cwd: Path) -> list[Path]:
    """Return the directories of the jobs of a sweep in the order of their numbers."""
    folders = [path for path in (cwd / "SWEEP").iterdir() if path.is_dir()]
    return sorted(folders, key=lambda path: int(path.name.partition("-")[0]))


def assert_whole(cwd: Path, seeds: tuple[int, ...] = (1, 2)) -> None:
    """Require a completed job of each kind, each as its overrides say, and nothing beside them."""
    assert [path.name for path in cwd.iterdir()] == ["SWEEP"]
    assert {path.name for path in (cwd / "SWEEP").iterdir() if path.is_file()} == {"multirun.yaml", "sweep.csv"}
    folders = jobs(cwd)
    expected = list(itertools.product(("coupled", "decoupled"), (2, 3), seeds))
    assert len(folders) == len(expected)
    for folder, (topology, devices, seed) in zip(folders, expected, strict=True):
        overrides = OmegaConf.to_object(OmegaConf.load(folder / ".hydra" / "overrides.yaml"))
        for word in (f"topology={topology}", f"fabric.devices={devices}", f"seed={seed}"):
            assert word in overrides
        values = summary(folder)
        assert (values["state"], values["error"]) == ("completed", None)
        assert values["world_size"] == devices
        players = devices if topology == "coupled" else 1
        assert values["env_steps"] == values["updates"] * 16 * players == 64 // (16 * players) * 16 * players
        assert (folder / "checkpoints" / "last.ckpt").is_file()
    assert not processes_in(cwd)


@pytest.fixture(scope="module")
def in_sequence(tmp_path_factory) -> Command:
    command = start(*words(*AXES), cwd=tmp_path_factory.mktemp("sequence") / "cwd")
    assert command.wait() == 0, command.stderr
    return command


def test_each_job_of_a_sweep_over_both_topologies_is_what_it_says(in_sequence):
    assert in_sequence.stderr == ""
    assert_whole(in_sequence.cwd)


def test_a_sweep_leaves_the_environment_variables_as_they_were(in_sequence):
    before, after = in_sequence.variables
    assert not {"MASTER_ADDR", "MASTER_PORT", "RANK", "WORLD_SIZE", "LOCAL_RANK", "PL_GLOBAL_SEED"} & set(after)
    assert after == before


def test_a_job_of_a_sweep_learns_what_it_learns_alone(in_sequence, tmp_path):
    """The last job: whatever the seven before it left behind would show."""
    alone = start(*small("topology=decoupled", "fabric.devices=3", "seed=2"), cwd=tmp_path / "cwd")
    assert alone.wait() == 0
    first, second = policy_of(alone.cwd / "RUN"), policy_of(jobs(in_sequence.cwd)[-1])
    assert all(first[name].equal(second[name]) for name in first)


def test_after_a_job_whose_rank_is_killed_or_fails_the_next_starts_clean(tmp_path):
    whats = "kill,none,raise,none,exit"
    overrides = (*TROUBLE, f"+env.kwargs.what={whats}", "fabric.devices=2", "total_timesteps=128")
    command = start(*words(*overrides), cwd=tmp_path / "cwd")
    assert command.wait() == 1
    values = [summary(folder) for folder in jobs(command.cwd)]
    assert [value["state"] for value in values] == ["failed", "completed", "failed", "completed", "failed"]
    assert [value["error"] for value in values] == [
        "rank 1 was killed by SIGKILL",
        None,
        "rank 1: RuntimeError: the pole is made of glass",
        None,
        "rank 1 ended with exit code 7",
    ]
    good = [policy_of(folder) for folder in (jobs(command.cwd)[1], jobs(command.cwd)[3])]
    assert all(good[0][name].equal(good[1][name]) for name in good[0])
    assert gone(command.cwd, 1)


def test_a_sweep_that_is_stopped_starts_no_further_job(tmp_path):
    begun = tmp_path / "begun"
    begun.mkdir()
    overrides = ("+env.kwargs.what=slow", f"+env.kwargs.folder={begun}", "fabric.devices=2", "seed=1,2,3")
    command = start(*words(*TROUBLE, *overrides, "total_timesteps=1000000"), cwd=tmp_path / "cwd")
    wait_for(lambda: list(begun.iterdir()), "the first job")
    begin = time.monotonic()
    os.killpg(command.pid, signal.SIGINT)
    assert command.wait(5) == 130
    assert time.monotonic() - begin < 5
    assert [summary(folder)["state"] for folder in jobs(command.cwd)] == ["interrupted"]
    assert gone(command.cwd, 1)


needs_joblib = pytest.mark.skipif(
    "hydra_plugins.hydra_joblib_launcher.joblib_launcher"
    not in {plugin.__module__ for plugin in Plugins.instance().discover()},
    reason="the extra joblib is not installed",
)


@needs_joblib
def test_jobs_in_parallel_by_joblib_are_the_same_as_in_sequence(in_sequence, tmp_path):
    """The real command: joblib starts Python anew."""
    cwd = tmp_path / "cwd"
    cwd.mkdir()
    done = command(*words(*AXES[:2], "seed=2"), "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", cwd=cwd)
    assert done.returncode == 0, done.stderr
    assert_whole(cwd, seeds=(2,))
    for one, other in zip(jobs(in_sequence.cwd)[1::2], jobs(cwd), strict=True):
        first, second = policy_of(one), policy_of(other)
        assert all(first[name].equal(second[name]) for name in first), one.name
    assert gone(cwd, 10)  # loky's own helper goes a moment after


@needs_joblib
@pytest.mark.slow
def test_a_failed_job_by_joblib_is_told_and_stops_no_other(tmp_path):
    cwd = tmp_path / "cwd"
    cwd.mkdir()
    overrides = (*TROUBLE, "+env.kwargs.what=kill,none,raise,none", "fabric.devices=2", "total_timesteps=128")
    done = command(*words(*overrides), "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", cwd=cwd, modules=Path.cwd())
    assert done.returncode == 1, done.stderr
    assert [summary(folder)["state"] for folder in jobs(cwd)] == ["failed", "completed", "failed", "completed"]
    assert gone(cwd, 10)
