"""Statistics of scores against their definitions, written out."""

import itertools
import statistics

import numpy as np
import pytest

from rlexp.report.statistics import (
    Interval,
    interquartile_mean,
    interval,
    intervals,
    mean,
    performance_profile,
    probability_of_improvement,
)

SOME = [np.array([3.0, 1.0, 2.0, 9.0, 5.0]), np.array([0.0, 4.0, 7.0])]
OTHER = [np.array([2.0, 2.0]), np.array([6.0, 4.0, 1.0, 0.5])]


@pytest.mark.parametrize("count", range(1, 14))
def test_the_interquartile_mean_leaves_a_quarter_out_at_each_end(count):
    values = np.random.default_rng(count).normal(size=count)
    middle = sorted(values)[count // 4 : count - count // 4]
    assert interquartile_mean([values]) == pytest.approx(statistics.fmean(middle))
    halves = [values[:1], values[1:]]
    assert interquartile_mean(halves) == pytest.approx(statistics.fmean(middle))  # of all environments together


def test_the_probability_of_improvement_counts_pairs():
    per_environment = []
    for x, y in zip(SOME, OTHER, strict=True):
        wins = [(a > b) + 0.5 * (a == b) for a, b in itertools.product(x, y)]
        per_environment.append(statistics.fmean(wins))
    assert probability_of_improvement(SOME, OTHER) == pytest.approx(statistics.fmean(per_environment))
    assert probability_of_improvement(SOME, OTHER) + probability_of_improvement(OTHER, SOME) == pytest.approx(1)
    assert probability_of_improvement(SOME, SOME) == pytest.approx(0.5)


def test_a_performance_profile_is_the_share_above_each_threshold():
    thresholds = np.array([-1.0, 2.0, 4.0, 9.0])
    expected = [statistics.fmean([statistics.fmean(v > t for v in values) for values in SOME]) for t in thresholds]
    assert performance_profile(SOME, thresholds).tolist() == pytest.approx(expected)
    assert expected[0] == 1
    assert expected[-1] == 0


@pytest.mark.parametrize("statistic", [interquartile_mean, mean])
def test_resampled_scores_are_summed_up_row_by_row(statistic):
    rows = [np.stack([values, values[::-1] + 1]) for values in SOME]
    found = statistic(rows)
    assert found.shape == (2,)
    assert found[0] == pytest.approx(statistic(SOME))
    assert found[1] == pytest.approx(statistic(SOME) + 1)


def test_intervals_are_drawn_within_environments():
    low, high = intervals(mean, [np.array([0.0, 0.0, 0.0]), np.array([100.0] * 3)])
    assert (low, high) == (50, 50)  # drawn from all together they would vary


def test_an_interval_holds_the_true_value_as_often_as_it_says():
    """By simulation; a bootstrap of few runs is known to be somewhat too narrow."""
    generator = np.random.default_rng(0)
    held = 0
    for trial in range(400):
        scores = [generator.normal(1.0, 2.0, size=30)]
        found = interval(mean, scores, draws=1000, seed=trial)
        held += found.low <= 1.0 <= found.high
    assert 0.91 <= held / 400 <= 0.97
    narrow = interval(mean, [generator.normal(size=30)], level=0.5)
    wide = interval(mean, [generator.normal(size=30)], level=0.99)
    assert narrow.high - narrow.low < wide.high - wide.low


def test_an_interval_is_the_same_each_time_and_needs_two_runs():
    assert interval(interquartile_mean, SOME) == interval(interquartile_mean, SOME)
    many = [np.random.default_rng(0).normal(size=20)]
    assert interval(interquartile_mean, many, seed=1) != interval(interquartile_mean, many)
    assert interval(interquartile_mean, [np.array([1.0])]) is None
    assert interval(probability_of_improvement, [np.array([1.0])], [np.array([2.0])]) is None
    both = interval(probability_of_improvement, SOME, OTHER)
    assert 0 <= both.low < both.high <= 1


def test_profiles_have_an_interval_at_each_threshold():
    thresholds = np.linspace(-1, 10, 5)
    low, high = intervals(lambda scores: performance_profile(scores, thresholds), SOME, draws=300)
    value = performance_profile(SOME, thresholds)
    assert (low <= value).all()
    assert (value <= high).all()
    assert low.shape == (5,)


def test_what_overlaps():
    assert Interval(0, 2).overlaps(Interval(2, 3))
    assert Interval(2, 3).overlaps(Interval(0, 2))
    assert Interval(0, 9).overlaps(Interval(2, 3))
    assert not Interval(0, 1).overlaps(Interval(2, 3))
    assert not Interval(2, 3).overlaps(Interval(0, 1))
