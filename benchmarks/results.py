"""Learning: train every preset on several seeds and write docs/results.md.

usage: python -m benchmarks.results [--only NAME ...] [--jobs 2] [--reuse]

Each run is the user's own command with experiment=NAME seed=N eval.episodes=20; the five presets are run as they are
and by the fast paths: compiled, with environments of tensors or EnvPool's. The page is made from the summaries that the
runs leave in outputs/results/. --reuse takes a run that is already completed there instead of running it again.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.machine import described
from benchmarks.results_worlds import other_sections
from rlexp.config.compose import from_plain
from rlexp.files.checkpoint import load

OUTPUTS = Path("outputs/results")
PAGE = Path("docs/results.md")
LAST_UPDATES = 5


@dataclass(frozen=True)
class Task:
    """A preset, the seeds it is run with, what it should reach, what others published, and what it is run by.

    Attributes:
        backend: the fastest that the environment has; empty: only as the preset says.
        fast: whether this is the preset by that backend, compiled.
    """

    name: str
    env_id: str
    seeds: tuple[int, ...]
    target: float
    published: str
    backend: str = "torch"
    fast: bool = False


TASKS = (
    Task("cartpole", "CartPole-v1", tuple(range(1, 11)), 495, "500 (zoo, 100k steps)"),
    Task(
        "acrobot", "Acrobot-v1", (1, 2, 3, 4, 5), -80, "-73.5 ± 18.2 (zoo, 1M); -86.4 ± 1.3 (CleanRL, 500k, training)"
    ),
    Task("mountaincar", "MountainCar-v0", (1, 2, 3, 4, 5), -110, "-110.4 ± 19.5 (zoo, 1M); -200 (CleanRL, 500k)"),
    Task("pendulum", "Pendulum-v1", (1, 2, 3, 4, 5), -172, "-172.2 ± 104.2 (zoo, 100k, gSDE); -174.9 (SLM-Lab, 300k)"),
    Task(
        "lunarlander",
        "LunarLander-v3",
        (1, 2, 3, 4, 5),
        242,
        "242.1 ± 31.8 (zoo, 1M, on v2); 183.3 (SLM-Lab, 300k)",
        "envpool",
    ),
)
EXAMPLE = Task("seed_example", "LunarLander-v3", (1,), 210, "199 to 231 (the example itself, on v2, same settings)", "")
FAST = tuple(replace(task, fast=True) for task in TASKS if task.backend)
ALL = (*TASKS, EXAMPLE, *FAST)


def folder(task: Task, seed: int) -> Path:
    """Return where a run leaves its files."""
    return OUTPUTS / f"{task.name}{'-fast' if task.fast else ''}-seed{seed}"


def completed(task: Task, seed: int) -> bool:
    """Return whether this run was made before."""
    summary = folder(task, seed) / "summary.json"
    return summary.is_file() and json.loads(summary.read_text())["state"] == "completed"


def run(task: Task, seed: int, reuse: bool) -> dict[str, Any]:
    """Run one seed of a task in a process of its own; return its summary."""
    summary = folder(task, seed) / "summary.json"
    if not (reuse and completed(task, seed)):
        command = [sys.executable, "-m", "rlexp.main", f"experiment={task.name}", f"seed={seed}", "eval.episodes=20"]
        command += ["compile=true", f"env.backend={task.backend}"] if task.fast else []
        subprocess.run([*command, f"hydra.run.dir={folder(task, seed)}"], check=True, stdout=subprocess.DEVNULL)
    values: dict[str, Any] = json.loads(summary.read_text())
    objective = values["eval"]["mean_return"]
    print(f"{folder(task, seed).name}: {objective:.1f} ({values['wall_seconds']:.0f} s)", flush=True)
    return values


def compiled(path: Path) -> bool:
    """Return whether the run in this directory compiled its train step."""
    state = load(path / "checkpoints" / "last.safetensors")
    return from_plain(state.config, state.algo).compiled


def row(task: Task, summaries: list[dict[str, Any]]) -> str:
    """Return a task's row: mean over seeds with their deviation, each seed's value, beside what is published."""
    means = [summary["eval"]["mean_return"] for summary in summaries]
    spread = statistics.stdev(means) if len(means) > 1 else 0.0
    mean = statistics.fmean(means)
    each = ", ".join(f"{value:.1f}" for value in means)
    seconds = statistics.fmean(summary["wall_seconds"] for summary in summaries)
    cells = [
        *(task.env_id, f"{summaries[0]['env_steps']:,}", f"{mean:.1f} ± {spread:.1f}", each, f"{task.target}"),
        "yes" if mean >= task.target else "no",
    ]
    if task.fast:
        cells.append(f"`env.backend={task.backend}`")
    else:
        cells += [task.published, "yes" if compiled(folder(task, task.seeds[0])) else "no"]
    cells.append(f"{seconds:.0f}")
    return f"| {' | '.join(cells)} |"


def last_training_returns(path: Path) -> list[float]:
    """Return the mean training return of each of the last updates."""
    with (path / "metrics.csv").open() as file:
        returns = [float(line["Rewards/rew_avg"]) for line in csv.DictReader(file) if line["Rewards/rew_avg"]]
    return returns[-LAST_UPDATES:]


def page(made: str, how: str, rows: list[str], fast: list[str], example: list[float], greedy: float) -> str:
    """Return the text of docs/results.md.

    Args:
        made: machine, versions, date and commit.
        how: how the runs were made.
        rows: of the presets as they are.
        fast: the same by the fast paths.
        example: training returns of the example's last updates.
        greedy: its evaluation.
    """
    return f"""# Results

