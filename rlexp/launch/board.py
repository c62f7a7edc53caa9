"""Memory that the forked ranks of one machine share: a faster way to each other than a socket.

gloo takes most of a millisecond for the gradient of a small network, more than a compiled optimizer step; here it is a
copy and a semaphore, some twenty microseconds (benchmarks/gather.py). Ranks on other machines, on GPUs or started by
torchrun have no board.
"""

from __future__ import annotations

import mmap
import multiprocessing.context
import os
import time
from typing import Any

import torch
from torch import Tensor

ROOM = 16 * 2**20
"""Bytes that a rank may post at once; pages are taken when they are first written to."""
SPINS = 2_000
"""Tries to find a post there before the rank sleeps: a few tenths of a millisecond, while waking up costs one."""


class Board:
    """What each member has posted in this turn; the parent makes it, ranks inherit it.

    A turn is: post, wait for the posts of all others, read. Turns alternate between two places, so a member that is
    one turn ahead overwrites nothing that another still reads; two ahead it cannot be. Members must not change.

    Args:
        context: makes the semaphores.
        ranks: number of ranks on the machine.
        timeout: seconds after which a member that has not posted is given up.
    """

    def __init__(self, context: multiprocessing.context.BaseContext, ranks: int, timeout: float) -> None:
        self._bytes = torch.frombuffer(mmap.mmap(-1, 2 * ranks * ROOM), dtype=torch.uint8).view(2, ranks, ROOM)
        self._posted = [[context.Semaphore(0) for _ in range(ranks)] for _ in range(ranks)]  # [from][to]
        self._spins = SPINS if (os.cpu_count() or 1) >= ranks else 0
        self._timeout = timeout
        self._turn = 0
        self._known: dict[Any, tuple[list[tuple[Tensor, Tensor]], list[int]]] = {}

    def fits(self, tensor: Tensor) -> bool:
        """Return whether a tensor can be posted."""
        return tensor.device.type == "cpu" and tensor.numel() * tensor.element_size() <= ROOM

    def exchange(self, tensor: Tensor, rank: int, members: range) -> Tensor:
        """Post a tensor, and return those of all members, equal in shape, in their order: [size, numel].

        The result holds until the next turn, in which a member that is ahead may overwrite it.

        Raises:
            RuntimeError: a member did not post in time.
        """
        places, others = self._places(tensor.numel(), tensor.dtype, rank, members)
        place, own = places[self._turn % 2]
        self._turn += 1
        own.copy_(tensor.reshape(-1))
        for member in others:
            self._posted[rank][member].release()
        for member in others:
            self._await(member, rank)
        return place

    def _places(
        self, numel: int, dtype: torch.dtype, rank: int, members: range
    ) -> tuple[list[tuple[Tensor, Tensor]], list[int]]:
        """Return for either turn the place of all members, [size, numel], and of this one; and the other members."""
        key = (numel, dtype, rank, members)
        if key not in self._known:  # a few kinds of tensors go by thousands of times
            rows = self._bytes[:, members.start : members.stop, : numel * dtype.itemsize].view(dtype)
            others = [member for member in members if member != rank]
            self._known[key] = [(row, row[rank - members.start]) for row in rows], others
        return self._known[key]

    def _await(self, member: int, rank: int) -> None:
        posted = self._posted[member][rank]
        for _ in range(self._spins):
            if posted.acquire(False):
                return
        deadline = time.monotonic() + self._timeout
        while not posted.acquire(True, 1.0):
            if time.monotonic() > deadline:
                raise RuntimeError(f"timed out after {self._timeout:g} s waiting for rank {member}")
