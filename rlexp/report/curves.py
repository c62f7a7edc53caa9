"""Learning curves: the columns of metrics.csv and evaluations.csv of the runs of a group, on a common grid of steps."""

from __future__ import annotations

import csv
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rlexp.report.groups import Group
from rlexp.report.read import RunRecord
from rlexp.report.statistics import LEVEL, Array, interquartile_mean

METRICS, EVALUATIONS = "metrics.csv", "evaluations.csv"
STEPS, SECONDS, RETURN = "env_steps", "seconds", "Rewards/rew_avg"
AXES = (STEPS, SECONDS, "Time/seconds")
EVALUATED, MEAN_RETURN = "evaluations", "mean_return"
"""The scalar that evaluations are shown as, and their column."""
MOST_SCALARS = 80
POINTS = 200
"""Most points of a curve."""
DRAWS = 1_000
"""Resamples for the interval at a point."""
ENDED_BADLY = "failed"


@dataclass(frozen=True)
class Columns:
    """The numbers of a CSV file.

    Attributes:
        values: by column, each [rows]; NaN where a cell is empty.
        problem: what is wrong with the file, in words; empty where nothing is.
    """

    values: Mapping[str, Array]
    problem: str = ""


@dataclass(frozen=True)
class Curve:
    """A scalar of a group: its interquartile mean over the runs at each step, with a 95 % interval.

    Attributes:
        steps: environment steps, [K].
        seconds: mean wall time at which the runs had made so many steps, [K]; NaN where it is not known.
        middle: interquartile mean, [K]; NaN where no run has a value.
        low: lower end of its interval, [K]; NaN where fewer than two runs have a value.
        high: upper end, [K].
        counts: runs that have a value, [K].
    """

    steps: Array
    seconds: Array
    middle: Array
    low: Array
    high: Array
    counts: Array


def read_columns(path: Path, going: bool = False, wanted: Sequence[str] | None = None) -> Columns:
    """Return the whole rows of a CSV file in the order of their steps; rows that are damaged are left out.

    Args:
        path: of the file.
        going: whether the run is still writing it, so that its last line may be half written.
        wanted: columns to read; None: all, which must be numbers.
    """
    try:
        text = path.read_text(errors="replace")
    except FileNotFoundError:
        return Columns({}, f"no {path.name}" if path.name == METRICS else "")
    except OSError as error:
        return Columns({}, f"{path.name} cannot be read: {error.strerror}")
    lines, last = text.splitlines(), not text or text.endswith("\n")
    names, rows, damaged = _parsed(lines if last else lines[:-1], wanted)
    damaged += not last and not going
    problems = [f"{path.name}: {damaged} damaged {'row is' if damaged == 1 else 'rows are'} left out"] * (damaged > 0)
    missing = [name for name in (STEPS, SECONDS) if name not in names]
    if missing and not (going and not names):
        problems.append(f"{path.name} has no column {' and none '.join(missing)}")
    if STEPS not in names or not rows:
        return Columns({}, "; ".join(problems))
    numbers = np.array(rows, dtype=np.float64)
    numbers[~np.isfinite(numbers)] = np.nan
    steps = numbers[:, names.index(STEPS)]
    _, at = np.unique(steps[::-1], return_index=True)  # of several rows of a step the last
    at = (len(steps) - 1 - at)[: np.isfinite(steps).sum()]
    at = at[np.isfinite(steps[at])]
    return Columns({name: numbers[at, column] for column, name in enumerate(names)}, "; ".join(problems))


def _parsed(lines: Sequence[str], wanted: Sequence[str] | None) -> tuple[list[str], list[list[float]], int]:
    """Return the columns that are wanted, their rows, and how many rows are damaged."""
    reader = csv.reader(lines)
    rows: list[list[float]] = []
    damaged = 0
    try:
        names = next(reader, [])
        at = [names.index(name) for name in wanted or () if name in names]
        for row in reader:
            try:
                if len(row) != len(names):
                    raise ValueError
                rows.append(_numbers(row if wanted is None else [row[column] for column in at]))
            except ValueError:
                damaged += 1
    except csv.Error:
        return [], [], len(lines)
    return (names if wanted is None else [names[column] for column in at]), rows, damaged


def _numbers(cells: Sequence[str]) -> list[float]:
    """Return the numbers of some cells, NaN of an empty one; most rows have none."""
    try:
        return list(map(float, cells))
    except ValueError:
        return [float(cell) if cell else np.nan for cell in cells]


def shown_runs(group: Group) -> list[RunRecord]:
    """Return the runs whose curves a group shows: one of each seed, a completed one where there is one, none failed."""
    seeds = {run.seed for run in group.counted if run.seed is not None}
    others = [run for run in group.runs if run.score is None and run.state != ENDED_BADLY and run.seed not in seeds]
    latest = {run.seed if run.seed is not None else str(run.directory): run for run in others}
    return [*group.counted, *latest.values()]


