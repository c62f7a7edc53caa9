"""Many jobs in one command: each true to itself, and nothing of one left for the next."""

import contextlib
import csv
import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hydra.core.plugins import Plugins
from omegaconf import OmegaConf

from tests.commands import command, environment, summary, sweep_rows, wait_for
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
    files = {"multirun.yaml", "sweep.csv", "report.html"}
    assert {path.name for path in (cwd / "SWEEP").iterdir() if path.is_file()} == files
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
        assert (folder / "checkpoints" / "last.safetensors").is_file()
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
    waiting = {"GOMP_SPINCOUNT", "KMP_BLOCKTIME"}  # how threads wait, which the command says before its first job
    assert {name: value for name, value in after.items() if name not in waiting - set(before)} == before


def test_a_job_of_a_sweep_learns_what_it_learns_alone(in_sequence, tmp_path):
    """The last job: whatever the seven before it left behind would show."""
    alone = start(*small("topology=decoupled", "fabric.devices=3", "seed=2"), cwd=tmp_path / "cwd")
    assert alone.wait() == 0
    first, second = policy_of(alone.cwd / "RUN"), policy_of(jobs(in_sequence.cwd)[-1])
    assert all(first[name].equal(second[name]) for name in first)


@pytest.mark.slow
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
        f"rank 1: environment 0: RuntimeError: the pole is made of glass ({values[2]['error'].partition(' (')[2]}",
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


def test_a_sweep_that_is_stopped_lists_the_jobs_that_were_not_started(tmp_path):
    command = start(*words("total_timesteps=100000000", "seed=1,2"), cwd=tmp_path / "cwd")
    found = tmp_path / "cwd" / "SWEEP" / "0-seed=1" / "metrics.csv"
    wait_for(lambda: found.exists() and len(found.read_text().splitlines()) > 2, "updates")
    os.killpg(command.pid, signal.SIGTERM)
    assert command.wait(10) == 143
    assert command.stderr == "stopped by SIGTERM\n"
    rows = sweep_rows(command.stdout)
    assert [row[2] for row in rows[1:]] == ["interrupted", "not started"]
    assert rows[1][-1] == "stopped by SIGTERM"
    assert f"interrupted; saved after {summary(found.parent)['env_steps']:,} steps" in command.stdout
    with (tmp_path / "cwd" / "SWEEP" / "sweep.csv").open(newline="") as file:
        assert [row["state"] for row in csv.DictReader(file)] == ["interrupted", "not started"]


@pytest.mark.parametrize("subdir", ["mine/${hydra:job.num}", "../elsewhere/job ${hydra:job.num}"])
def test_a_subdir_of_ones_own_keeps_the_table_and_the_exit_code(subdir, tmp_path):
    overrides = (*TROUBLE, "+env.kwargs.what=raise,none", "fabric.devices=2", f"hydra.sweep.subdir={subdir}")
    command = start(*words(*overrides), cwd=tmp_path / "cwd")
    assert command.wait() == 1
    rows = sweep_rows(command.stdout)
    assert rows[0][:3] == ["job", "what", "state"]
    assert [row[:3] for row in rows[1:]] == [["0", "raise", "failed"], ["1", "none", "completed"]]
    assert rows[1][-1].startswith("rank 1: ")
    assert summary(command.cwd / "SWEEP" / subdir.replace("${hydra:job.num}", "0"))["error"] in command.stdout


def test_jobs_that_would_share_a_directory_are_refused(tmp_path):
    command = start(*words("seed=1,2", "hydra.sweep.subdir=mine"), cwd=tmp_path / "cwd")
    assert command.wait() == 1
    assert command.stderr.startswith("error: jobs 0 and 1 would share the directory ")
    assert not list(command.cwd.iterdir())


def test_a_sweep_in_its_jobs_folders_shows_paths_from_where_one_stands(tmp_path):
    """With hydra.job.chdir=true."""
    command = start(*words("seed=1,2", "hydra.job.chdir=true"), cwd=tmp_path / "cwd")
    assert command.wait() == 0, command.stderr
    lines = command.stdout.splitlines()
    assert lines[lines.index("sweep:") + 1] == "SWEEP"
    assert (tmp_path / "cwd" / "SWEEP" / "sweep.csv").is_file()
    alone = start(*small("hydra.job.chdir=true"), cwd=tmp_path / "alone")
    assert alone.wait() == 0, alone.stderr
    assert "tensorboard --logdir RUN" in alone.stdout.splitlines()


