"""A run that is killed or stopped, and started again, is the run that one would have had."""

import os
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from rlexp.envs import VectorEnvironment
from rlexp.files.checkpoint import load
from rlexp.files.tensorboard import TensorBoard
from rlexp.learn.learner import Learner
from rlexp.run.experiment import RecordOfRank0
from tests.commands import events, metrics, summary, sweep_rows, wait_for
from tests.launch.forked import done, gone, small, start
from tests.launch.test_stopping import COUPLED, DECOUPLED, trouble
from tests.topology.ranks import checkpoint
from tests.topology.test_resume import NORMALIZED, assert_equal_runs

SAVING = ("checkpoint.every=1", "total_timesteps=128", *NORMALIZED)
KILLED = {
    "collect": (VectorEnvironment, "step", 37),
    "update": (Learner, "_scalars", 5),
    "first sync of a checkpoint": (os, "fsync", 13),
    "second sync of a checkpoint": (os, "fsync", 14),
    "third sync of a checkpoint": (os, "fsync", 15),
    "log": (TensorBoard, "scalars", 6),
    "evaluation": (TensorBoard, "scalars", 9),
    "results": (RecordOfRank0, "results", 1),
}
"""Where a process kills itself: what is called, and in the how many-th call."""

FAST = {"collect", "update", "second sync of a checkpoint"}


@pytest.fixture
def killing(monkeypatch, tmp_path):
    """Let the first process that makes the n-th call of something kill itself there; return the file that tells it."""

    def prepare(place: str) -> Path:
        target, name, at = KILLED[place]
        original, told, calls = getattr(target, name), tmp_path / "killed", []

        def call(*args, **kwargs):
            calls.append(1)
            if len(calls) == at and not told.exists():
                told.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*args, **kwargs)

        monkeypatch.setattr(target, name, call)
        return told

    return prepare


