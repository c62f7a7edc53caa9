"""Priorities, held against a plain list."""

import numpy as np
import pytest

from rlexp.learn.priorities import SMALL, Priorities


@pytest.mark.parametrize("size", [1, 2, 7, 64, 1000])
def test_sums_and_draws_are_those_of_a_plain_list(size):
    draw = np.random.default_rng(size)
    tree, plain = Priorities(size, 0.6), np.zeros(size)
    for _ in range(30):
        places = draw.integers(size, size=draw.integers(1, 9))
        errors = draw.normal(size=len(places)) * 10
        tree.set_errors(places, errors)
        for place, error in zip(places, errors, strict=True):
            plain[place] = (abs(error) + SMALL) ** 0.6
        assert tree.total == pytest.approx(plain.sum())
        np.testing.assert_allclose(tree.of(np.arange(size)), plain)
        uniform = draw.random((4, 5))
        expected = np.searchsorted(plain.cumsum(), (np.arange(5) + uniform) * plain.sum() / 5, side="right")
        np.testing.assert_array_equal(tree.drawn(uniform), expected.clip(max=plain.nonzero()[0].max()))


def test_places_are_drawn_in_proportion_to_their_priorities():
    """Chi-square of 64,000 draws: 7 degrees of freedom; 24.3 is passed by chance once in a thousand times."""
    tree, draw = Priorities(8, 1.0), np.random.default_rng(0)
    tree.set(np.arange(8), np.array([0.0, 1, 2, 3, 4, 5, 6, 7]))
    counts = np.bincount(tree.drawn(draw.random((2000, 32))).ravel(), minlength=8)
    expected = 64_000 * np.arange(8) / 28
    assert counts[0] == 0
    assert ((counts[1:] - expected[1:]) ** 2 / expected[1:]).sum() < 24.3


def test_what_is_new_gets_the_highest_priority_so_far():
    tree = Priorities(4, 0.5)
    assert tree.highest == 1.0
    tree.set_errors(np.array([0, 1]), np.array([9.0, -16.0]))
    assert tree.highest == pytest.approx(4.0, rel=1e-6)
    tree.set_errors(np.array([1]), np.array([0.0]))
    assert tree.highest == pytest.approx(4.0, rel=1e-6)
    assert tree.of(np.array([1]))[0] == pytest.approx(SMALL**0.5)
