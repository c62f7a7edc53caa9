"""Compose docs/benchmarks.md from stored results.

usage: python -m benchmarks.page [--store FOLDER] [--page PATH]

Each section names the machine, versions, date and commit that its results were made with. What has not been measured
has no section. What else is to be known of the machine, such as who shares it, stands in note.md in the store.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path
from typing import Any

from benchmarks.cases import CASES, VARIANTS
from benchmarks.solved import SIDES
from benchmarks.solved import table as solved_table
from benchmarks.store import PICTURES, ROOT, add_option, load
from benchmarks.tables import PEER, Side, phase_table, speed_table, spread
from benchmarks.tasks import EVAL_EPISODES, TASKS

PAGE = ROOT / "docs" / "benchmarks.md"
HOW = f"""## Speed

PPO on equal networks (actor and critic of their own, 64-64 tanh), settings and torch threads (one a process).
Parameters and optimizer steps were counted on all sides and are equal, except in the variants `tensors` and `envpool`.
Every measurement is a process of its own with a seed of its own, and all sides of a case take turns. rlexp is the
user's own command with `eval.episodes=0`; all sides count episodes, write curves to a CSV file and TensorBoard after
each update, and save the model at the end. Figures are medians (lowest..highest); ratios are of medians (range: ratios
of neighbouring runs).

