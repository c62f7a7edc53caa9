"""How tests run the commands: real processes, in a folder of their own, with one thread a rank."""

import csv
import fcntl
import itertools
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from rlexp.data.state import Saved
from rlexp.files.codec import encode

TINY = (
    "log.every=1",
    "fabric.threads_per_rank=1",
    "env.num_envs=2",
    "algo.num_steps=32",
    "algo.per_rank_batch_size=32",
    "total_timesteps=512",
    "eval.episodes=3",
)
"""Overrides of a run of 8 updates of 64 steps."""

ENDLESS = (*TINY, "total_timesteps=100000000")

ENVIRONMENTS = '''
import os
import gymnasium
from gymnasium.envs.classic_control import PendulumEnv

class Raises(PendulumEnv):
    """A pendulum that raises in the 100th step of its process."""

    steps = 0

    def step(self, action):
        Raises.steps += 1
        if Raises.steps == 100:
            raise RuntimeError("the rod\\nis made of glass")
        return super().step(action)

class Exits(PendulumEnv):
    """A pendulum that ends its process in the 100th step."""

    steps = 0

    def step(self, action):
        Exits.steps += 1
        if Exits.steps == 100:
            os._exit(7)
        return super().step(action)

class Unbuildable(gymnasium.Env):
    """An environment that cannot be built."""

    def __init__(self, **kwargs):
        raise ValueError("no pole in stock")

class SequenceSpace(gymnasium.Env):
    """An environment whose observations are of a kind that is not supported."""

    observation_space = gymnasium.spaces.Sequence(gymnasium.spaces.Discrete(2))
    action_space = gymnasium.spaces.Discrete(2)

class MissingPackage(gymnasium.Env):
    """An environment that needs a package that nobody has."""

    def __init__(self, **kwargs):
        raise gymnasium.error.DependencyNotInstalled('Box2D is not installed, run `pip install "gymnasium[box2d]"`')

for name in ("Raises", "Exits", "Unbuildable", "SequenceSpace", "MissingPackage"):
    gymnasium.register(f"{name}-v0", entry_point=f"broken:{name}", max_episode_steps=500)
'''
"""A module `broken` of environments that fail, each in its own way."""


def environment(folder: Path | None = None) -> dict[str, str]:
    """Return the environment variables of a command; with `folder`, its modules can be imported.

    The variables that launchers set are left out, and the width is one at which nothing is folded.
    """
    variables = {key: value for key, value in os.environ.items() if key not in ("RANK", "WORLD_SIZE", "MASTER_PORT")}
    variables["COLUMNS"] = "200"
    if folder is not None:
        before = os.environ.get("PYTHONPATH")
        variables["PYTHONPATH"] = f"{folder}{os.pathsep}{before}" if before else str(folder)
    return variables


def with_broken_environments(folder: Path) -> Path:
    """Write the module `broken` into a folder and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "broken.py").write_text(ENVIRONMENTS)
    return folder


def command(
    *arguments: str, cwd: Path, module: str = "rlexp.main", modules: Path | None = None, options: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    """Run `python -m module arguments` in `cwd`; `options` are Python's own."""
    words = [sys.executable, *options, "-m", module, *arguments]
    return subprocess.run(
        words, cwd=cwd, env=environment(modules), capture_output=True, text=True, timeout=300, check=False
    )


