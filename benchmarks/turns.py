"""Measuring by turns."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.cases import Case
from benchmarks.tables import Side
from benchmarks.timed import Failed, Measurement


@dataclass(frozen=True)
class Turn:
    """One who takes turns: the case as it runs it, and what is run, given steps, seed, a folder and a cache."""

    name: str
    case: Case
    steps: int
    run: Callable[[int, int, Path, Path], Measurement]
    equal: bool = True
    tolerance: float = 0.0


def measured(turn: Turn, steps: int, seed: int, caches: Path) -> Measurement:
    """Run once in a folder of its own; compiled code is kept from run to run, for each side apart."""
    with tempfile.TemporaryDirectory(prefix="rlexp-speed-") as folder:
        return turn.run(steps, seed, Path(folder), caches / turn.name.replace(" ", "-"))


def interleaved(turns: list[Turn], repeats: int) -> tuple[list[Side], dict[str, str]]:
    """Measure by turns; return the sides, and why others do not run here.

    One update of each beforehand fills the caches, tells the first compilation, and does not count otherwise.
    """
    skipped: dict[str, str] = {}
    cold: dict[str, float] = {}
    runs: dict[str, list[Measurement]] = {}
    with tempfile.TemporaryDirectory(prefix="rlexp-cache-") as caches:
        for turn in turns:
            try:
                cold[turn.name] = measured(turn, turn.case.steps_per_update, 1, Path(caches)).first
                runs[turn.name] = []
            except Failed as error:
                if error.refusal is None:
                    raise
                skipped[turn.name] = error.refusal
                print(f"{turn.name} left out: {error.refusal}", flush=True)
        for repeat in range(1, repeats + 1):
            for turn in (turn for turn in turns if turn.name in runs):
                one = measured(turn, turn.steps, repeat + 1, Path(caches))
                runs[turn.name].append(one)
                print(f"{repeat}/{repeats} {turn.name}: {one.steps_per_second:,.0f} steps/s", flush=True)
    check_equal([turn for turn in turns if turn.name in runs], runs)
    sides = [
        Side(turn.name, turn.case.described(), turn.steps, turn.case.steps_per_update, cold[turn.name], runs[turn.name])
        for turn in turns
        if turn.name in runs
    ]
    return sides, skipped


def check_equal(turns: list[Turn], runs: dict[str, list[Measurement]]) -> None:
    """Check that all sides of a case trained as many parameters with as many optimizer steps, within their tolerance.

    Raises:
        RuntimeError: they did not, so their times say nothing.
    """
    held = [turn for turn in turns if turn.equal]
    if not held:
        return
    exact = next((turn for turn in held if turn.tolerance == 0), held[0])
    first = runs[exact.name][0]
    for turn in held:
        for one in runs[turn.name]:
            apart = abs(one.optimizer_steps / first.optimizer_steps - 1)
            if one.parameters != first.parameters or apart > turn.tolerance:
                raise RuntimeError(
                    f"{turn.name} trained {one.parameters} parameters with {one.optimizer_steps} optimizer steps, "
                    f"{exact.name} {first.parameters} with {first.optimizer_steps}"
                )