- Variants of rlexp: `eager`; `compiled` (`compile=true`); `overlap` (compiled, `topology=decoupled fabric.devices=2
  topology.overlap=true`: two processes); `envpool` (compiled, `env.backend=envpool`, whose environments run in two
  threads beside torch's; it resets on the next step, so that up to 2 % of its steps reach no minibatch);
  `envpool-overlap` (both: two processes, one thread of environments); `tensors` (compiled, `env.backend=torch`, 64
  environments and minibatches of 2,048, threads as rlexp chooses: other work than its peer's).
- SBX is {PEER} on JAX, measured where it is installed (`pip install -e ".[bench-sbx]"`, or in
  an environment of its own: `make bench ARGS="--sbx-python PATH"`). It has no clipped value loss and clips the
  gradients of actor and critic separately.
- **steps/s**: environment steps after the warm-up, the last update left out (with `overlap` nothing is collected beside
  it), divided by the wall time of the loop they took: collection, update and logging.
- *Whole process / loop of {PEER}*: from the start of a side's process to its end, against the time of `learn` alone.
- Phases, in seconds: *imports* before the loop, as Python counts them; *set-up* is the rest before the first rollout;
  *warm-up* the first updates at the speed of the later ones, *compilation* what they took beyond that (with whatever
  is imported or set up in them; a difference, which noise may push below zero), the cache of compiled code being warm;
  *first time*: the same of the first update alone with an empty cache. *Collect* and *update* come after the warm-up
  (values and advantages belong to rlexp's update, but to the peers' collection); *logging* is what the loop spends
  beside the two, negative where they run side by side; *closing* what follows the last update.
"""


def speed_section(store: Path, case: str) -> str | None:
    """Return the tables of one case."""
    if (result := load(store, f"speed-{case}")) is None:
        return None
    sides = [Side.from_dict(values) for values in result["sides"]]
    base = next(side for side in sides if side.name == PEER)
    work = base.runs[0]
    parts = [
        f"### {case}",
        f"{result['made']}",
        f"{result['described']}. {base.steps:,} steps a run, {result['repeats']} runs a side, "
        f"{work.optimizer_steps:,} optimizer steps on {work.parameters:,} parameters.",
        speed_table(sides, base),
        phase_table(sides),
    ]
    parts += [f"{name}: {side.described}; {side.steps:,} steps." for name, side in other_work(sides, base).items()]
    parts += [
        f"{side.name}: {side.runs[0].optimizer_steps:,} optimizer steps."
        for side in sides
        if side.runs[0].optimizer_steps != work.optimizer_steps
    ]
    known = {side.name for side in sides} | set(result["skipped"])
    unasked = {f"rlexp {one.name}": "not asked for" for one in VARIANTS.values() if case in one.only}
    skipped = result["skipped"] | {name: reason for name, reason in unasked.items() if name not in known}
    if skipped:
        parts.append("\n".join(f"- Not measured: {name}: {reason}." for name, reason in skipped.items()))
    if picture := image(f"phases-{case}.svg", f"Time per phase, {case}"):
        parts.append(picture)
    return "\n\n".join(parts)


def other_work(sides: list[Side], base: Side) -> dict[str, Side]:
    """Return the sides whose settings are not the case's."""
    return {side.name: side for side in sides if side.described != base.described}


def image(name: str, title: str) -> str | None:
    """Return a picture as Markdown; None if it has not been drawn."""
    return f"![{title}](benchmarks/{name})" if (PICTURES / name).is_file() else None


def points_section(store: Path, name: str, title: str, heading: str) -> str | None:
    """Return a plot and its figures."""
    if (result := load(store, f"points-{name}")) is None or not result["series"]:
        return None
    series: dict[str, dict[str, list[float]]] = result["series"]
    counts = sorted({int(count) for points in series.values() for count in points})
    lines = [f"| | {' | '.join(f'{count:,}' for count in counts)} |", "|---|" + "---|" * len(counts)]
    for label, points in series.items():
        cells = [f"{statistics.median(points[str(n)]):,.0f}" if str(n) in points else "" for n in counts]
        lines.append(f"| {label} | {' | '.join(cells)} |")
    runs = min(len(speeds) for points in series.values() for speeds in points.values())
    of = f"medians of {runs} runs (in the plot from the lowest to the highest)" if runs > 1 else "one run a point"
    parts = [
        f"## {title}",
        result["made"],
        f"Steps per second by {heading}, {of}.",
        image(f"{name}.svg", title),
        "\n".join(lines),
    ]
    return "\n\n".join(part for part in parts if part)


def solved_section(store: Path) -> str | None:
    """Return the wall clock to solved tasks."""
    results = {name: result for name in TASKS if (result := load(store, f"solved-{name}"))}
    if not results:
        return None
    parts = [
        f"""## From the command to a solved task

Wall clock from the start of the process to its end, one run after the other, interleaved by seed. Training ends when
the mean return of {EVAL_EPISODES} greedy episodes reaches the threshold; all sides evaluate as often. {PEER} has
rl-baselines3-zoo's settings, and evaluates one episode after the other, as the zoo does by default, or *side by side*:
all {EVAL_EPISODES} at once, as rlexp does. Ratios of one seed are in brackets. One run of each side beforehand, ended
at its first evaluation, filled the caches.

rlexp's own settings were chosen by hand, CartPole's on other seeds, LunarLander's as [results.md](results.md) says of
its preset; its peer's were not. Only rlexp with the zoo's settings compares the implementations alone."""
    ]
    for name, result in results.items():
        parts.append(
            f"### {name}: a mean return of {result['solved']:g}, evaluated every {result['eval_every']:,} steps\n\n"
            + "".join(f"{made}\n\n" for made in calls(result))
            + f"{solved_table(result['runs'])}\n\n"
            f"- rlexp's own settings: `{result['preset']}`"
            + (f"\n- the zoo's: `{result['zoo']}`" if "zoo" in result["runs"] else "")
        )
    return "\n\n".join(parts)


def calls(result: dict[str, Any]) -> list[str]:
    """Return by which calls the runs were made: more than one where --add put further ones beside the first."""
    if "added" not in result:
        return [result["made"]]
    added = ", ".join(SIDES[side] for side in result["added"])
    return [
        f"By the last call, on its own: {added}. {result['made']}",
        *(f"By an earlier call: {made}" for made in result["earlier"]),
    ]


def startup_section(store: Path) -> str | None:
    """Return the seconds to start."""
    if (result := load(store, "startup")) is None:
        return None
    rows = "\n".join(f"| {name} | {spread(values, 2)} |" for name, values in result["seconds"].items())
    repeats = max(map(len, result["seconds"].values()))
    return (
        f"## Start-up\n\n{result['made']}\n\nSeconds from the command, medians of {repeats}; to the end of the "
        f"process, or to the first environment step.\n\n| | seconds |\n|---|---|\n{rows}"
    )


def memory_section(store: Path) -> str | None:
    """Return the resident memory at start, middle and end of a long run."""
    if (result := load(store, "memory")) is None:
        return None
    samples: list[tuple[int, float]] = result["samples"]
    chosen = [samples[round(share * (len(samples) - 1))] for share in (0, 0.1, 0.25, 0.5, 0.75, 1)]
    rows: dict[str, Any] = {f"{steps:,}": f"{size:.1f}" for steps, size in chosen}
    peak = max(size for _, size in samples)
    return (
        f"## Memory\n\n{result['made']}\n\n`{result['command']}`: resident memory of the rank, sampled every second "
        f"({len(samples)} samples, highest {peak:.1f} MiB).\n\n| environment steps | {' | '.join(rows)} |\n"
        f"|---|{'---|' * len(rows)}\n| MiB | {' | '.join(rows.values())} |"
    )


def left_out(store: Path) -> list[str]:
    """Return the names of the results that are not stored."""
    names = [f"speed-{case}" for case in CASES] + ["points-envs", "points-ranks"]
    names += [f"solved-{task}" for task in TASKS] + ["startup", "memory"]
    return [name for name in names if load(store, name) is None]


def compose(store: Path) -> str:
    """Return the page."""
    note = store / "note.md"
    cases = [section for case in CASES if (section := speed_section(store, case))]
    parts = [
        "# Benchmarks",
        "Made by `make bench`, `make bench-plots`, `make bench-solved`, `make bench-startup` and `make bench-memory`.",
        note.read_text().strip() if note.is_file() else None,
        HOW.rstrip() if cases else None,
        *cases,
        points_section(store, "envs", "Speed by environments", "environments in one process, CartPole"),
        points_section(store, "ranks", "Speed by ranks", "ranks, 16 environments in all, CartPole"),
        solved_section(store),
        startup_section(store),
        memory_section(store),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


REPLAY = "<!-- replay -->\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--page", type=Path, default=PAGE, help=f"default {PAGE.relative_to(ROOT)}")
    add_option(parser)
    arguments = parser.parse_args()
    arguments.page.parent.mkdir(parents=True, exist_ok=True)
    before = arguments.page.read_text() if arguments.page.is_file() else ""
    _, mark, of_replay = before.partition(REPLAY)  # which benchmarks.replay writes at the end of the page
    arguments.page.write_text(compose(arguments.store) + (f"\n{mark}{of_replay}" if mark else ""))
    print(f"written: {arguments.page}")
    if missing := left_out(arguments.store):
        print(f"left out of it, because {arguments.store} does not hold them: {', '.join(missing)}")


if __name__ == "__main__":
    main()
