"""Submission to SLURM: the script is run by a real shell, with stand-ins for SLURM's own programs."""

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rlexp.command.sweep_progress import last_row
from rlexp.command.torchrun import torchrun_overrides
from rlexp.errors import ConfigError
from rlexp.files.summary import Summary
from rlexp.submit.__main__ import main, split
from rlexp.submit.script import at_most, resources
from tests.helpers import composed

SMALL = (
    "env=cartpole", "fabric.threads_per_rank=1", "algo.num_steps=32", "env.num_envs=2", "algo.per_rank_batch_size=32",
    "algo.hidden_sizes=[16]", "compile=false", "logger=csv", "eval.episodes=1",
)  # fmt: skip


def program(folder, name, text):
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/bash\n{text}\n")
    path.chmod(0o755)


def submitted(cwd, *words):
    """Run the command with a stand-in for sbatch."""
    program(cwd / "bin", "sbatch", 'echo "$@" > submitted; echo Submitted batch job 17')
    environment = {**os.environ, "PYTHONPATH": os.getcwd(), "PATH": f"{cwd / 'bin'}:{os.environ['PATH']}"}
    command = [sys.executable, "-m", "rlexp.submit", *words]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def started(cwd, script, number):
    """Start a job of the array, as SLURM does."""
    program(cwd / "bin", "scontrol", 'echo "$@" >> requeued')
    environment = {**os.environ, "PYTHONPATH": os.getcwd(), "PATH": f"{cwd / 'bin'}:{os.environ['PATH']}"}
    environment |= {"SLURM_ARRAY_JOB_ID": "17", "SLURM_ARRAY_TASK_ID": str(number)}
    return subprocess.Popen(["bash", script], cwd=cwd, env=environment, start_new_session=True)


@pytest.mark.slow
def test_jobs_of_an_array_run_are_stopped_in_time_queued_again_and_resume(tmp_path):
    words = (*SMALL, "total_timesteps=60000", "seed=1,2", "slurm.partition=long", "slurm.time=1:00:00")
    done = submitted(tmp_path, "--multirun", *words)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[:2] == ["Submitted batch job 17", "2 runs:"]
    folder = tmp_path / lines[2]
    script = folder / "submit.sbatch"
    assert (tmp_path / "submitted").read_text().split() == [str(script)]
    text = script.read_text()
    for option in ("array=0-1", "cpus-per-task=1", "partition=long", "time=1:00:00", "requeue", "signal=B:USR1@120"):
        assert f"#SBATCH --{option}\n" in text
    job = started(tmp_path, script, 1)
    run_dir = folder / "1-seed=2"
    deadline = time.monotonic() + 120
    while not last_row(run_dir / "metrics.csv"):
        assert time.monotonic() < deadline
        assert job.poll() is None
        time.sleep(0.05)
    time.sleep(0.5)
    job.send_signal(signal.SIGUSR1)
    assert job.wait(60) == 143
    assert (tmp_path / "requeued").read_text() == "requeue 17_1\n"
    stopped = Summary(run_dir).read()
    assert stopped["state"] == "interrupted"
    assert 0 < stopped["env_steps"] < 59000
    assert started(tmp_path, script, 1).wait(200) == 0
    summary = Summary(run_dir).read()
    assert (summary["state"], summary["seed"], len(summary["resumes"])) == ("completed", 2, 1)
    assert not (folder / "0-seed=1").exists()
    assert (tmp_path / "requeued").read_text() == "requeue 17_1\n"


def test_what_a_job_needs_follows_from_the_experiment():
    assert resources(composed()) == {"cpus-per-task": "1"}
    assert resources(composed("fabric.devices=3", "fabric.threads_per_rank=2")) == {"cpus-per-task": "6"}
    many = composed("fabric.devices=2", "env.vectorization=async", "env.num_envs=4")
    assert resources(many) == {"cpus-per-task": "10"}
    decoupled = ("topology=decoupled", "fabric.devices=3", "accelerator=cuda")
    assert resources(composed(*decoupled))["gpus-per-task"] == "2"  # the player acts on the CPU
    assert resources(composed(*decoupled, "topology.player_accelerator=cuda"))["gpus-per-task"] == "3"
    assert at_most([{"cpus-per-task": "1"}, {"cpus-per-task": "10", "gpus-per-task": "2"}]) == {
        "cpus-per-task": "10",
        "gpus-per-task": "2",
    }
    with pytest.raises(ConfigError, match=r"fabric.num_nodes=2: submit takes runs of one machine"):
        resources(composed("fabric.num_nodes=2"))


def test_any_option_of_sbatch_may_be_given_but_those_of_the_script(tmp_path):
    words, options = split(["seed=1", "slurm.cpus_per_task=8", "slurm.mem=4G", "slurm.gres=gpu:1", "slurm.exclusive="])
    assert words == ["seed=1"]
    assert options == {"cpus-per-task": "8", "mem": "4G", "gres": "gpu:1", "exclusive": ""}
    said = main(["--dry-run", *SMALL, "slurm.array_limit=3", "slurm.cpus_per_task=8", "slurm.exclusive="], tmp_path)
    assert said.splitlines()[1:] == ["submit it:", f"sbatch {said.splitlines()[0].partition(': ')[2]}"]
    (script,) = tmp_path.glob("outputs/sweeps/*/submit.sbatch")
    text = script.read_text()
    assert "#SBATCH --array=0-0%3\n" in text
    assert "#SBATCH --cpus-per-task=8\n" in text
    assert "#SBATCH --exclusive\n" in text
    (line,) = (script.parent / "jobs.txt").read_text().splitlines()
    assert shlex.split(line)[: len(SMALL)] == list(SMALL)
    assert Path(shlex.split(line)[-2].partition("=")[2].strip("'")) == script.parent / "0"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["sed=1"], "unknown key sed; did you mean seed"),
        (["seed=1,2"], "seed=1,2 names several values; add --multirun"),
        (["-m", "seed=1,2", "algo.gamma=0.9,2"], "job 1: algo.gamma=2.0 is out of range"),
        (["hydra.run.dir=x"], "hydra.run.dir=x: the submission decides that; leave it out"),
        (["-m", "search=ppo"], "search=ppo: the submission decides that"),
        (["slurm.time"], "slurm.time is not of the form slurm.OPTION=VALUE"),
        (["slurm.array=1-9"], "slurm.array=1-9: the script of an array sets --array itself"),
    ],
)
def test_what_cannot_be_submitted_is_one_line_and_leaves_nothing(words, said, tmp_path):
    with pytest.raises(ConfigError) as caught:
        main([*SMALL, *words], tmp_path)
    assert said in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_without_slurm_the_script_is_written_and_the_command_to_submit_it_said(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="sbatch is not found; on a machine of the cluster"):
        main(SMALL, tmp_path)
    assert list(tmp_path.glob("outputs/sweeps/*/submit.sbatch"))


def test_tasks_of_srun_that_would_train_the_same_run_are_refused(monkeypatch):
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "1")
    assert torchrun_overrides([]) == []
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "2")
    with pytest.raises(ConfigError, match="srun started 2 tasks, and each would train the same run; give srun -n 1"):
        torchrun_overrides([])
