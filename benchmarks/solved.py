"""Wall clock from the command to a solved task, process start included, against Stable-Baselines3.

usage: python -m benchmarks.solved [--tasks NAME ...] [--sides NAME ...] [--seeds 1 2 3 4 5] [--store FOLDER]
                                   [--add] [--solved RETURN] [--steps N] [--eval-every N] [KEY=VALUE ...]

Sides: `preset` (rlexp's own settings, with the further overrides KEY=VALUE), `zoo` (rlexp with exactly the peer's),
`sb3`, whose evaluations play one episode after the other, as the zoo's do, and `sb3-parallel`, which plays them side by
side as rlexp does; one run after the other, interleaved by seed. All evaluate 10 greedy episodes as often. --add keeps
what else the folder holds, sides and runs of other seeds. --solved, --steps and --eval-every are for trials, which
should have a --store of their own.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.runs import version_in
from benchmarks.store import ROOT, add_option, load, save
from benchmarks.tables import ratio, spread
from benchmarks.tasks import EVAL_EPISODES, TASKS, Task

PEERS = {"sb3": 1, "sb3-parallel": EVAL_EPISODES}
"""With the number of environments that evaluate."""
SIDES = {
    "preset": "rlexp, its own settings",
    "zoo": "rlexp, the zoo's settings",
    "sb3": "Stable-Baselines3",
    "sb3-parallel": "Stable-Baselines3, evaluating side by side",
}
HOW = ("compile=", "env.backend=", "env.vectorization=")
"""What says how something is computed, not what: the same for `preset` and `zoo`."""


def command_of(task: Task, side: str, seed: int, extra: list[str], folder: Path) -> list[str]:
    """Return the command of one run."""
    if side in PEERS:
        numbers = (seed, task.solved, task.steps, task.eval_every, PEERS[side])
        return [sys.executable, "-m", "benchmarks.peer_solve", task.name, *map(str, numbers), str(folder)]
    return [
        *(sys.executable, "-m", "rlexp.main"),
        *settings_of(task, side, extra),
        f"seed={seed}",
        f"eval.every={task.eval_every}",
        f"eval.episodes={EVAL_EPISODES}",
        f"eval.stop_at={task.solved:g}",
        f"hydra.run.dir={folder}",
    ]


def settings_of(task: Task, side: str, extra: list[str]) -> list[str]:
    """Return the settings of rlexp that the page names; a preset's own number of steps is kept."""
    own = [*task.preset, *extra]
    return own if side == "preset" else [*task.zoo(), *(one for one in own if one.startswith(HOW))]


def run(task: Task, side: str, seed: int, extra: list[str]) -> dict[str, Any]:
    """Run until the task is solved; return seconds, environment steps and the last mean return.

    Raises:
        RuntimeError: the run failed; a task that is not solved is no failure.
    """
    with tempfile.TemporaryDirectory(prefix="rlexp-solved-") as folder:
        command = command_of(task, side, seed, extra, Path(folder))
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        began = time.perf_counter()
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        seconds = time.perf_counter() - began
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
        if side in PEERS:
            told = json.loads((Path(folder) / "solved.json").read_text())
        else:
            summary = json.loads((Path(folder) / "summary.json").read_text())
            told = {"env_steps": summary["env_steps"], "mean_return": summary["eval"]["mean_return"]}
    return {"seed": seed, "seconds": seconds, **told, "solved": told["mean_return"] >= task.solved}


def measure(task: Task, sides: list[str], seeds: list[int], extra: list[str]) -> dict[str, list[dict[str, Any]]]:
    """Run all sides by turns, a seed after the other; a first run of each, cut short, fills the caches."""
    found: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}
    easy = dataclasses.replace(task, solved=-1e9)
    for side in sides:
        run(easy, side, seeds[0], extra)
    for seed in seeds:
        for side, runs in found.items():
            runs.append(run(task, side, seed, extra))
            print(f"{task.name} seed {seed} {side}: {runs[-1]}", flush=True)
    return found


