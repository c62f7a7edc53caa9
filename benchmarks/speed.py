"""Speed: rlexp against Stable-Baselines3, or the working tree against another commit.

usage: python -m benchmarks.speed [--cases NAME ...] [--repeats 5] [--steps N] [--page PATH]
       python -m benchmarks.speed --compare REV [--cases NAME ...] [--repeats 5] [--steps N]

Every measurement is a process of its own, and the two sides take turns (A B A B ...), so that what else the machine
does meets both. The first form writes docs/benchmarks.md (with --steps only where --page says so); the second only
prints.
"""

from __future__ import annotations

import argparse
import functools
import importlib.metadata
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path

from benchmarks.cases import CASES, Case
from benchmarks.machine import described
from benchmarks.timed import Measurement, Phases, run_rlexp, run_sb3

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "benchmarks.md"
PEER = "Stable-Baselines3"

Runner = Callable[[Case, int, int, Path], Measurement]


@dataclass(frozen=True)
class Result:
    """A case with the measurements of both sides, in the order in which they were made, and the steps of each run."""

    case: Case
    steps: int
    ours: list[Measurement]
    theirs: list[Measurement]


# Measuring


def interleaved(case: Case, steps: int, repeats: int, sides: dict[str, Runner]) -> Result:
    """Measure the two sides by turns; one update of each beforehand fills the file cache and does not count."""
    measured: dict[str, list[Measurement]] = {name: [] for name in sides}
    for repeat in range(repeats + 1):
        for name, run in sides.items():
            length = steps if repeat else case.steps_per_update
            with tempfile.TemporaryDirectory(prefix="rlexp-speed-") as folder:
                one = run(case, length, repeat + 1, Path(folder))
            if repeat:
                measured[name].append(one)
                print(f"{case.name} {repeat}/{repeats} {name}: {one.steps_per_second:,.0f} steps/s", flush=True)
    result = Result(case, steps, *measured.values())
    check_equal(result)
    return result


def check_equal(result: Result) -> None:
    """Check that all runs of a case trained as many parameters with as many optimizer steps.

    Raises:
        RuntimeError: they did not, so their times say nothing.
    """
    work = {(one.parameters, one.optimizer_steps) for one in (*result.ours, *result.theirs)}
    if len(work) > 1:
        raise RuntimeError(f"case {result.case.name}: (parameters, optimizer steps) differ between runs: {work}")


@contextmanager
def checked_out(revision: str) -> Iterator[Path]:
    """Check a commit out into a temporary folder for as long as it is needed, compiled to bytecode as ours is."""
    git = ["git", "-C", str(ROOT), "worktree"]
    with tempfile.TemporaryDirectory(prefix="rlexp-compare-") as folder:
        tree = Path(folder) / "tree"
        subprocess.run([*git, "add", "--quiet", "--detach", str(tree), revision], check=True)
        try:
            subprocess.run([sys.executable, "-m", "compileall", "-q", str(tree / "rlexp")], check=True)
            yield tree
        finally:
            subprocess.run([*git, "remove", "--force", str(tree)], check=True)


# Showing


def spread(values: list[float], digits: int = 0) -> str:
    """Return the median and the range of values."""
    if len(values) == 1:
        return f"{values[0]:,.{digits}f}"
    return f"{statistics.median(values):,.{digits}f} ({min(values):,.{digits}f}..{max(values):,.{digits}f})"


def ratio(ours: list[float], theirs: list[float]) -> str:
    """Return the ratio of the medians, and the range of the ratios of neighbouring runs."""
    pairs = [our / their for our, their in zip(ours, theirs, strict=True)]
    middle = statistics.median(ours) / statistics.median(theirs)
    return f"**{middle:.2f}**" + (f" ({min(pairs):.2f}..{max(pairs):.2f})" if len(pairs) > 1 else "")


