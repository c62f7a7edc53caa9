"""Runs that end before their time: an exception, a signal, a killed rank."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands import (
    ENDLESS,
    TINY,
    command,
    environment,
    metrics,
    only,
    processes_with,
    summary,
    video,
    wait_for,
    with_broken_environments,
)


def start(run_dir: Path, *overrides: str) -> subprocess.Popen[str]:
    """Start a run without end, wait until it learns, and return it."""
    words = [sys.executable, "-m", "rlexp.main", *ENDLESS, f"hydra.run.dir={run_dir}", *overrides]
    process = subprocess.Popen(
        words,
        cwd=run_dir.parent,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        wait_for(lambda: (run_dir / "metrics.csv").exists() and len(metrics(run_dir)) >= 2, "two updates")
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    return process


def child_of(pid: int) -> int:
    (child,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(child)


def test_an_exception_in_an_environment_fails_the_run_and_closes_its_video(tmp_path):
    modules = with_broken_environments(tmp_path / "modules")
    run_dir = tmp_path / "RUN"
    overrides = ("env.id=broken:Raises-v0", "capture_video=true", "hydra.run.dir=RUN")
    done = command(*TINY, *overrides, cwd=tmp_path, modules=modules)
    assert re.search(r"error: rank 0: environment \d: RuntimeError: the rod is made of glass \(", done.stderr)
    assert "Traceback" not in done.stderr
    assert done.returncode == 1
    values = summary(run_dir)
    assert values["state"] == "failed"
    error = r"rank 0: environment \d: RuntimeError: the rod is made of glass \(\S+broken.py:\d+\)"
    assert re.fullmatch(error, values["error"])
    assert (values["updates"], values["env_steps"], values["world_size"]) == (1, 64, 1)
    assert values["wall_seconds"] > 0
    log = (run_dir / "main.log").read_text()
    assert 'raise RuntimeError("the rod' in log
    frames = video(only(run_dir / "videos" / "train"))
    assert 45 <= len(frames) <= 55  # half of the 100 steps were of environment 0
    assert all(frame.max() > 100 for frame in frames)


@pytest.mark.parametrize(
    ("signum", "code", "every"),
    [pytest.param(signal.SIGINT, 130, 0, marks=pytest.mark.slow), (signal.SIGTERM, 143, 64)],
)
def test_a_signal_interrupts_the_run_leaves_no_process_and_closes_its_video(signum, code, every, tmp_path):
    run_dir = tmp_path / "RUN"
    overrides = ("env=pendulum", "env.max_episode_steps=1000000", "capture_video=true", f"checkpoint.every={every}")
    process = start(run_dir, *overrides)
    assert summary(run_dir)["state"] == "running"
    if signum == signal.SIGINT:
        os.killpg(process.pid, signum)  # as a terminal does
    else:
        os.kill(process.pid, signum)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == code
    assert stderr.splitlines()[-1] == f"stopped by {signum.name}"
    assert "Traceback" not in stderr
    assert not processes_with(str(run_dir))
    values = summary(run_dir)
    assert (values["state"], values["error"]) == ("interrupted", f"stopped by {signum.name}")
    assert values["env_steps"] == 64 * values["updates"] == int(metrics(run_dir)[-1]["env_steps"]) >= 128
    assert (run_dir / "checkpoints" / "last.safetensors").exists()
    assert not list(run_dir.rglob("*.tmp"))
    frames = video(only(run_dir / "videos" / "train"))
    assert len(frames) >= 64
    assert all(frame.max() > 100 for frame in frames)


def test_a_killed_rank_fails_the_run(tmp_path):
    run_dir = tmp_path / "RUN"
    process = start(run_dir)
    os.kill(child_of(process.pid), signal.SIGKILL)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 1
    assert stderr.splitlines() == ["error: rank 0 was killed by SIGKILL"]
    assert (summary(run_dir)["state"], summary(run_dir)["error"]) == ("failed", "rank 0 was killed by SIGKILL")
    assert "rank 0 was killed by SIGKILL" in (run_dir / "main.log").read_text()
    assert not processes_with(str(run_dir))


def test_a_killed_parent_takes_its_ranks_along(tmp_path):
    run_dir = tmp_path / "RUN"
    process = start(run_dir)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    wait_for(lambda: not processes_with(str(run_dir)), "the ranks to end", 10)
