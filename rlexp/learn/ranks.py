"""The ranks that learn together, as a learner sees them."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class Collective(Protocol):
    """What a learner asks of the ranks that learn with it; every rank must make the same calls in the same order."""

    rank: int
    size: int

    def mean_(self, tensor: Tensor) -> None:
        """Replace `tensor` by its mean over the ranks."""

    def gather(self, tensor: Tensor) -> Tensor:
        """Return the tensors of all ranks, equal in shape, stacked in the order of ranks: [size, *]."""

    def lent(self, tensor: Tensor) -> Tensor:
        """Return what `gather` does, flat: [size, numel]; to be used before the next call of any of these."""
