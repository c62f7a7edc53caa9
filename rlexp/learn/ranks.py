"""The ranks that learn together, as a learner sees them; every rank makes the same calls in the same order."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class Ranks(Protocol):
    """What a learner asks of the ranks that learn with it.

    Attributes:
        rank: number of this rank among them.
        size: how many there are.
    """

    rank: int
    size: int

    def mean_(self, tensor: Tensor) -> None:
        """Replace `tensor` by its mean over the ranks."""

    def gather(self, tensor: Tensor) -> Tensor:
        """Return the tensors of all ranks, equal in shape, stacked in the order of ranks: [size, *]."""

    def borrow(self, tensor: Tensor) -> Tensor:
        """Return what `gather` does, flat: [size, numel]; the next call of any of these may overwrite it."""


class OneRank:
    """The group of a learner that learns by itself."""

    rank = 0
    size = 1

    def mean_(self, tensor: Tensor) -> None:
        """Leave `tensor` as it is: the mean over one rank."""

    def gather(self, tensor: Tensor) -> Tensor:
        """Return [1, *]."""
        return tensor.unsqueeze(0)

    def borrow(self, tensor: Tensor) -> Tensor:
        """Return [1, numel]."""
        return tensor.view(1, -1)
