"""What players hand over: rollouts and the episodes that ended in them."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor


@dataclass(frozen=True)
class Rollout:
    """T steps of N environments, as the player saw them.

    Attributes:
        obs: raw observation rows, [T+1, N, D] float32 or uint8; the last is what the next rollout starts with.
        actions: as sampled, before bounds are applied; [T, N] int64, or [T, N, A] int64 or float32.
        rewards: raw, [T, N] float32.
        terminated: [T, N] bool.
        truncated: [T, N] bool.
        log_prob: log-probability of each action under the policy that acted, [T, N] float32.
        final_obs: true last observation of each truncated step, in the order of truncated.nonzero(), [M, D].
        valid: False where a row is no transition (an environment that resets on the next step), [T, N] bool.
        initial_state: recurrent state before the first step, [N, S] float32; S = 0 without one.
    """

    obs: Tensor
    actions: Tensor
    rewards: Tensor
    terminated: Tensor
    truncated: Tensor
    log_prob: Tensor
    final_obs: Tensor
    valid: Tensor
    initial_state: Tensor

    def to(self, device: torch.device | str) -> Rollout:
        """Return the rollout on a device."""
        return Rollout(*(getattr(self, item.name).to(device) for item in fields(self)))


@dataclass(frozen=True)
class Episode:
    """A finished episode.

    Attributes:
        episode_return: undiscounted sum of raw rewards.
        length: in steps.
        infos: the values that `log.infos` names, from the info of its last step; NaN where one is missing.
        shaped: undiscounted sum of the rewards that wrappers made; None without wrappers.
    """

    episode_return: float
    length: int
    infos: tuple[float, ...] = ()
    shaped: float | None = None


@dataclass(frozen=True)
class Collected:
    """What a player returns.

    Attributes:
        rollout: T steps of N environments.
        episodes: that ended in it, in order.
        seconds: wall time that it took.
    """

    rollout: Rollout
    episodes: list[Episode]
    seconds: float


@dataclass(frozen=True)
class Update:
    """What an update returns.

    Attributes:
        scalars: means over its batches and ranks, by the names of `Algorithm.all_scalars`. Steps that were skipped
            count in `skipped_steps` alone; the means are NaN where all were.
        seconds: wall time of learning on this rank, transport included.
        learned: optimizer steps that were taken.
    """

    scalars: dict[str, float]
    seconds: float
    learned: int