def again(*words: str, cwd: Path) -> tuple[int, str, str]:
    """Run a command with exactly these words; return its exit code and what it printed."""
    command = start(*words, cwd=cwd)
    code = command.wait()
    return code, command.stdout, command.stderr


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Return the directory of a small run that is completed; it is to be left as it is."""
    code, command = done(*SAVING, "eval.episodes=1", cwd=tmp_path_factory.mktemp("whole") / "cwd")
    assert code == 0, command.stderr
    return command.cwd / "RUN"


@pytest.fixture
def completed(whole, tmp_path):
    """Return the directory of a small run that is completed."""
    return shutil.copytree(whole, tmp_path / "RUN")


# Killed


@pytest.mark.parametrize(
    "place", [place if place in FAST else pytest.param(place, marks=pytest.mark.slow) for place in KILLED]
)
def test_a_run_that_is_killed_and_resumed_equals_one_that_is_not(place, completed, killing, tmp_path):
    told = killing(place)
    code, command = done(*SAVING, "eval.episodes=1", cwd=tmp_path / "cwd")
    run_dir = command.cwd / "RUN"
    assert told.exists()
    assert (code, summary(run_dir)["state"]) == (1, "failed")
    code, stdout, stderr = again(f"resume={run_dir}", cwd=tmp_path / "again")
    assert (code, stderr) == (0, "")
    assert "resumed after" in stdout
    assert_equal_runs(completed, run_dir)
    assert summary(run_dir)["eval"] == summary(completed)["eval"]
    assert not list(run_dir.rglob("*.tmp"))
    assert not list((tmp_path / "again").iterdir())
    assert gone(command.cwd, 1)


@pytest.mark.parametrize(
    ("topology", "total"),
    [pytest.param(COUPLED, 256, marks=pytest.mark.slow), ((*DECOUPLED, "topology.overlap=true"), 80)],
    ids=["coupled", "overlap"],
)
def test_a_command_that_is_killed_with_all_its_ranks_resumes_by_itself(topology, total, tmp_path):
    """As on a preemptible machine: the same command with resume=auto, started again and again."""
    words = [*topology, *trouble("slow"), "checkpoint.every=1", f"total_timesteps={total}"]
    auto = small(*words, "resume=auto", f"hydra.run.dir={tmp_path / 'RUN'}")
    killed = start(*auto, cwd=tmp_path / "first")
    wait_for(lambda: (tmp_path / "RUN" / "checkpoints" / "last.safetensors").exists(), "a checkpoint")
    time.sleep(0.4)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    assert gone(killed.cwd)
    assert summary(tmp_path / "RUN")["state"] == "running"
    code, stdout, stderr = again(*auto, cwd=tmp_path / "second")
    assert (code, stderr) == (0, "")
    assert "resumed after" in stdout
    code, command = done(*words, f"hydra.run.dir={tmp_path / 'whole'}", cwd=tmp_path / "third")
    assert code == 0, command.stderr
    assert_equal_runs(tmp_path / "whole", tmp_path / "RUN")
    code, stdout, _ = again(*auto, cwd=tmp_path / "fourth")
    assert code == 0
    assert "is completed" in stdout


# Stopped


@pytest.mark.parametrize(
    ("topology", "signum"),
    [
        pytest.param((), signal.SIGINT, marks=pytest.mark.slow),
        pytest.param(COUPLED, signal.SIGTERM, marks=pytest.mark.slow),
        ((*DECOUPLED, "topology.overlap=true"), signal.SIGTERM),
        pytest.param(DECOUPLED, signal.SIGINT, marks=pytest.mark.slow),
    ],
    ids=["one", "coupled", "overlap", "decoupled"],
)
def test_a_run_that_is_stopped_writes_a_checkpoint_after_its_update_and_resumes_from_it(topology, signum, tmp_path):
    steps = f"total_timesteps={6 * 16 * (2 if topology == COUPLED else 1)}"
    words = (*topology, *trouble("slow"), "checkpoint.every=0", steps, *NORMALIZED)
    command = start(*small(*words), cwd=tmp_path / "cwd")
    run_dir = command.cwd / "RUN"
    wait_for(lambda: (run_dir / "metrics.csv").exists() and metrics(run_dir), "an update")
    os.kill(command.pid, signum)
    assert command.wait(5) == 128 + signum
    assert command.stderr == f"stopped by {signum.name}\n"
    values = summary(run_dir)
    assert values["state"] == "interrupted"
    assert checkpoint(run_dir).recorder.updates == values["updates"] == len(metrics(run_dir)) < 6
    code, _, stderr = again(f"resume={run_dir}", cwd=tmp_path / "again")
    assert (code, stderr) == (0, "")
    code, whole = done(*words, cwd=tmp_path / "whole")
    assert code == 0, whole.stderr
    assert_equal_runs(whole.cwd / "RUN", run_dir)


# What can be asked for


def test_a_completed_run_is_left_as_it_is(completed, tmp_path):
    before = {path: path.stat().st_mtime_ns for path in completed.rglob("*")}
    code, stdout, stderr = again(f"resume={completed}", cwd=tmp_path / "again")
    assert (code, stderr) == (0, "")
    assert "is completed after 128 steps; nothing is left to do" in stdout
    assert before == {path: path.stat().st_mtime_ns for path in completed.rglob("*")}


def test_a_completed_run_resumes_for_more_steps(completed, tmp_path):
    before = OmegaConf.to_container(OmegaConf.load(completed / ".hydra" / "config.yaml"))
    words = (f"resume={completed}", "total_timesteps=192", "eval.episodes=2", "checkpoint.keep=0", "env=cartpole")
    code, stdout, stderr = again(*words, cwd=tmp_path / "again")
    assert (code, stderr) == (0, "")
    assert "192 steps" in stdout
    assert [int(row["env_steps"]) for row in metrics(completed)] == list(range(16, 193, 16))
    values = summary(completed)
    assert (values["state"], values["env_steps"], values["eval"]["episodes"]) == ("completed", 192, 2)
    now = OmegaConf.to_container(OmegaConf.load(completed / ".hydra" / "config.yaml"))
    assert now == checkpoint(completed).config
    before["total_timesteps"], before["eval"]["episodes"], before["checkpoint"]["keep"] = 192, 2, 0
    assert now == before


def test_a_run_resumes_from_an_earlier_checkpoint(completed, tmp_path):
    path = completed / "checkpoints" / "step-000000096.safetensors"
    weights = checkpoint(completed).learner.agent
    code, stdout, stderr = again(f"resume={path}", cwd=tmp_path / "again")
    assert (code, stderr) == (0, "")
    assert "resumed after 96" in stdout
    aside = completed / "checkpoints-1"
    assert {file.name for file in aside.iterdir()} >= {"last.safetensors", "step-000000112.safetensors"}
    assert load(aside / "last.safetensors").env_steps == 128
    assert (completed / "checkpoints" / "best.safetensors").is_file()
    assert all(value.equal(weights[name]) for name, value in checkpoint(completed).learner.agent.items())
    assert [int(row["env_steps"]) for row in metrics(completed)] == list(range(16, 129, 16))


def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(completed, tmp_path):
    last = completed / "checkpoints" / "last.safetensors"
    weights = checkpoint(completed).learner.agent
    last.write_bytes(last.read_bytes()[:-1000])
    code, _, stderr = again(f"resume={completed}", cwd=tmp_path / "again")
    assert code == 0
    assert len(stderr.splitlines()) == 1
    assert "is damaged" in stderr
    assert "resuming from step-000000112.safetensors" in stderr
    assert all(value.equal(weights[name]) for name, value in checkpoint(completed).learner.agent.items())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["seed=7"], "seed=7 (the run has 42)"),
        (["algo=a2c"], "algo=a2c (the run has ppo)"),
        (["env=pendulum"], "env.id=Pendulum-v1 (the run has CartPole-v1)"),
        (["fabric.devices=2"], "fabric.devices=2 (the run has 1)"),
        (["algo.hidden_sizes=[8]"], "algo.hidden_sizes=[8] (the run has [16, 16])"),
        (["experiment=cartpole"], "env.num_envs=8 (the run has 2)"),
        (["total_timesteps=64"], "total_timesteps=64 is less than the run's 128"),
        (["hydra.run.dir=ELSEWHERE"], "hydra.run.dir=ELSEWHERE is not the run"),
        (["--multirun"], "resumes one run"),
    ],
)
def test_what_alters_the_experiment_is_refused_with_the_difference(words, said, completed, tmp_path):
    before = {path: path.stat().st_mtime_ns for path in completed.rglob("*")}
    code, _, stderr = again(f"resume={completed}", *words, cwd=tmp_path / "again")
    assert code == 1
    assert len(stderr.splitlines()) == 1
    assert said in stderr
    assert before == {path: path.stat().st_mtime_ns for path in completed.rglob("*")}
    assert not list((tmp_path / "again").iterdir())


def test_a_command_that_says_another_experiment_is_refused_with_the_difference(completed, tmp_path):
    words = small(*SAVING, "seed=7", "resume=auto", f"hydra.run.dir={completed}")
    code, _, stderr = again(*words, cwd=tmp_path / "again")
    assert code == 1
    assert "seed=7 (the run has 42)" in stderr
    assert summary(completed)["state"] == "completed"


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("resume=NOWHERE", "does not exist"),
        ("resume=EMPTY", "is not the directory of a run"),
        ("resume=BEGUN", "has no checkpoint"),
        ("resume=FILE", "does not lie in the checkpoints/ folder"),
        ("resume=auto", "resume=auto needs a directory that stays the same: add hydra.run.dir=DIR"),
        ("sweep.skip_completed=true", "add --multirun hydra.sweep.dir=DIR"),
    ],
)
def test_what_cannot_go_on_is_refused_in_one_line(word, said, tmp_path):
    (tmp_path / "EMPTY").mkdir()
    (tmp_path / "BEGUN").mkdir()
    (tmp_path / "BEGUN" / "summary.json").write_text('{"state": "running"}')
    (tmp_path / "FILE").touch()
    key, _, value = word.partition("=")
    word = f"{key}={tmp_path / value}" if value.isupper() else word
    code, _, stderr = again(word, cwd=tmp_path / "cwd")
    assert code == 1
    assert len(stderr.splitlines()) == 1
    assert said in stderr
    assert not list((tmp_path / "cwd").iterdir())


def test_a_directory_may_have_a_name_that_hydra_would_read_otherwise(tmp_path):
    run_dir = tmp_path / "0-seed=1,a b'c"
    words = [word for word in small(*SAVING) if not word.startswith("hydra.run.dir")]
    code, _, stderr = again(*words, "hydra.run.dir='" + str(run_dir).replace("'", "\\'") + "'", cwd=tmp_path / "one")
    assert (code, stderr) == (0, "")
    code, stdout, stderr = again(f"resume={run_dir}", cwd=tmp_path / "two")
    assert (code, stderr) == (0, "")
    assert "is completed" in stdout
    assert not list((tmp_path / "two").iterdir())


# Sweeps


def test_a_sweep_resumes_with_the_jobs_that_are_not_completed(killing, tmp_path):
    words = [word for word in small(*SAVING) if not word.startswith("hydra.run.dir")]
    words = ["--multirun", *words, "seed=1,2,3", f"hydra.sweep.dir={tmp_path / 'SWEEP'}"]
    killing("collect")  # the first process that gets so far: the rank of the first job
    code, _, _ = again(*words, cwd=tmp_path / "first")
    folders = sorted(path for path in (tmp_path / "SWEEP").iterdir() if path.is_dir())
    assert code == 1
    assert [summary(folder)["state"] for folder in folders] == ["failed", "completed", "completed"]
    code, stdout, stderr = again(*words, "sweep.skip_completed=true", cwd=tmp_path / "second")
    assert (code, stderr) == (0, "")
    assert sorted(path for path in (tmp_path / "SWEEP").iterdir() if path.is_dir()) == folders
    assert [summary(folder)["state"] for folder in folders] == ["completed"] * 3
    assert [len(summary(folder).get("resumes", [])) for folder in folders] == [1, 0, 0]
    assert stdout.count("is completed after 128 steps") == 2
    assert [row[2] for row in sweep_rows(stdout)[1:]] == ["completed"] * 3


# Evaluations on the way, and directories that are used again


def test_evaluations_on_the_way_stay_in_the_curves_of_a_run_that_is_resumed(killing, tmp_path):
    words = (*SAVING, "eval.episodes=1", "eval.every=1")
    code, whole = done(*words, cwd=tmp_path / "whole")
    assert code == 0, whole.stderr
    killing("update")
    code, killed = done(*words, cwd=tmp_path / "cwd")
    assert code == 1
    code, _, stderr = again(f"resume={killed.cwd / 'RUN'}", cwd=tmp_path / "again")
    assert (code, stderr) == (0, "")
    assert_equal_runs(whole.cwd / "RUN", killed.cwd / "RUN")
    tags = [[sorted(values) for _, values in events(command.cwd / "RUN")] for command in (whole, killed)]
    assert tags[0] == tags[1]
    assert sum("Test/cumulative_reward" in each for each in tags[0]) > 4


def test_a_run_that_an_evaluation_ended_is_completed(tmp_path):
    code, command = done(*SAVING, "eval.episodes=1", "eval.every=1", "eval.stop_at=1", cwd=tmp_path / "cwd")
    assert code == 0, command.stderr
    before = summary(command.cwd / "RUN")
    assert before["env_steps"] < 128
    code, stdout, _ = again(f"resume={command.cwd / 'RUN'}", cwd=tmp_path / "again")
    assert code == 0
    assert "nothing is left to do" in stdout
    assert summary(command.cwd / "RUN") == before


@pytest.mark.parametrize("topology", [(), (*DECOUPLED, "topology.overlap=true")], ids=["coupled", "overlap"])
def test_a_run_that_is_killed_after_an_evaluation_ended_training_learns_no_more(topology, killing, tmp_path):
    words = (*SAVING, *topology, "eval.episodes=1", "eval.every=32", "eval.stop_at=1")
    code, whole = done(*words, cwd=tmp_path / "whole")
    assert code == 0, whole.stderr
    killing("results")
    code, killed = done(*words, cwd=tmp_path / "cwd")
    assert code == 1
    code, _, stderr = again(f"resume={killed.cwd / 'RUN'}", cwd=tmp_path / "again")
    assert (code, stderr) == (0, "")
    assert_equal_runs(whole.cwd / "RUN", killed.cwd / "RUN")
    values = [summary(command.cwd / "RUN") for command in (whole, killed)]
    assert values[0]["env_steps"] == values[1]["env_steps"] < 128
    assert values[0]["eval"] == values[1]["eval"]
    tests = [
        [step for step, tags in events(c.cwd / "RUN") if "Test/cumulative_reward" in tags] for c in (whole, killed)
    ]
    assert tests == [[values[0]["env_steps"]] * 2] * 2  # the evaluation that ended training, and the final one


def test_a_new_run_sets_the_checkpoints_of_an_earlier_one_aside(completed, tmp_path):
    before = {path.name: path.read_bytes() for path in (completed / "checkpoints").iterdir()}
    words = [word for word in small(*SAVING, "checkpoint.every=0") if not word.startswith("hydra.run.dir")]
    code, _, stderr = again(*words, f"hydra.run.dir={completed}", cwd=tmp_path / "again")
    assert (code, stderr) == (0, "")
    assert {path.name: path.read_bytes() for path in (completed / "checkpoints-1").iterdir()} == before
    assert {path.name for path in (completed / "checkpoints").iterdir()} == {"last.safetensors", "best.safetensors"}


# torchrun


@pytest.mark.slow
def test_a_run_that_torchrun_started_resumes(tmp_path):
    import subprocess

    from tests.commands import environment
    from tests.launch.test_torchrun import ROOT, STANDALONE, TORCHRUN

    def torchrun(*words: str, wait: bool = True) -> subprocess.Popen:
        command = [*TORCHRUN, *STANDALONE, "-m", "rlexp.main", *words]
        process = subprocess.Popen(command, cwd=tmp_path, env=environment(ROOT), stderr=sys.stderr)
        if wait:
            process.wait(120)
        return process

    words = small(*trouble("slow"), "total_timesteps=1024", "checkpoint.every=0")
    process = torchrun(*words, wait=False)
    wait_for(lambda: (tmp_path / "RUN" / "metrics.csv").exists() and metrics(tmp_path / "RUN"), "an update")
    process.send_signal(signal.SIGTERM)
    process.wait(20)
    assert summary(tmp_path / "RUN")["state"] == "interrupted"
    assert checkpoint(tmp_path / "RUN").recorder.updates == len(metrics(tmp_path / "RUN")) < 32
    assert torchrun("resume=RUN").returncode == 0
    code, whole = done(*words, "fabric.devices=2", cwd=tmp_path / "whole")
    assert code == 0, whole.stderr
    assert_equal_runs(whole.cwd / "RUN", tmp_path / "RUN")