def speed_table(results: list[Result], names: tuple[str, str]) -> str:
    """Return steps per second and the ratios of both sides as a table."""
    lines = [
        f"| case | {names[0]}, steps/s | {names[1]}, steps/s | times as fast | without logging | whole process |",
        "|---|---|---|---|---|---|",
    ]
    for result in results:
        ours, theirs = result.ours, result.theirs
        cells = (
            result.case.name,
            spread([one.steps_per_second for one in ours]),
            spread([one.steps_per_second for one in theirs]),
            ratio([one.steps_per_second for one in ours], [one.steps_per_second for one in theirs]),
            ratio([one.bare_steps_per_second for one in ours], [one.bare_steps_per_second for one in theirs]),
            ratio([1 / one.wall for one in ours], [1 / one.wall for one in theirs]),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def phase_table(results: list[Result], names: tuple[str, str]) -> str:
    """Return the seconds of each phase, medians, and of the whole process, as a table."""
    phases = [field.name for field in fields(Phases)]
    lines = [
        f"| case | | {' | '.join(name.replace('_', '-') for name in phases)} | whole loop | whole process |",
        "|---|---|" + "---|" * (len(phases) + 2),
    ]
    for result in results:
        for name, side in zip(names, (result.ours, result.theirs), strict=True):
            seconds = [f"{statistics.median(getattr(one.phases, phase) for one in side):.2f}" for phase in phases]
            seconds += [spread([one.loop for one in side], 2), spread([one.wall for one in side], 2)]
            lines.append(f"| {result.case.name} | {name} | {' | '.join(seconds)} |")
    return "\n".join(lines)


def page(results: list[Result], names: tuple[str, str], tables: str) -> str:
    """Return the text of docs/benchmarks.md."""
    version = importlib.metadata.version("stable-baselines3")
    cases = "\n".join(
        f"- `{result.case.name}`: {result.case.described()}. {result.steps:,} steps a run, "
        f"{result.ours[0].optimizer_steps:,} optimizer steps on {result.ours[0].parameters:,} parameters."
        for result in results
    )
    repeats = len(results[0].ours)
    return f"""# Benchmarks

Made by `make bench`. {described(f"stable-baselines3 {version}")}

{names[0]} against {names[1]}, PPO on equal networks (actor and critic of their own, 64-64 tanh), settings and threads
(one). Parameters and optimizer steps were counted on both sides and are equal. Every measurement ({repeats} a side) is
a process of its own with a seed of its own, and the two sides take turns. rlexp is the user's own command with
`eval.episodes=0` and its defaults otherwise; both sides count episodes, write curves to a CSV file and TensorBoard
after each update, and save the model at the end. Figures are medians (lowest..highest).

{tables}

- **steps/s**: environment steps after the warm-up divided by the wall time of the loop they took: collection, update
  and logging. *Times as fast* is the ratio of the medians (range: ratios of neighbouring runs).
- *without logging*: the same ratio for steps / (collection + update) alone.
- *whole process*: the ratio of the wall times from the start of the process to its end.
- Phases, in seconds: *imports* before the loop, as Python counts them; *set-up* is the rest before the first rollout;
  *warm-up* the first updates, with whatever is imported or compiled in them; *collect* and *update* after it (values
  and advantages belong to rlexp's update, but to {PEER}'s collection); *logging* what the loop spends beside the two;
  *closing* what follows the last update. *Whole loop* is warm-up to logging: the time of {PEER}'s `learn`.

Cases:

{cases}
"""


# The command


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=tuple(CASES), help="default: all; with --compare cartpole")
    parser.add_argument("--repeats", type=int, default=5, help="measurements of each side (default 5)")
    parser.add_argument("--steps", type=int, help="environment steps of each run (default: the case's own)")
    parser.add_argument("--page", type=Path, help=f"where the page is written (default {PAGE.relative_to(ROOT)})")
    parser.add_argument("--compare", metavar="REV", help="measure the working tree against this commit instead")
    arguments = parser.parse_args()
    if arguments.repeats < 1:
        parser.error("--repeats must be 1 or more")
    arguments.cases = arguments.cases or (["cartpole"] if arguments.compare else list(CASES))
    try:
        arguments.lengths = {name: CASES[name].whole(arguments.steps) for name in arguments.cases}
    except ValueError as error:
        parser.error(str(error))
    return arguments


def run_all(arguments: argparse.Namespace, sides: dict[str, Runner]) -> tuple[list[Result], str]:
    """Measure every case; return the results and their tables, printed already."""
    ours, theirs = sides
    results = [interleaved(CASES[name], steps, arguments.repeats, sides) for name, steps in arguments.lengths.items()]
    tables = f"{speed_table(results, (ours, theirs))}\n\n{phase_table(results, (ours, theirs))}"
    print(f"\n{tables}")
    return results, tables


def main() -> None:
    arguments = parse()
    try:
        run(arguments)
    except (RuntimeError, subprocess.CalledProcessError) as error:
        sys.exit(f"error: {error}")


def run(arguments: argparse.Namespace) -> None:
    """Do what the arguments ask.

    Raises:
        RuntimeError: a run failed, or runs are not comparable.
        subprocess.CalledProcessError: git or the compiler to bytecode failed; it has said why.
    """
    rlexp = functools.partial(run_rlexp, tree=ROOT)
    if arguments.compare:
        with checked_out(arguments.compare) as tree:
            run_all(arguments, {"working tree": rlexp, arguments.compare: functools.partial(run_rlexp, tree=tree)})
        return
    results, tables = run_all(arguments, {"rlexp": rlexp, PEER: functools.partial(run_sb3, tree=ROOT)})
    path = arguments.page or (None if arguments.steps else PAGE)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page(results, ("rlexp", PEER), tables))
        print(f"\nwritten: {path}")


if __name__ == "__main__":
    main()
