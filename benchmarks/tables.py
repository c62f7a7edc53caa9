"""Medians, ratios, and the tables of a measurement of speed."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from typing import Any

from benchmarks.timed import Measurement, Phases

PEER = "Stable-Baselines3"


@dataclass(frozen=True)
class Side:
    """One of those that took turns in a case.

    Attributes:
        name: as the tables call it.
        described: its settings in words.
        steps: environment steps of each run.
        steps_per_update: environment steps between two updates.
        cold: seconds of the first update of the run beforehand, whose cache of compiled code was empty.
        runs: its measurements, in the order in which they were made.
    """

    name: str
    described: str
    steps: int
    steps_per_update: int
    cold: float
    runs: list[Measurement]

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON takes it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Side:
        """Undo `as_dict`."""
        runs = [Measurement(**{**run, "phases": Phases(**run["phases"])}) for run in values["runs"]]
        return cls(**{**values, "runs": runs})

    def each(self, value: Callable[[Measurement], float]) -> list[float]:
        """Return this value of every run."""
        return [value(run) for run in self.runs]


def spread(values: list[float], digits: int = 0) -> str:
    """Return the median and the range of values."""
    if len(values) == 1:
        return f"{values[0]:,.{digits}f}"
    return f"{statistics.median(values):,.{digits}f} ({min(values):,.{digits}f}..{max(values):,.{digits}f})"


def ratio(ours: list[float], theirs: list[float]) -> str:
    """Return the ratio of the medians, and the range of the ratios of neighbouring runs."""
    pairs = [our / their for our, their in zip(ours, theirs, strict=True) if math.isfinite(our) or math.isfinite(their)]
    middle = statistics.median(ours) / statistics.median(theirs)
    return f"**{middle:.2f}**" + (f" ({min(pairs):.2f}..{max(pairs):.2f})" if len(pairs) > 1 else "")


def speed(run: Measurement) -> float:
    """Return its steps per second."""
    return run.steps_per_second


def speed_table(sides: list[Side], base: Side) -> str:
    """Return steps per second and times of the whole process, and their ratios to the side `base`, as a table."""
    lines = [
        f"| | steps/s | times {base.name} | whole process, s | whole process / that of {base.name} | "
        f"whole process / loop of {base.name} |",
        "|---|---|---|---|---|---|",
    ]
    theirs = base.each(speed)
    walls, loops = base.each(lambda run: run.wall), base.each(lambda run: run.loop)
    for side in sides:
        wall, equal = side.each(lambda run: run.wall), side.steps == base.steps
        cells = (
            side.name,
            spread(side.each(speed)),
            "1" if side is base else ratio(side.each(speed), theirs) + ("" if equal else ", other work"),
            spread(wall, 1),
            ratio(wall, walls) if equal else "other work",
            ratio(wall, loops) if equal else "other work",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def phase_table(sides: list[Side]) -> str:
    """Return the seconds of each phase, medians, and of the loop, as a table."""
    phases = [field.name for field in fields(Phases)]
    lines = [
        f"| | {' | '.join(name.replace('_', '-') for name in phases)} | whole loop | compilation, first time |",
        "|---|" + "---|" * (len(phases) + 2),
    ]
    for side in sides:
        seconds = [f"{statistics.median(getattr(run.phases, phase) for run in side.runs):.2f}" for phase in phases]
        seconds += [spread(side.each(lambda run: run.loop), 2), f"{side.cold - steady(side):.1f}"]
        lines.append(f"| {side.name} | {' | '.join(seconds)} |")
    return "\n".join(lines)


def steady(side: Side) -> float:
    """Return the seconds of one update after the warm-up."""
    return side.steps_per_update / statistics.median(side.each(speed))
