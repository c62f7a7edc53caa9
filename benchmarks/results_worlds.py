"""Learning on other packages' environments, and from a replay memory, into docs/results.md.

usage: python -m benchmarks.results_worlds [--table worlds|replay] [--only NAME ...] [--jobs 2] [--page]

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
MARKS = {"worlds": "## Other worlds\n", "replay": "## From a replay memory\n"}
"""The section of the page that each table makes."""


@dataclass(frozen=True)
class Task:
    """A preset on an environment, its seeds, what it should reach, and what others published.

    `sampled` adds a row of sampled actions: rl-baselines3-zoo evaluates MiniGrid so.
    """

    preset: str
    env_id: str
    seeds: tuple[int, ...]
    target: float
    published: str
    words: tuple[str, ...] = ()
    label: str = ""
    sampled: bool = False

    @property
    def name(self) -> str:
        """Short name, as --only takes it."""
        return self.label or self.env_id.rpartition("/")[2]


FIVE, MUJOCO = (1, 2, 3, 4, 5), "tianshou (v3, 1M), {}; CleanRL (v4, training), {}"
PONG = ("env.backend=envpool", "total_timesteps=2000000", "fabric.precision=bf16-mixed")
COUPLED = ("fabric.devices=2", "env.num_envs=4", "algo.per_rank_batch_size=128")
DECOUPLED = ("topology=decoupled", "fabric.devices=3", "algo.per_rank_batch_size=128")
TASKS = (
    Task("halfcheetah", "HalfCheetah-v5", FIVE, 5000, MUJOCO.format("5,784", "1,443")),
    Task("hopper", "Hopper-v5", FIVE, 2600, MUJOCO.format("2,609", "2,383")),
    Task("walker2d", "Walker2d-v5", FIVE, 3600, MUJOCO.format("3,589", "2,288")),
    Task("invertedpendulum", "InvertedPendulum-v5", FIVE, 1000, "CleanRL (v4, training), 963"),
    Task("minigrid", "MiniGrid-Empty-Random-5x5-v0", FIVE, 0.96, "zoo, 0.968 (100k)", sampled=True),
    Task("minigrid", "MiniGrid-DoorKey-5x5-v0", FIVE, 0.96, "zoo, 0.964 (100k)", sampled=True),
    Task("cartpole_memory", "CartPole-v1", tuple(range(1, 11)), 495, "500, of the whole state (zoo)", (), "memory"),
    Task("cartpole_memory", "CartPole-v1", FIVE, 495, "without memory", ("model=mlp",), "no-memory"),
    Task("cartpole_memory", "CartPole-v1", (1, 2, 3), 495, "the same on two ranks", COUPLED, "memory-coupled"),
    Task("cartpole_memory", "CartPole-v1", (1, 2, 3), 495, "the same, two trainers", DECOUPLED, "memory-decoupled"),
    Task("repeat_previous", "popgym-RepeatPreviousEasy-v0", FIVE, 0.95, "1 is the best", (), "repeat"),
    Task(
        "repeat_previous",
        "popgym-RepeatPreviousEasy-v0",
        FIVE,
        0.95,
        "without memory",
        ("model=mlp",),
        "repeat-no-memory",
    ),
    Task("bipedalwalker", "BipedalWalker-v3", (1, 2, 3), 290, "zoo, 287.9 (5M)"),
    Task(
        "atari",
        "ALE/Pong-v5",
        (1, 2),
        18,
        "CleanRL, 20.4 (10M)",
        PONG,
    ),
)


THREE = (1, 2, 3)
PARTS = ("algo.dueling=true", "algo.n_step=3", "algo.priority_exponent=0.5")
SIMBA = "SimbaV2's SAC (v4, 10 seeds), {}"
REPLAY = (
    Task("pendulum_sac", "Pendulum-v1", FIVE, -157, "zoo, -157.0 (20k)", (), "pendulum-sac"),
    Task("pendulum_td3", "Pendulum-v1", FIVE, -152, "zoo, -151.9 (20k)", (), "pendulum-td3"),
    Task("cartpole_dqn", "CartPole-v1", FIVE, 500, "zoo, 500 (50k)", (), "cartpole-dqn"),
    Task("cartpole_sac", "CartPole-v1", FIVE, 500, "none", (), "cartpole-sac"),
    Task("acrobot_dqn", "Acrobot-v1", FIVE, -76, "zoo, -76.6 (100k)", (), "acrobot-dqn"),
    Task("lunarlander_dqn", "LunarLander-v3", FIVE, 154, "zoo, 154.4 (v2, 100k)", (), "lunarlander-dqn"),
    Task("lunarlander_dqn", "LunarLander-v3", FIVE, 154, "the same with its parts", PARTS, "lunarlander-dqn-parts"),
    Task("mountaincar_sac", "MountainCarContinuous-v0", FIVE, 94, "zoo, 94.7 (50k)", (), "mountaincar-sac"),
    Task("lunarlander_sac", "LunarLander-v3", FIVE, 260, "zoo, 260.4 (v2, 500k)", (), "lunarlander-sac"),
    Task("bipedalwalker_sac", "BipedalWalker-v3", FIVE, 297, "zoo, 297.7 (500k)", (), "bipedalwalker-sac"),
    Task("mujoco_sac", "HalfCheetah-v5", THREE, 8593, SIMBA.format("8,593"), (), "halfcheetah-sac"),
    Task("mujoco_sac", "Hopper-v5", THREE, 2160, SIMBA.format("2,160"), (), "hopper-sac"),
    Task("mujoco_sac", "Walker2d-v5", THREE, 2470, SIMBA.format("2,470"), (), "walker2d-sac"),
)  # fmt: skip
TABLES = {"worlds": TASKS, "replay": REPLAY}


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
    checkpoint = folder(task, seed) / "checkpoints" / "last.safetensors"
    if task.sampled and not checkpoint.with_suffix(".eval.json").is_file():
        words = [f"checkpoint={checkpoint}", "deterministic=false", "episodes=100"]
        subprocess.run([sys.executable, "-m", "rlexp.evaluate", *words], check=True, capture_output=True)
    values = summary(task, seed)
    print(
        f"{folder(task, seed).name}: {values['eval']['mean_return']:.2f} ({values['wall_seconds']:.0f} s)", flush=True
    )


def mean_return(task: Task, seed: int, sampled: bool) -> float:
    """Return that of the greedy evaluation after training, or of the one with sampled actions."""
    if not sampled:
        return float(summary(task, seed)["eval"]["mean_return"])
    return float(json.loads((folder(task, seed) / "checkpoints" / "last.eval.json").read_text())["mean_return"])


def row(task: Task, sampled: bool = False) -> str:
    """Return a task's row."""
    done = {seed: found for seed in task.seeds if (found := summary(task, seed))}
    returns = {seed: mean_return(task, seed, sampled) for seed in done}
    means = list(returns.values())
    digits = 3 if abs(task.target) < 10 else 1
    spread = statistics.stdev(means) if len(means) > 1 else 0.0
    each = ", ".join(f"{seed}: {value:.{digits}f}" for seed, value in returns.items())
    first = next(iter(done.values()))
    seconds = statistics.fmean(values["wall_seconds"] for values in done.values())
    speed = statistics.fmean(values["steps_per_second"] for values in done.values())
    mean = statistics.fmean(means)
    reached = ("yes" if mean >= task.target else "no") + ("" if len(done) == len(task.seeds) else " (fewer seeds)")
    value = f"{mean:.{digits}f} ± {spread:.{digits}f}"
    words = " ".join((f"experiment={task.preset}", *task.words))
    cells = [
        f"`{words}` {task.env_id}{', sampled actions' if sampled else ''}",
        f"{first['env_steps']:,}",
        value,
        each,
        f"{task.target:g}",
    ]
    cells += [reached, task.published, f"{seconds:,.0f}", f"{speed:,.0f}"]
    return f"| {' | '.join(cells)} |"