Made by `make results`. {made}

Each value is the final greedy evaluation of one seed, the mean return of 20 episodes on other seeds than training's;
the figure after ± is the standard deviation over seeds. The presets are in `conf/experiment/`. The published numbers
are of one run (rl-baselines3-zoo: deterministic evaluation, ± over episodes), of training returns (CleanRL) or of 4
sessions (SLM-Lab).

The presets start from rl-baselines3-zoo or the Fabric example and were found in two to six tries each. Before the
first such runs the chosen settings had been seen on one seed alone (Acrobot and LunarLander 1, Pendulum 2, MountainCar
11); settings that were turned down, on up to five of the seeds here. CartPole's is the zoo's own. `compile=auto`, the
default, compiles the runs of 20,000 optimizer steps and more.

{how}
Seconds are those from the launch to the end of a run, evaluation and compilation included, beside other runs: they are
no measure of speed, [benchmarks.md](benchmarks.md) is.

| task | steps | mean over seeds | each seed | target | reached | published | compiled | seconds a run |
|---|---|---|---|---|---|---|---|---|
{chr(10).join(rows)}

## The same by the fast paths

The same presets, seeds and evaluation, with `compile=true` and with environments of tensors or EnvPool's, whose random
numbers are others than gymnasium's. EnvPool's LunarLander resets on the next step.

| task | steps | mean over seeds | each seed | target | reached | environments | seconds a run |
|---|---|---|---|---|---|---|---|
{chr(10).join(fast)}

## The Fabric example's LunarLander settings

`experiment=seed_example`: 500,000 steps, 2 environments of 2,048 steps, orthogonal initialisation, seed 1, on one rank.
Mean training return of the last {LAST_UPDATES} updates: {", ".join(f"{value:.1f}" for value in example)} (mean
{statistics.fmean(example):.1f}); 20 greedy episodes afterwards: {greedy:.1f}. The example itself, on LunarLander-v2:
199 to 231 over its last five updates, about 210.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [task.name for task in (*TASKS, EXAMPLE)]
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--reuse", action="store_true")
    arguments = parser.parse_args()
    made = described()
    pairs = [(task, seed) for task in ALL if task.name in arguments.only for seed in task.seeds]
    reused = sum(arguments.reuse and completed(*pair) for pair in pairs)
    with ThreadPoolExecutor(arguments.jobs) as pool:
        summaries = list(pool.map(lambda pair: run(*pair, reuse=arguments.reuse), pairs))
    by_task: dict[Task, list[dict[str, Any]]] = {}
    for (task, _), summary in zip(pairs, summaries, strict=True):
        by_task.setdefault(task, []).append(summary)
    rows, fast = ([row(task, by_task[task]) for task in kind if task in by_task] for kind in (TASKS, FAST))
    print("\n".join([*rows, *fast]))
    if len(by_task) == len(ALL):
        example = last_training_returns(folder(EXAMPLE, 1))
        how = f"{arguments.jobs} at a time" + (f", {reused} of {len(pairs)} by an earlier call" if reused else "")
        greedy = by_task[EXAMPLE][0]["eval"]["mean_return"]
        others = other_sections(PAGE.read_text() if PAGE.is_file() else "")
        text = page(made, f"Runs were made {how}.", rows, fast, example, greedy)
        PAGE.write_text(f"{text}\n{others}" if others else text)
        print(f"written: {PAGE}")


if __name__ == "__main__":
    main()
