"""What a replay memory hands over, and what a checkpoint holds of it."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor


@dataclass(frozen=True)
class Segment:
    """A large state that lies in a file of its own beside the checkpoint; see `rlexp.files.segments`.

    Attributes:
        sha256: of the file, which is named by it.
    """

    sha256: str


@dataclass(frozen=True)
class ReplayBatch:
    """B transitions of n steps from a replay memory.

    Attributes:
        obs: observation rows, [B, D].
        actions: [B] int64 or [B, A] float32.
        rewards: sum of the n rewards that follow, discounted, [B].
        next_obs: rows that their returns are bootstrapped from, [B, D]; after a termination they mean nothing.
        discounts: gamma^n (1 - terminated), [B]; fewer steps than n where an episode, or the memory, ends before.
        noise: standard normal numbers for what a loss samples, [B, K].
        weight: of each transition (importance sampling of priorities), [B]; None: all the same.
    """

    obs: Tensor
    actions: Tensor
    rewards: Tensor
    next_obs: Tensor
    discounts: Tensor
    noise: Tensor
    weight: Tensor | None = None

    def to(self, device: torch.device | str) -> ReplayBatch:
        """Return the transitions on a device."""
        moved = (getattr(self, item.name) for item in fields(self))
        return ReplayBatch(*(None if values is None else values.to(device) for values in moved))  # type: ignore[arg-type]

    def split(self, parts: int) -> list[ReplayBatch]:
        """Return the transitions in batches of equal size."""
        columns = []
        for item in fields(self):
            values: Tensor | None = getattr(self, item.name)
            columns.append([None] * parts if values is None else values.chunk(parts))
        return [ReplayBatch(*pieces) for pieces in zip(*columns, strict=True)]


@dataclass(frozen=True)
class ReplayRows:
    """Consecutive steps of all environments of a memory.

    Attributes:
        start: number of the first step, counted from the first step of the run.
        obs: before each step, [T, N, D] float32 or uint8.
        actions: [T, N] int64 or [T, N, A].
        rewards: raw, [T, N] float32.
        terminated: [T, N] bool.
        truncated: [T, N] bool.
        valid: False where a row is no transition, [T, N] bool.
        final_obs: true last observation of each truncated step, in the order of truncated.nonzero(), [M, D].
    """

    start: int
    obs: Tensor
    actions: Tensor
    rewards: Tensor
    terminated: Tensor
    truncated: Tensor
    valid: Tensor
    final_obs: Tensor


@dataclass(frozen=True)
class ReplayState:
    """What one rank's replay memory needs to continue.

    Attributes:
        discounted: discounted returns of the episodes under way, for the scale of rewards, [N] float32.
        generator: of indices and noise, uint8.
        steps: of each environment so far.
        counted: environment steps over all ranks for which batches have been owed so far.
        next_obs: rows after the last step, [N, D]; empty before the first.
        parts: the rows, in order; full ones in files of their own. Empty with `checkpoint.replay=false`.
        priorities: of the rows, in their order, to the power alpha, [T, N] float64; empty without.
        highest: the highest priority so far, to the power alpha.
    """

    discounted: Tensor
    generator: Tensor
    steps: int
    counted: int
    next_obs: Tensor
    parts: list[ReplayRows | Segment]
    priorities: Tensor
    highest: float