def section(table: str, made: str) -> str:
    """Return the section of docs/results.md, of the tasks that have runs."""
    done = [task for task in TABLES[table] if any(summary(task, seed) for seed in task.seeds)]
    rows = [row(task, sampled) for task in done for sampled in ((False, True) if task.sampled else (False,))]
    return f"""{MARKS[table]}
Made by `make results-{table}`. {made}

Each value is the final greedy evaluation of one seed over 20 episodes (sampled actions: 100), raw returns of whole
episodes whatever the wrappers do. Runs were made two at a time, with one thread each, so seconds and steps/s are no
measure of speed.
Published values of MuJoCo are of v3 and v4: nobody has published tables of v5; for these tasks they differ little.

| preset, environment | steps | mean over seeds | each seed | target | reached | published | seconds a run | steps/s |
|---|---|---|---|---|---|---|---|---|
{chr(10).join(rows)}
"""


def other_sections(page: str) -> str:
    """Return the sections of the page that this module writes."""
    return page[min([page.index(mark) for mark in MARKS.values() if mark in page], default=len(page)) :]


def with_section(page: str, table: str, text: str) -> str:
    """Return the page with the section of a table in its place: the tables' sections come last, in their order."""
    found = {}
    for name, mark in MARKS.items():
        after = page.partition(mark)[2]
        others = [after.partition(other)[0] for other in MARKS.values() if other != mark and other in after]
        found[name] = f"{mark}{min(others, key=len, default=after)}".strip() if mark in page else ""
    found[table] = text.strip()
    before = page.removesuffix(other_sections(page)).rstrip()
    return "\n\n".join([before, *filter(None, found.values())]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", choices=list(TABLES), default="worlds")
    parser.add_argument("--only", nargs="+", choices=[task.name for task in (*TASKS, *REPLAY)], metavar="NAME")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--page", action="store_true")
    arguments = parser.parse_args()
    if not arguments.page:
        # The first seeds of all tasks come first, so that a table that is cut off has all of them.
        pairs = [(task, seed) for seed in range(1, 11) for task in TABLES[arguments.table] if seed in task.seeds]
        pairs = [pair for pair in pairs if not arguments.only or pair[0].name in arguments.only]
        with ThreadPoolExecutor(arguments.jobs) as pool:
            list(pool.map(lambda pair: run(*pair), pairs))
    PAGE.write_text(with_section(PAGE.read_text(), arguments.table, section(arguments.table, described())))
    print(f"written: {PAGE}")


if __name__ == "__main__":
    main()
