"""Learning on other packages' environments: MuJoCo, MiniGrid, BipedalWalker, Atari, into docs/results.md.

usage: python -m benchmarks.results_worlds [--only NAME ...] [--jobs 2] [--page]

Each run is the user's own command with experiment=NAME env.id=ID seed=N eval.episodes=20. Completed runs in
outputs/results-worlds/ are kept, interrupted ones go on where they were stopped, so the command can be given again;
--page writes the page from what is there.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.machine import described

OUTPUTS = Path("outputs/results-worlds")
PAGE = Path("docs/results.md")
MARK = "## Other worlds\n"


@dataclass(frozen=True)
class Task:
    """A preset on an environment, its seeds, what it should reach, and what others published."""

    preset: str
    env_id: str
    seeds: tuple[int, ...]
    target: float
    published: str
    words: tuple[str, ...] = ()
    label: str = ""

    @property
    def name(self) -> str:
        """Short name, as --only takes it."""
        return self.label or self.env_id.rpartition("/")[2]


FIVE, MUJOCO = (1, 2, 3, 4, 5), "tianshou (v3, 1M), {}; CleanRL (v4, training), {}"
TASKS = (
    Task("halfcheetah", "HalfCheetah-v5", FIVE, 5000, MUJOCO.format("5,784", "1,443")),
    Task("hopper", "Hopper-v5", FIVE, 2600, MUJOCO.format("2,609", "2,383")),
    Task("walker2d", "Walker2d-v5", FIVE, 3600, MUJOCO.format("3,589", "2,288")),
    Task("invertedpendulum", "InvertedPendulum-v5", FIVE, 1000, "CleanRL (v4, training), 963"),
    Task("minigrid", "MiniGrid-Empty-Random-5x5-v0", FIVE, 0.96, "zoo, 0.968 (100k)"),
    Task("minigrid", "MiniGrid-DoorKey-5x5-v0", FIVE, 0.96, "zoo, 0.964 (100k)"),
    Task("cartpole_memory", "CartPole-v1", tuple(range(1, 11)), 495, "500, of the whole state (zoo)", (), "memory"),
    Task("cartpole_memory", "CartPole-v1", FIVE, 495, "without memory", ("model=mlp",), "no-memory"),
    Task("bipedalwalker", "BipedalWalker-v3", (1, 2, 3), 290, "zoo, 287.9 (5M)"),
    Task("atari", "ALE/Pong-v5", (1, 2), 18, "CleanRL, 20.4 (10M)", ("env.backend=envpool", "total_timesteps=2000000", "fabric.precision=bf16-mixed")),
)


def folder(task: Task, seed: int) -> Path:
    """Return where a run leaves its files."""
    return OUTPUTS / f"{task.name}-seed{seed}"


def summary(task: Task, seed: int) -> dict[str, Any]:
    """Return the summary of a run; empty where it is not completed."""
    path = folder(task, seed) / "summary.json"
    values: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    return values if values.get("state") == "completed" else {}


def run(task: Task, seed: int) -> None:
    """Run one seed of a task in a process of its own, or what is left of it."""
    if not summary(task, seed):
        words = [f"experiment={task.preset}", f"env.id={task.env_id}", f"seed={seed}", "eval.episodes=20", *task.words]
        place = [f"hydra.run.dir={folder(task, seed)}", "resume=auto", "fabric.threads_per_rank=1"]
        command = [sys.executable, "-m", "rlexp.main", *words, *place]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            print(f"{folder(task, seed).name}: {done.stderr.strip()[-300:]}", flush=True)
            return
    values = summary(task, seed)
    print(
        f"{folder(task, seed).name}: {values['eval']['mean_return']:.2f} ({values['wall_seconds']:.0f} s)", flush=True
    )


def row(task: Task) -> str:
    """Return a task's row."""
    done = {seed: found for seed in task.seeds if (found := summary(task, seed))}
    means = [values["eval"]["mean_return"] for values in done.values()]
    digits = 3 if task.target < 10 else 1
    spread = statistics.stdev(means) if len(means) > 1 else 0.0
    each = ", ".join(f"{seed}: {values['eval']['mean_return']:.{digits}f}" for seed, values in done.items())
    first = next(iter(done.values()))
    seconds = statistics.fmean(values["wall_seconds"] for values in done.values())
    speed = statistics.fmean(values["steps_per_second"] for values in done.values())
    mean = statistics.fmean(means)
    reached = ("yes" if mean >= task.target else "no") + ("" if len(done) == len(task.seeds) else " (fewer seeds)")
    value = f"{mean:.{digits}f} ± {spread:.{digits}f}"
    cells = [
        f"`experiment={task.preset}{' ' + task.words[0] if task.words else ''}` {task.env_id}",
        f"{first['env_steps']:,}",
        value,
        each,
        f"{task.target:g}",
    ]
    cells += [reached, task.published, f"{seconds:,.0f}", f"{speed:,.0f}"]
    return f"| {' | '.join(cells)} |"


def section(made: str) -> str:
    """Return the section of docs/results.md, of the tasks that have runs."""
    rows = [row(task) for task in TASKS if any(summary(task, seed) for seed in task.seeds)]
    return f"""{MARK}
Made by `make results-worlds`. {made}

Each value is the final greedy evaluation of one seed over 20 episodes, raw returns of whole episodes whatever the
wrappers do. Runs were made two at a time, with one thread each, so seconds and steps/s are no measure of speed.
Published values of MuJoCo are of v3 and v4: nobody has published tables of v5; for these tasks they differ little.

| preset, environment | steps | mean over seeds | each seed | target | reached | published | seconds a run | steps/s |
|---|---|---|---|---|---|---|---|---|
{chr(10).join(rows)}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=[task.name for task in TASKS], metavar="NAME")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--page", action="store_true")
    arguments = parser.parse_args()
    if not arguments.page:
        # The first seeds of all tasks come first, so that a table that is cut off has all of them.
        pairs = [(task, seed) for seed in range(1, 11) for task in TASKS if seed in task.seeds]
        pairs = [pair for pair in pairs if not arguments.only or pair[0].name in arguments.only]
        with ThreadPoolExecutor(arguments.jobs) as pool:
            list(pool.map(lambda pair: run(*pair), pairs))
    before = PAGE.read_text().partition(MARK)[0].rstrip()
    PAGE.write_text(f"{before}\n\n{section(described())}")
    print(f"written: {PAGE}")


if __name__ == "__main__":
    main()
