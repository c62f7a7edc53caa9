import numpy as np
import pytest
import torch

from rlexp.models.normalizer import ObservationNormalizer, RunningMoments, moments_of
from tests.helpers import generator


def batches():
    draw = generator(3)
    return [torch.randn(size, 3, generator=draw) * 5 + 100 for size in (1, 7, 0, 50, 2)]


def test_merged_batches_equal_numpy_over_all_rows():
    moments, rows = RunningMoments(3), batches()
    for batch in rows:
        moments.merge(moments_of(batch).unsqueeze(0))
    everything = np.concatenate([batch.double().numpy() for batch in rows])
    np.testing.assert_allclose(moments.mean, everything.mean(0), rtol=1e-12)
    np.testing.assert_allclose(moments.variance(), everything.var(0), rtol=1e-10)
    assert int(moments.count) == 60


def test_merging_several_ranks_at_once_equals_merging_them_one_by_one():
    together, apart = RunningMoments(3), RunningMoments(3)
    parts = [moments_of(batch) for batch in batches()]
    together.merge(torch.stack(parts))
    for part in parts:
        apart.merge(part.unsqueeze(0))
    assert torch.equal(together.mean, apart.mean)
    assert torch.equal(together.squares, apart.squares)


def test_small_variance_around_a_large_mean_survives():
    rows = 1e6 + torch.randn(1000, 1, generator=generator(), dtype=torch.float64)
    moments = RunningMoments(1)
    for batch in rows.split(10):
        moments.merge(moments_of(batch).unsqueeze(0))
    assert float(moments.variance()) == pytest.approx(float(rows.var(correction=0)), rel=1e-6)


def test_moments_by_hand():
    assert moments_of(torch.tensor([[1.0, 10.0], [3.0, 10.0]])).tolist() == [2, 2, 10, 2, 0]


def test_before_the_first_row_the_mean_is_0_and_the_variance_1():
    moments = RunningMoments(2)
    assert moments.mean.tolist() == [0, 0]
    assert moments.variance().tolist() == [1, 1]


def test_merging_no_rows_changes_nothing():
    moments = RunningMoments(2)
    moments.merge(moments_of(torch.zeros(0, 2)).unsqueeze(0))
    assert int(moments.count) == 0
    assert moments.variance().tolist() == [1, 1]


def test_a_new_normalizer_leaves_observations_as_they_are():
    rows = torch.randn(5, 3, generator=generator())
    assert torch.equal(ObservationNormalizer(3)(rows), rows)


def test_a_normalizer_changes_by_merging_alone():
    normalizer = ObservationNormalizer(3)
    normalizer.merge(moments_of(batches()[3]).unsqueeze(0))
    before = normalizer(torch.ones(1, 3))
    for _ in range(3):
        normalizer(torch.full((10, 3), 1e3))
    assert torch.equal(normalizer(torch.ones(1, 3)), before)
    normalizer.merge(moments_of(batches()[1]).unsqueeze(0))
    assert not torch.equal(normalizer(torch.ones(1, 3)), before)


def test_normalised_rows_have_mean_0_and_deviation_1():
    rows = batches()[3]
    normalizer = ObservationNormalizer(3)
    normalizer.merge(moments_of(rows).unsqueeze(0))
    got = normalizer(rows)
    np.testing.assert_allclose(got.mean(0), np.zeros(3), atol=1e-5)
    np.testing.assert_allclose(got.std(0, correction=0), np.ones(3), atol=1e-5)


def test_a_constant_feature_becomes_zero():
    rows = torch.full((9, 1), 0.1)
    normalizer = ObservationNormalizer(1)
    normalizer.merge(moments_of(rows).unsqueeze(0))
    assert normalizer(rows).abs().max() < 1e-3


@pytest.mark.parametrize("value", [0.0, 0.1, -1e4, 3e-4])
def test_a_feature_that_was_constant_enters_by_as_much_as_it_changes(value):
    normalizer = ObservationNormalizer(1)
    normalizer.merge(moments_of(torch.full((2048, 1), value)).unsqueeze(0))
    assert float(normalizer(torch.tensor([[value + 1.0]]))) == pytest.approx(1.0, abs=1e-3)
    rest = moments_of(torch.tensor([[value + 1.0]])).unsqueeze(0)
    normalizer.merge(rest)
    rows = np.full(2049, np.float32(value), np.float64)
    rows[-1] = np.float32(value + 1.0)
    want = (rows[-1] - rows.mean()) / np.sqrt(rows.var() + 1e-8)
    assert float(normalizer(torch.tensor([[value + 1.0]]))) == pytest.approx(want, rel=0.01)


@pytest.mark.parametrize(
    ("rows", "want"),
    [
        ([5.0], 0.5), ([-3.0] * 4, 0.3), ([1e-3], 1e-4 * 2**0.5), ([0.0, 0.0], 1e-4), ([1.0, 3.0], 1.0),
        ([100.0, 101.0], 0.1 * 10_100.5**0.5),
    ],
)  # fmt: skip
def test_values_without_spread_are_divided_by_a_tenth_of_their_root_mean_square(rows, want):
    moments = RunningMoments(1)
    moments.merge(moments_of(torch.tensor(rows).unsqueeze(1)).unsqueeze(0))
    assert float(moments.scale_around_zero()) == pytest.approx(want, rel=1e-4)


def test_its_state_is_saved_and_loaded_and_has_no_parameters():
    first, second = ObservationNormalizer(3), ObservationNormalizer(3)
    first.merge(moments_of(batches()[3]).unsqueeze(0))
    second.load_state_dict(first.state_dict())
    assert torch.equal(first(torch.ones(1, 3)), second(torch.ones(1, 3)))
    assert list(first.parameters()) == []
