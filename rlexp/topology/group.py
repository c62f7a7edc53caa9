"""Ranks that follow one another in the world, and the ways that they talk."""

from __future__ import annotations

import torch.distributed as dist
from torch import Tensor

from rlexp.launch.board import Board


class Group:
    """Ranks from `first` to the last of the world.

    Means are taken from gathered values in the order of ranks, so that every rank computes the same bits by either
    way; with gloo this is also faster than its all-reduce for the sizes at hand.

    Args:
        first: the first rank of the group.
        group: their torch process group; None is the world.
        board: memory that they share; None where they share none.
    """

    def __init__(self, first: int = 0, group: dist.ProcessGroup | None = None, board: Board | None = None) -> None:
        self._group, self._board = group, board
        self.rank = dist.get_rank(group)
        self.size = dist.get_world_size(group)
        self._members = range(first, first + self.size)

    def mean_(self, tensor: Tensor) -> None:
        """Replace `tensor` by its mean over the ranks."""
        tensor.copy_(self.borrow(tensor).mean(0).view(tensor.shape))

    def gather(self, tensor: Tensor) -> Tensor:
        """Return the tensors of all ranks, equal in shape, stacked in the order of ranks: [size, *]."""
        return self.borrow(tensor).clone().view(self.size, *tensor.shape)

    def borrow(self, tensor: Tensor) -> Tensor:
        """Return the tensors of all ranks, [size, numel]; the next call may overwrite them."""
        if self._board is not None and self._board.fits(tensor):
            return self._board.exchange(tensor, self._members[self.rank], self._members)
        out = tensor.new_empty((self.size, tensor.numel()))
        dist.all_gather(list(out.unbind(0)), tensor.contiguous().view(-1), group=self._group)
        return out
