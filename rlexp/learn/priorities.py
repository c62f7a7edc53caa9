"""Proportional priorities in a sum tree (Schaul et al. 2016, arXiv:1511.05952, section 3.3 and appendix B.2.1)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]
SMALL = 1e-6
"""Added to every error, so that no transition is never drawn again (epsilon of section 3.3)."""


class Priorities:
    """A priority to the power alpha for each of `size` places, and their sums.

    Args:
        size: of places; all begin with 0, which is never drawn.
        alpha: exponent: 0 draws uniformly, 1 in proportion to the errors.
    """

    def __init__(self, size: int, alpha: float) -> None:
        self._levels = max(1, (size - 1).bit_length())
        self._first = 1 << self._levels  # of the leaves; node i has the children 2i and 2i + 1, the root is 1
        self._sums: Array = np.zeros(2 * self._first)
        self._alpha = alpha
        self.highest = 1.0
        """The highest priority so far, to the power alpha: what is new gets it, so that it is drawn soon."""

    @property
    def total(self) -> float:
        """The sum over all places."""
        return float(self._sums[1])

    def set_errors(self, places: Index, errors: Array) -> None:
        """Let places have the priorities of these absolute errors; of equal places the last counts."""
        powers = (np.abs(errors) + SMALL) ** self._alpha
        self.highest = max(self.highest, float(powers.max()))
        self.set(places, powers)

    def set(self, places: Index, powers: Array | float) -> None:
        """Let places have these priorities, which are to the power alpha already."""
        nodes = places + self._first
        self._sums[nodes] = powers
        for _ in range(self._levels):
            nodes = np.unique(nodes >> 1)
            self._sums[nodes] = self._sums[2 * nodes] + self._sums[2 * nodes + 1]

    def of(self, places: Index) -> Array:
        """Return the priorities of places, to the power alpha."""
        return self._sums[places + self._first]

    def drawn(self, uniform: Array) -> Index:
        """Return places, drawn in proportion to their priorities.

        Args:
            uniform: one number from [0, 1) each, [*, B]; the b-th place of B comes from the b-th of B equal shares of
                the sum (appendix B.2.1).
        """
        count = uniform.shape[-1]
        left = (np.arange(count) + uniform) * (self.total / count)
        nodes = np.ones(left.shape, np.int64)
        for _ in range(self._levels):
            nodes *= 2
            below = self._sums[nodes]
            # a sum of 0 is never entered, whatever rounding says
            right = (left >= below) & (self._sums[nodes + 1] > 0)
            left -= np.where(right, below, 0.0)
            nodes += right
        return nodes - self._first
