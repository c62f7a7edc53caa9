"""Speed: rlexp in its variants against its peers, or the working tree against another commit.

usage: python -m benchmarks.speed [--cases NAME ...] [--variants NAME ...] [--repeats 5] [--steps N] [--store FOLDER]
                                  [--sbx-python PATH]
       python -m benchmarks.speed --compare REV [--cases NAME ...] [--variants NAME ...] [--repeats 5] [--steps N]

Every measurement is a process of its own, and all sides take turns (A B C A B C ...), so that what else the machine
does meets each of them. The first form leaves speed-CASE.json for `python -m benchmarks.page`; the second only prints.
SBX, a peer beside Stable-Baselines3, takes part where it is installed: here, or with the interpreter at --sbx-python.
"""

from __future__ import annotations

import argparse
import functools
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.cases import ALWAYS, CASES, VARIANTS
from benchmarks.runs import run_peer, run_rlexp, version_in
from benchmarks.store import ROOT, add_option, save
from benchmarks.tables import PEER, Side, phase_table, speed_table
from benchmarks.turns import Turn, interleaved


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


def rlexp_turns(arguments: argparse.Namespace, name: str, tree: Path, label: str) -> tuple[list[Turn], dict[str, str]]:
    """Return a case's variants on the code in `tree`, and why others cannot run here."""
    case, turns, skipped = CASES[name], [], {}
    for variant in (VARIANTS[chosen] for chosen in arguments.variants if name in VARIANTS[chosen].only):
        title = f"{label} {variant.name}"
        if reason := variant.missing():
            skipped[title] = reason
            continue
        run = functools.partial(run_rlexp, variant.of(case), variant, tree=tree)
        steps = variant.steps(case, arguments.steps)
        turns.append(Turn(title, variant.of(case), steps, run, equal=not variant.settings, tolerance=variant.tolerance))
    return turns, skipped


def peer_turns(arguments: argparse.Namespace, name: str) -> tuple[list[Turn], dict[str, str]]:
    """Return the peers in a case, and why others cannot run here."""
    case, steps = CASES[name], CASES[name].whole(arguments.steps)
    turns = [Turn(PEER, case, steps, functools.partial(run_peer, "benchmarks.peer_sb3", case, sys.executable))]
    if version_in(arguments.sbx_python, "sbx-rl") is None:
        return turns, {"SBX": "the package sbx-rl is not installed"}
    turns.append(
        Turn("SBX", case, steps, functools.partial(run_peer, "benchmarks.peer_sbx", case, arguments.sbx_python))
    )
    return turns, {}


def measure_case(arguments: argparse.Namespace, name: str) -> None:
    """Measure a case against the peers and store the result."""
    variants, left_out = rlexp_turns(arguments, name, ROOT, "rlexp")
    peers, missing = peer_turns(arguments, name)
    sides, skipped = interleaved(variants + peers, arguments.repeats)
    show(sides, next(side for side in sides if side.name == PEER))
    found = [f"stable-baselines3 {version_in(sys.executable, 'stable-baselines3')}"]
    found += [f"{package} {version_in(arguments.sbx_python, package)}" for package in ("sbx-rl", "jax") if not missing]
    result = {
        "case": name,
        "described": CASES[name].described(),
        "repeats": arguments.repeats,
        "sides": [side.as_dict() for side in sides],
        "skipped": left_out | missing | skipped,
    }
    save(arguments.store, f"speed-{name}", result, *found)


def compare_case(arguments: argparse.Namespace, name: str, tree: Path) -> None:
    """Measure a case on the working tree and on another, and print the ratios, each variant against its own kind."""
    old, new = f"{arguments.compare}:", "working tree:"
    theirs, _ = rlexp_turns(arguments, name, tree, old)
    ours, left_out = rlexp_turns(arguments, name, ROOT, new)
    sides, skipped = interleaved([turn for pair in zip(theirs, ours, strict=True) for turn in pair], arguments.repeats)
    found = {side.name: side for side in sides}
    for turn in theirs:
        other = found.get(turn.name.replace(old, new))
        if turn.name in found and other:
            show([found[turn.name], other], found[turn.name])
    for title, reason in (left_out | skipped).items():
        print(f"{title} left out: {reason}")


def show(sides: list[Side], base: Side) -> None:
    """Print both tables."""
    print(f"\n{speed_table(sides, base)}\n\n{phase_table(sides)}\n", flush=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--cases", nargs="+", choices=tuple(CASES), help="default: without extras; with --compare cartpole"
    )
    parser.add_argument(
        "--variants", nargs="*", choices=tuple(VARIANTS), help="default: all; with --compare eager and compiled"
    )
    parser.add_argument("--repeats", type=int, default=5, help="measurements of each side (default 5)")
    parser.add_argument("--steps", type=int, help="environment steps of each run (default: the case's own)")
    parser.add_argument("--compare", metavar="REV", help="measure the working tree against this commit instead")
    parser.add_argument("--sbx-python", default=sys.executable, help="an interpreter that can import sbx")
    add_option(parser)
    arguments = parser.parse_args()
    if arguments.repeats < 1:
        parser.error("--repeats must be 1 or more")
    arguments.cases = arguments.cases or (["cartpole"] if arguments.compare else list(ALWAYS))
    if arguments.variants is None:
        arguments.variants = ["eager", "compiled"] if arguments.compare else list(VARIANTS)
    try:
        for name in arguments.cases:
            CASES[name].whole(arguments.steps)
    except ValueError as error:
        parser.error(str(error))
    return arguments


def main() -> None:
    arguments = parse()
    try:
        if arguments.compare:
            with checked_out(arguments.compare) as tree:
                for name in arguments.cases:
                    compare_case(arguments, name, tree)
        else:
            for name in arguments.cases:
                measure_case(arguments, name)
    except (RuntimeError, ValueError, subprocess.CalledProcessError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