def scalars_of(tables: Sequence[Columns]) -> list[str]:
    """Return the scalars of some metrics.csv, the mean return of training first."""
    names = dict.fromkeys(name for table in tables for name in table.values if name and name not in AXES)
    return sorted(names, key=lambda name: name != RETURN)[:MOST_SCALARS]


def curves_of(tables: Sequence[Columns], scalars: Sequence[str], points: int = POINTS) -> dict[str, Curve]:
    """Return the curve of each scalar over runs; of those alone that a run has.

    Args:
        tables: one for each run.
        scalars: names of columns.
        points: most points of a curve.
    """
    filled = [table.values for table in tables if table.values]
    if not filled:
        return {}
    grid = common_grid([values[STEPS] for values in filled], points)
    nothing = np.full(len(grid), np.nan)
    own = [name for name in scalars if any(name in values for values in filled)]
    clock = np.array([interpolated(values, SECONDS, grid) if SECONDS in values else nothing for values in filled])
    seconds = np.fmax.accumulate(_mean(clock))  # the mean falls where a slow run ends first
    stacked = np.array([
        np.concatenate([interpolated(values, name, grid) if name in values else nothing for name in own] or [nothing])
        for values in filled
    ])  # fmt: skip
    parts = [np.split(part, max(1, len(own))) for part in summarised(stacked)]
    found = {name: Curve(grid, seconds, *(part[number] for part in parts)) for number, name in enumerate(own)}
    return {name: curve for name, curve in found.items() if curve.counts.any()}


def common_grid(steps: Sequence[Array], points: int = POINTS) -> Array:
    """Return the steps at which any run has a row, or as many as `points` from the first to the last, evenly spaced."""
    together = np.unique(np.concatenate(steps))
    if len(together) <= points:
        return together
    evenly: Array = np.linspace(together[0], together[-1], max(2, points)).round()
    return evenly


def interpolated(values: Mapping[str, Array], name: str, grid: Array) -> Array:
    """Return a column on a grid of steps, linear between its rows; NaN before its first number and after its last."""
    there = np.isfinite(values[name])
    if not there.any():
        return np.full(len(grid), np.nan)
    found: Array = np.interp(grid, values[STEPS][there], values[name][there], left=np.nan, right=np.nan)
    return found


def summarised(values: Array, draws: int = DRAWS) -> tuple[Array, Array, Array, Array]:
    """Return interquartile mean, ends of its 95 % bootstrap interval, and the number of values, each [K].

    Args:
        values: of R runs at K points, [R, K]; NaN where a run has none.
        draws: number of resamples, the same at each point.
    """
    ordered, counts = np.sort(values, axis=0), np.isfinite(values).sum(0)  # NaN comes last
    middle, low, high = (np.full(values.shape[1], np.nan) for _ in range(3))
    for count in map(int, np.unique(counts[counts > 0])):
        at = counts == count
        some = ordered[:count, at]
        middle[at] = interquartile_mean([some.T])
        if count > 1:
            tail = (1 - LEVEL) / 2
            low[at], high[at] = np.quantile(_resampling(count, draws) @ some, [tail, 1 - tail], axis=0)
    return middle, low, high, counts.astype(np.float64)


@functools.lru_cache(maxsize=64)
def _resampling(count: int, draws: int) -> Array:
    """Return what each of `count` sorted values weighs in the interquartile mean of each resample, [draws, count].

    A resample of sorted values is sorted by sorting the ranks that were drawn, so a product of matrices does it all.
    """
    drawn = np.sort(np.random.default_rng(0).integers(count, size=(draws, count)), axis=1)
    kept = drawn[:, count // 4 : count - count // 4]
    places = kept + count * np.arange(draws)[:, None]
    weights: Array = np.bincount(places.ravel(), minlength=draws * count).reshape(draws, count) / kept.shape[1]
    return weights


def _mean(values: Array) -> Array:
    """Return the mean over runs of what is there, [K]; NaN where nothing is."""
    counts = np.isfinite(values).sum(0)
    found: Array = np.where(counts > 0, np.nansum(values, axis=0) / np.maximum(counts, 1), np.nan)
    return found


def phases_of(run: RunRecord, table: Columns) -> tuple[float, float, float] | None:
    """Return seconds of training spent on collecting, on updates and on the rest; None where they are not known.

    Rows of metrics.csv hold means over the updates since the row before, so each counts by its environment steps.
    """
    steps, updates = run.number(STEPS), run.number("updates")
    names = ("Time/collect_seconds", "Time/update_seconds", SECONDS)
    if not steps or not updates or any(name not in table.values for name in names):
        return None
    share = np.diff(table.values[STEPS], prepend=0.0) * updates / steps
    collect, update = (float(np.nansum(share * table.values[name])) for name in names[:2])
    clock = table.values[SECONDS][np.isfinite(table.values[SECONDS])]
    if not len(clock):
        return None
    return collect, update, max(0.0, float(clock[-1]) - collect - update)
