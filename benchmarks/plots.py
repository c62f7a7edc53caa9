"""Plots of stored results, as SVG files beside the page.

usage: python -m benchmarks.plots [--store FOLDER] [--into docs/benchmarks]
"""

from __future__ import annotations

import argparse
import statistics
from dataclasses import fields
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # the backend comes first
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.cases import CASES
from benchmarks.store import PICTURES, add_option, load
from benchmarks.tables import Side
from benchmarks.timed import Phases

SIZE = (7.0, 4.0)
# Text stays text, so that files are small; the salt makes their ids the same each time.
plt.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "rlexp", "font.size": 9})


def finish(figure: Figure, path: Path) -> None:
    """Write a figure."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)
    print(f"written: {path}")


def lines(axes: Axes, series: dict[str, dict[str, list[float]]]) -> None:
    """Draw medians, and from lowest to highest as bars."""
    for marker, (name, points) in zip("osD^v", series.items(), strict=False):
        x = [int(count) for count in points]
        middle = [statistics.median(speeds) for speeds in points.values()]
        below = [value - min(speeds) for value, speeds in zip(middle, points.values(), strict=True)]
        above = [max(speeds) - value for value, speeds in zip(middle, points.values(), strict=True)]
        axes.errorbar(x, middle, yerr=[below, above], marker=marker, markersize=4, capsize=2, label=name)
    axes.set_ylabel("environment steps per second")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)


def plot_envs(store: Path, into: Path) -> None:
    """Draw steps per second against the number of environments."""
    if (result := load(store, "points-envs")) is None or not result["series"]:
        return
    figure, axes = plt.subplots(figsize=SIZE)
    lines(axes, result["series"])
    counts = sorted({int(count) for points in result["series"].values() for count in points})
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(counts, [f"{count:,}" for count in counts])
    axes.set_xlabel("environments (env.num_envs)")
    axes.set_title("CartPole, PPO: rollouts of 128 steps, 4 minibatches, 4 epochs")
    finish(figure, into / "envs.svg")


def plot_ranks(store: Path, into: Path) -> None:
    """Draw steps per second against the number of ranks."""
    if (result := load(store, "points-ranks")) is None or not result["series"]:
        return
    figure, axes = plt.subplots(figsize=SIZE)
    lines(axes, result["series"])
    ranks = sorted({int(count) for points in result["series"].values() for count in points})
    axes.set_xticks(ranks, list(map(str, ranks)))
    axes.set_ylim(bottom=0)
    axes.set_xlabel("ranks (fabric.devices)")
    axes.set_title("CartPole, PPO: 16 environments in all, rollouts of 128 steps, 4 minibatches, 4 epochs")
    finish(figure, into / "ranks.svg")


def shown(side: Side, phase: str) -> float:
    """Return the length of a phase's bar: its median; of an update beside collection, what collection does not hide."""
    seconds = statistics.median(getattr(run.phases, phase) for run in side.runs)
    if phase == "update":
        seconds += min(0.0, statistics.median(run.phases.logging for run in side.runs))
    return max(0.0, seconds)


def plot_phases(store: Path, into: Path) -> None:
    """Draw the time per phase of every side of a case, medians, stacked."""
    phases = [field.name for field in fields(Phases)]
    for case in CASES:
        if (result := load(store, f"speed-{case}")) is None:
            continue
        sides = [Side.from_dict(values) for values in result["sides"]]
        sides = [side for side in sides if side.steps == sides[0].steps][::-1]  # the same work, the first on top
        figure, axes = plt.subplots(figsize=(SIZE[0], 0.8 + 0.45 * len(sides)))
        left = [0.0] * len(sides)
        for phase in phases:
            widths = [shown(side, phase) for side in sides]
            axes.barh([side.name for side in sides], widths, left=left, label=phase.replace("_", "-"))
            left = [start + width for start, width in zip(left, widths, strict=True)]
        axes.set_xlabel("seconds")
        axes.set_title(f"{case}: {sides[0].steps:,} steps, from the start of the process to its end")
        axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
        finish(figure, into / f"phases-{case}.svg")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--into", type=Path, default=PICTURES, help="folder of the plots")
    add_option(parser)
    arguments = parser.parse_args()
    for plot in (plot_envs, plot_ranks, plot_phases):
        plot(arguments.store, arguments.into)


if __name__ == "__main__":
    main()
