"""Launchers of sweeps give the same numbers as one job after the other, and resume a job that was killed."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time

import pytest

WORDS = (
    "-m", "env=cartpole", "seed=1,2", "algo.gamma=0.9,0.95,0.98,0.99", "fabric.threads_per_rank=1", "algo.num_steps=32",
    "env.num_envs=2", "algo.per_rank_batch_size=32", "algo.hidden_sizes=[16]", "compile=false", "logger=csv",
    "eval.episodes=2", "hydra.sweep.dir=sweep",
)  # fmt: skip
LAUNCHERS = {
    "joblib": ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2"),
    "submitit": ("hydra/launcher=submitit_local",),
    "ray": ("hydra/launcher=ray", "+hydra.launcher.init.num_cpus=2", "+hydra.launcher.init.include_dashboard=false"),
}
NEEDS = {"joblib": "joblib", "submitit": "submitit", "ray": "ray"}
TIMES = ("wall_seconds", "steps_per_second", "overrides")


def started(cwd, *words):
    cwd.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "rlexp.main", *WORDS, *words]
    environment = {**os.environ, "PYTHONPATH": os.getcwd(), "RAY_AUTH_MODE": "disabled"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=cwd, env=environment, **pipes)


def results(cwd):
    found = {}
    for path in (cwd / "sweep").glob("*/summary.json"):
        values = json.loads(path.read_text())
        found[path.parent.name] = {key: value for key, value in values.items() if key not in TIMES}
    return found


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    cwd = tmp_path_factory.mktemp("alone")
    process = started(cwd, "total_timesteps=512")
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return results(cwd)


@pytest.mark.extras
@pytest.mark.parametrize("name", LAUNCHERS)
def test_a_launcher_gives_the_numbers_of_one_job_after_the_other(name, alone, tmp_path):
    if importlib.util.find_spec(NEEDS[name]) is None:
        pytest.skip(f"{NEEDS[name]} is not installed (make test-extras)")
    process = started(tmp_path, *LAUNCHERS[name], "total_timesteps=512")
    _, err = process.communicate(timeout=400)
    assert process.returncode == 0, err
    assert len(alone) == 8
    assert results(tmp_path) == alone


@pytest.mark.extras
def test_a_job_on_ray_that_is_killed_is_started_again_and_resumes(tmp_path):
    if importlib.util.find_spec("ray") is None:
        pytest.skip("ray is not installed (make test-extras)")
    words = ("seed=1", "algo.gamma=0.9", "total_timesteps=100000", "checkpoint.every=2000")
    process = started(tmp_path, *LAUNCHERS["ray"], *words)
    deadline = time.monotonic() + 200
    while not list((tmp_path / "sweep").glob("*/checkpoints/last.safetensors")):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    found = subprocess.run(["pgrep", "-f", f"hydra.run.dir=.*{tmp_path}"], capture_output=True, text=True, check=True)
    for pid in found.stdout.split():
        os.kill(int(pid), signal.SIGKILL)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    ((_, summary),) = results(tmp_path).items()
    assert summary["state"] == "completed"
    assert summary["resumes"][0]["env_steps"] > 0
