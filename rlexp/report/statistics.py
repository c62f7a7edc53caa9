"""Statistics of scores over seeds and environments, as "Deep RL at the edge of the statistical precipice" defines them.

Scores are one array for each environment (a stratum), which holds one number for each run: means of evaluations, or
whatever shall be compared. Sources: arXiv:2108.13264, section 4 and appendix A; its library is rliable.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Scores = Sequence[Array]
"""One array for each environment: [R] of its runs, or [*, R] of resampled ones."""
DRAWS = 5_000
"""Resamples of a bootstrap."""
LEVEL = 0.95
"""Share of intervals that hold the true value."""
AT_ONCE = 2_000_000
"""Numbers of resamples that are held at once."""


@dataclass(frozen=True)
class Interval:
    """A confidence interval."""

    low: float
    high: float

    def overlaps(self, other: Interval) -> bool:
        """Return whether both have a value in common."""
        return self.low <= other.high and other.low <= self.high


def interquartile_mean(scores: Scores) -> Array:
    """Return the mean of the middle half of all runs of all environments, [*] (section 4.3).

    A quarter of n numbers is rounded down, as in `scipy.stats.trim_mean`.
    """
    together = np.sort(np.concatenate(scores, axis=-1), axis=-1)
    count = together.shape[-1]
    cut = count // 4
    middle: Array = together[..., cut : count - cut].mean(-1)
    return middle


def mean(scores: Scores) -> Array:
    """Return the mean of all runs of all environments, [*]."""
    together: Array = np.concatenate(scores, axis=-1).mean(-1)
    return together


def probability_of_improvement(better: Scores, worse: Scores) -> Array:
    """Return the mean over environments of P(X > Y) + P(X = Y) / 2, [*] (section 4.3, Mann and Whitney's U).

    Args:
        better: scores X, environment by environment.
        worse: scores Y of the same environments.
    """
    chances = [
        ((x[..., :, None] > y[..., None, :]) + 0.5 * (x[..., :, None] == y[..., None, :])).mean((-1, -2))
        for x, y in zip(better, worse, strict=True)
    ]
    together: Array = np.mean(chances, axis=0)
    return together


def performance_profile(scores: Scores, thresholds: Array) -> Array:
    """Return the share of runs above each of K thresholds, averaged over environments, [*, K] (section 4.2)."""
    shares = [(values[..., None] > thresholds).mean(-2) for values in scores]
    together: Array = np.mean(shares, axis=0)
    return together


def intervals(
    statistic: Callable[..., Array], *groups: Scores, draws: int = DRAWS, level: float = LEVEL, seed: int = 0
) -> tuple[Array, Array]:
    """Return the lower and upper ends of a statistic's confidence interval, each [*] (percentiles, appendix A.1).

    The bootstrap is stratified: the runs of each environment are drawn with replacement among themselves.

    Args:
        statistic: of groups of scores that are resampled along axes before the last.
        groups: what it is a statistic of.
        draws: number of resamples.
        level: share of intervals that hold the true value.
        seed: of the resamples; the same numbers always give the same interval.
    """
    generator = np.random.default_rng(seed)
    numbers = max(1, sum(values.size for group in groups for values in group))
    found: list[Array] = []
    left = draws
    while left:
        part = min(left, max(1, AT_ONCE // numbers))
        found.append(statistic(*([_resampled(values, part, generator) for values in group] for group in groups)))
        left -= part
    tail = (1 - level) / 2
    low, high = np.quantile(np.concatenate(found), [tail, 1 - tail], axis=0)
    return low, high


def interval(statistic: Callable[..., Array], *groups: Scores, **options: Any) -> Interval | None:
    """Return the interval of one number, see `intervals`; None where no environment has two runs."""
    if all(len(values) < 2 for group in groups for values in group):
        return None
    low, high = intervals(statistic, *groups, **options)
    return Interval(float(low), float(high))


def _resampled(values: Array, draws: int, generator: np.random.Generator) -> Array:
    return values[generator.integers(len(values), size=(draws, len(values)))]
