"""Statistics equal those of rliable, the library of arXiv:2108.13264, on the same scores."""

import numpy as np
import pytest

from rlexp.report.statistics import interquartile_mean, intervals, performance_profile, probability_of_improvement

pytestmark = pytest.mark.extras
metrics = pytest.importorskip("rliable.metrics", reason='rliable is not installed: pip install rliable "pandas<3"')
library = pytest.importorskip("rliable.library", reason='rliable is not installed: pip install rliable "pandas<3"')


@pytest.fixture(scope="module")
def scores():
    draw = np.random.default_rng(0)
    return draw.gamma(2.0, 1.0, size=(10, 6)), draw.gamma(2.5, 1.0, size=(10, 6))  # [R, T]


def strata(matrix):
    return list(matrix.T)


def test_values(scores):
    x, y = scores
    assert interquartile_mean(strata(x)) == pytest.approx(metrics.aggregate_iqm(x))
    assert probability_of_improvement(strata(x), strata(y)) == pytest.approx(metrics.probability_of_improvement(x, y))
    thresholds = np.linspace(0, 8, 30)
    profile, _ = library.create_performance_profile({"x": x}, thresholds)
    assert performance_profile(strata(x), thresholds) == pytest.approx(profile["x"])


def test_intervals_to_sampling_error(scores):
    x, y = scores
    _, theirs = library.get_interval_estimates({"x": x}, lambda s: np.array([metrics.aggregate_iqm(s)]), reps=5000)
    ours = intervals(interquartile_mean, strata(x), draws=20_000)
    assert ours == pytest.approx(theirs["x"][:, 0], abs=0.02)
    _, theirs = library.get_interval_estimates(
        {"pair": (x, y)}, lambda a, b: np.array([metrics.probability_of_improvement(a, b)]), reps=2000
    )
    ours = intervals(probability_of_improvement, strata(x), strata(y), draws=20_000)
    assert ours == pytest.approx(theirs["pair"][:, 0], abs=0.02)