def others(stored: list[dict[str, Any]], runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return runs with the stored ones of other seeds, in the order of seeds."""
    new = {one["seed"] for one in runs}
    return sorted([*(one for one in stored if one["seed"] not in new), *runs], key=lambda one: int(one["seed"]))


def times(runs: list[dict[str, Any]]) -> list[float]:
    """Return the seconds of each run; infinite where the task was not solved."""
    return [one["seconds"] if one["solved"] else math.inf for one in runs]


def against(ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> str:
    """Return the ratio of medians and its range, of the seeds that both have; empty where most were not solved."""
    both = {one["seed"] for one in ours} & {one["seed"] for one in theirs}
    seconds = [times([one for one in runs if one["seed"] in both]) for runs in (ours, theirs)]
    return ratio(*seconds) if both and all(math.isfinite(statistics.median(each)) for each in seconds) else ""


def table(found: dict[str, list[dict[str, Any]]]) -> str:
    """Return the runs as a table; the ratio is of medians, its range of the pairs of one seed.

    A run that ended without solving the task counts as one that never would have.
    """
    peers = [side for side in PEERS if found.get(side)]
    heads = ["", "seconds to solve", *(f"/ {SIDES[peer]}" for peer in peers), "each seed, s", "steps, median", "solved"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for side, runs in found.items():
        seconds = times(runs)
        cells = (
            SIDES[side],
            spread(seconds, 1).replace("inf", "never"),
            *("" if side in PEERS else against(runs, found[peer]) for peer in peers),
            ", ".join(f"{one['seconds']:.1f}" + ("" if one["solved"] else " (not solved)") for one in runs),
            f"{statistics.median(one['env_steps'] for one in runs):,.0f}",
            f"{sum(one['solved'] for one in runs)} of {len(runs)}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", choices=tuple(TASKS), default=list(TASKS))
    parser.add_argument("--sides", nargs="+", choices=tuple(SIDES), default=list(SIDES))
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3, 4, 5])
    parser.add_argument("--add", action="store_true", help="keep stored sides and runs of other seeds")
    parser.add_argument("--solved", type=float, help="mean return that counts as solved (default: the task's)")
    parser.add_argument("--steps", type=int, help="longest run of the peer and of `zoo` (default: the task's)")
    parser.add_argument("--eval-every", type=int, help="environment steps between evaluations (default: the task's)")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="of rlexp's own settings")
    add_option(parser)
    return parser.parse_intermixed_args()


def main() -> None:
    arguments = parse()
    chosen = {"solved": arguments.solved, "steps": arguments.steps, "eval_every": arguments.eval_every}
    chosen = {name: value for name, value in chosen.items() if value is not None}
    for name in arguments.tasks:
        task = dataclasses.replace(TASKS[name], **chosen)
        result: dict[str, Any] = {
            "task": name,
            "solved": task.solved,
            "eval_every": task.eval_every,
            "preset": " ".join(settings_of(task, "preset", arguments.overrides)),
            "zoo": " ".join(settings_of(task, "zoo", arguments.overrides)),
        }
        stored = load(arguments.store, f"solved-{name}") if arguments.add else None
        if stored and (other := [key for key in result if stored[key] != result[key]]):
            sys.exit(f"error: --add, but what is stored of {name} was measured with other {', '.join(other)}")
        try:
            found = measure(task, arguments.sides, arguments.seeds, arguments.overrides)
        except RuntimeError as error:
            sys.exit(f"error: {error}")
        if stored:
            result |= {"added": list(found), "earlier": [*stored.get("earlier", []), stored["made"]]}
            runs = {side: others(stored["runs"].get(side, []), found.get(side, [])) for side in SIDES}
            found = {side: kept for side, kept in runs.items() if kept}
        version = version_in(sys.executable, "stable-baselines3")
        save(arguments.store, f"solved-{name}", {**result, "runs": found}, f"stable-baselines3 {version}")
        print(f"\n{table(found)}\n")


if __name__ == "__main__":
    main()
