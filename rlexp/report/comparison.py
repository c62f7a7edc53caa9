"""Comparisons of methods: what distinguishes groups, the environment aside. Chances to be better, and profiles."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from rlexp.report.groups import Group
from rlexp.report.statistics import (
    Array,
    Scores,
    interquartile_mean,
    interval,
    intervals,
    performance_profile,
    probability_of_improvement,
)

MOST_IN_PAIRS = 8
"""Methods up to which each is compared with each; of more, the best with the others."""
MOST_PAIRS = 60
MOST_PROFILES = 16
DRAWS, LEAST_DRAWS, NUMBERS = 2_000, 200, 40_000_000
"""Resamples, fewer of many runs: so many numbers are held at most."""
THRESHOLDS = np.linspace(0, 1, 101)

Table = dict[str, dict[str, Array]]
"""Scores by method and environment."""


def scores_by_method(groups: Sequence[Group]) -> Table:
    """Return the scores of all groups that have some."""
    found: Table = {}
    for group in groups:
        if group.counted:
            found.setdefault(group.method, {})[group.env_id] = group.scores
    return found


def normalised(table: Table) -> Table:
    """Return scores on a scale of each environment: 0 is the lowest score of any run there, 1 the highest."""
    ends: dict[str, tuple[float, float]] = {}
    for env_id in dict.fromkeys(env_id for own in table.values() for env_id in own):
        together = np.concatenate([own[env_id] for own in table.values() if env_id in own])
        ends[env_id] = float(together.min()), float(together.max())
    return {
        method: {env_id: _scaled(scores, *ends[env_id]) for env_id, scores in own.items()}
        for method, own in table.items()
    }


def _scaled(scores: Array, low: float, high: float) -> Array:
    """Return scores between 0 and 1; a half where all runs of the environment have the same score."""
    return np.full(len(scores), 0.5) if high <= low else (scores - low) / (high - low)


def ranked(groups: Sequence[Group]) -> list[str]:
    """Return the methods, that of the highest mean of normalised interquartile means first; unscored ones last."""
    table = normalised(scores_by_method(groups))
    level = {
        method: float(np.mean([interquartile_mean([scores]) for scores in own.values()]))
        for method, own in table.items()
    }
    return sorted(dict.fromkeys(group.method for group in groups), key=lambda method: -level.get(method, -1.0))


def improvements(groups: Sequence[Group]) -> list[dict[str, Any]]:
    """Return for pairs of methods how likely a run of the first is better than one of the second.

    In the environments that both have; the first is the one that is ranked higher.
    """
    table, order = scores_by_method(groups), ranked(groups)
    order = [method for method in order if method in table]
    pairs = list(itertools.combinations(order, 2))
    if len(order) > MOST_IN_PAIRS:
        pairs = [pair for pair in pairs if pair[0] == order[0]]
    found = []
    for better, worse in pairs[:MOST_PAIRS]:
        shared = [env_id for env_id in table[better] if env_id in table[worse]]
        if not shared:
            continue
        one, two = ([table[method][env_id] for env_id in shared] for method in (better, worse))
        ends = interval(probability_of_improvement, one, two, draws=_draws(one, two))
        found.append({
            "better": better,
            "worse": worse,
            "chance": float(probability_of_improvement(one, two)),
            "low": None if ends is None else ends.low,
            "high": None if ends is None else ends.high,
            "envs": len(shared),
            "runs": [sum(map(len, one)), sum(map(len, two))],
        })  # fmt: skip
    return found


def _draws(one: Scores, two: Scores) -> int:
    most = max(len(x) * len(y) for x, y in zip(one, two, strict=True))
    return max(LEAST_DRAWS, min(DRAWS, NUMBERS // most))


def profiles(groups: Sequence[Group]) -> dict[str, Any] | None:
    """Return the performance profiles of the methods that share several environments; None where no two do."""
    table = normalised(scores_by_method(groups))
    choices = sorted({tuple(sorted(own)) for own in table.values() if len(own) > 1})
    having = {
        envs: [method for method in ranked(groups) if set(envs) <= table.get(method, {}).keys()] for envs in choices
    }
    if not any(len(methods) > 1 for methods in having.values()):
        return None
    envs = max(choices, key=lambda one: (len(having[one]) > 1, len(having[one]) * len(one)))
    lines = []
    for method in having[envs][:MOST_PROFILES]:
        scores = [table[method][env_id] for env_id in envs]
        draws = max(LEAST_DRAWS, min(DRAWS, NUMBERS // (sum(map(len, scores)) * len(THRESHOLDS))))
        low, high = intervals(_profile, scores, draws=draws)
        ends = {} if all(len(own) < 2 for own in scores) else {"low": _rounded(low), "high": _rounded(high)}
        lines.append({"method": method, "share": _rounded(_profile(scores)), **ends})
    return {"envs": list(envs), "thresholds": _rounded(THRESHOLDS), "lines": lines}


def _profile(scores: Scores) -> Array:
    return performance_profile(scores, THRESHOLDS)


def _rounded(values: Array) -> list[float]:
    rounded: list[float] = np.round(values, 4).tolist()
    return rounded