def train(*arguments: str, cwd: Path, modules: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the training command and require that it succeeds."""
    done = command(*arguments, cwd=cwd, modules=modules)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def evaluate(*arguments: str, cwd: Path) -> dict:
    """Run the evaluation command, require that it succeeds, and return what it printed."""
    done = command(*arguments, cwd=cwd, module="rlexp.evaluate")
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def error_line(done: subprocess.CompletedProcess[str]) -> str:
    """Require exit code 1 and exactly one line on the standard error, which starts with 'error: '; return it."""
    lines = done.stderr.splitlines()
    assert done.returncode == 1, done.stdout + done.stderr
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ")
    return lines[0]


def summary(run_dir: Path) -> dict:
    return json.loads((run_dir / "summary.json").read_text())


def metrics(run_dir: Path) -> list[dict[str, str]]:
    """Return the rows of metrics.csv."""
    with (run_dir / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def is_time(name: str) -> bool:
    """Return whether a column or a scalar measures time, in which equal runs differ."""
    return name in ("seconds", "hparam/steps_per_second") or name.startswith("Time/")


def rows_without_times(run_dir: Path) -> list[dict[str, str]]:
    """Return the rows of metrics.csv without wall times."""
    return [{key: value for key, value in row.items() if not is_time(key)} for row in metrics(run_dir)]


def evaluations(run_dir: Path) -> list[dict[str, str]]:
    """Return the rows of evaluations.csv without wall times."""
    with (run_dir / "evaluations.csv").open(newline="") as file:
        return [{key: value for key, value in row.items() if not is_time(key)} for row in csv.DictReader(file)]


def sweep_rows(text: str) -> list[list[str]]:
    """Return the cells of the jobs in the table that ends the output of a sweep, its first line among them."""
    lines = text[text.rindex("\nsweep:\n") :].splitlines()
    begin = next(number for number, line in enumerate(lines) if line.startswith("job "))
    rows = itertools.takewhile(str.strip, lines[begin:])
    return [re.split(r"  +", row.strip()) for row in rows]


def only(folder: Path, pattern: str = "*") -> Path:
    """Return the one path in `folder` that fits `pattern`."""
    (path,) = folder.glob(pattern)
    return path


def wait_for(condition: Callable[[], object], what: str, seconds: float = 60) -> None:
    """Wait until `condition()` is true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.05)


def processes_with(marker: str) -> list[int]:
    """Return the ids of the processes whose command line or environment holds `marker`."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            try:
                text = (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes()
                state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
            except OSError:
                continue
            if marker.encode() in text and state != "Z":
                found.append(int(folder.name))
    return sorted(found)


def events(run_dir: Path) -> list[tuple[int, dict[str, float]]]:
    """Return the step and scalars of each TensorBoard event of a run that has scalars, except times."""
    from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader

    found = []
    for path in sorted(run_dir.glob("events.out.tfevents.*.rlexp")):
        for event in LegacyEventFileLoader(str(path)).Load():
            values = {value.tag: value.simple_value for value in event.summary.value if value.HasField("simple_value")}
            values = {tag: value for tag, value in values.items() if not is_time(tag)}
            if values:
                found.append((event.step, values))
    return found


def video(path: Path) -> list:
    """Return the frames of a video, [height, width, 3] each."""
    from moviepy import VideoFileClip

    with VideoFileClip(str(path), audio=False) as clip:
        return [frame.copy() for frame in clip.iter_frames()]


def sealed(path: Path, state: Saved) -> None:
    """Write a checkpoint of any content, with the checksum that it needs."""
    path.write_bytes(encode(state))


def recorded_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a run in RUN: videos, normalised, checkpoints, and its output in the file stdout."""

    def make(folder: Path) -> None:
        extras = ("capture_video=true", "checkpoint.every=128", "hydra.run.dir=RUN")
        done = train(*TINY, "env.normalize_observations=true", "env.normalize_rewards=true", *extras, cwd=folder)
        (folder / "stdout").write_text(done.stdout)

    return once(tmp_path_factory, "recorded", make)


def once(tmp_path_factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """Return a folder that `make` has filled, once for all workers of pytest-xdist."""
    worker = "PYTEST_XDIST_WORKER" in os.environ
    base = tmp_path_factory.getbasetemp().parent if worker else tmp_path_factory.getbasetemp()
    folder = base / name
    with (base / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "made").exists():
            folder.mkdir(exist_ok=True)
            make(folder)
            (folder / "made").touch()
    return folder