needs_joblib = pytest.mark.skipif(
    "hydra_plugins.hydra_joblib_launcher.joblib_launcher"
    not in {plugin.__module__ for plugin in Plugins.instance().discover()},
    reason="the extra joblib is not installed",
)


@needs_joblib
@pytest.mark.slow
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
def test_a_failed_job_by_joblib_is_reported_and_stops_no_other(tmp_path):
    cwd = tmp_path / "cwd"
    cwd.mkdir()
    overrides = (*TROUBLE, "+env.kwargs.what=kill,none,raise,none", "fabric.devices=2", "total_timesteps=128")
    done = command(*words(*overrides), "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", cwd=cwd, modules=Path.cwd())
    assert done.returncode == 1, done.stderr
    assert [summary(folder)["state"] for folder in jobs(cwd)] == ["failed", "completed", "failed", "completed"]
    assert gone(cwd, 10)


@needs_joblib
@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_jobs_in_parallel_save_when_the_sweep_is_stopped(number, tmp_path):
    with parallel("total_timesteps=100000000", "seed=1,2,3", cwd=tmp_path) as process:
        if number == signal.SIGINT:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        stdout, stderr = process.communicate(timeout=60)
    assert (stderr, process.returncode) == (f"stopped by {number.name}\n", 128 + number)
    assert [row[2] for row in sweep_rows(stdout)[1:]] == ["interrupted", "interrupted", "not started"]
    for job in jobs(tmp_path):
        assert summary(job)["state"] == "interrupted"
        assert (job / "checkpoints" / "last.safetensors").is_file()
    lines = stdout[: stdout.index("\nsweep:")].splitlines()
    assert {line[:4] for line in lines if line} == {"[0] ", "[1] ", number.name[:4]}
    assert sum("interrupted; saved after" in line for line in lines) == 2
    assert gone(tmp_path, 10)


@needs_joblib
@pytest.mark.slow
def test_a_killed_process_of_a_parallel_sweep_is_reported_in_the_table(tmp_path):
    with parallel("total_timesteps=100000000", "seed=1,2,3", cwd=tmp_path) as process:
        workers = {pid for job in jobs(tmp_path) for pid in [int((job / ".hydra" / "lock").read_text())]}
        os.kill(min(workers), signal.SIGKILL)
        stdout, stderr = process.communicate(timeout=60)
    assert (stderr.count("\n"), process.returncode) == (1, 1)
    assert [row[2] for row in sweep_rows(stdout)[1:]] == ["failed", "failed", "not started"]
    assert "its process was killed" in stdout
    assert gone(tmp_path, 10)


@contextlib.contextmanager
def parallel(*overrides: str, cwd: Path):
    """Start a sweep of two jobs at a time; yield its process when both have learned."""
    process = subprocess.Popen(
        [sys.executable, "-m", "rlexp.main", *words(*overrides), "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"],
        cwd=cwd, env=environment(Path.cwd()), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    try:
        wait_for(lambda: sum(len(f.read_text().splitlines()) > 2 for f in cwd.rglob("metrics.csv")) == 2, "jobs", 120)
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


SWEEPER = """
from hydra.plugins.sweeper import Sweeper
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins

node = {"_target_": "hydra_plugins.halving.Halving", "rounds": 2}
ConfigStore.instance().store(group="hydra/sweeper", name="halving", node=node, provider="halving")

class Halving(Sweeper):
    def __init__(self, rounds=2):
        self.rounds = rounds

    def setup(self, *, hydra_context, task_function, config):
        self.hydra_context, self.config = hydra_context, config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config)

    def sweep(self, arguments):
        for number in range(self.rounds):
            self.launcher.launch([[*arguments, f"algo.gamma=0.{9 - 4 * number}"]], initial_job_idx=number)
"""
"""A sweeper that makes its jobs up on the way, as one that searches does."""


@pytest.mark.slow
def test_the_jobs_that_a_sweeper_makes_up_on_the_way_are_in_the_table(tmp_path):
    (tmp_path / "hydra_plugins").mkdir()
    (tmp_path / "hydra_plugins" / "halving.py").write_text(SWEEPER)
    (tmp_path / "cwd").mkdir()
    ran = command(*words(), "hydra/sweeper=halving", cwd=tmp_path / "cwd", modules=tmp_path)
    assert ran.returncode == 0, ran.stderr
    rows = sweep_rows(ran.stdout)
    assert rows[0][:3] == ["job", "gamma", "state"]
    assert [row[:3] for row in rows[1:]] == [["0", "0.9", "completed"], ["1", "0.5", "completed"]]
