"""Rewards as a learner sees them: normalised by the spread of discounted returns, and clipped."""

from __future__ import annotations

import torch
from torch import Tensor

from rlexp.algos.returns import discounted_return_sums
from rlexp.data.rollout import Rollout
from rlexp.learn.ranks import Ranks
from rlexp.models.normalizer import RunningMoments, moments_of


def shared_moments(rows: Tensor, ranks: Ranks, shared: bool) -> Tensor:
    """Return the moments of rows [B, D], one row a rank where ranks hold different data, [R, 1 + 2D]."""
    moments = moments_of(rows)
    return moments.unsqueeze(0) if shared else ranks.gather(moments)


class RewardScaler:
    """Normalises and clips rewards; the rollout's own stay as they are.

    Args:
        normalize: whether rewards are divided by the running standard deviation of discounted returns.
        limit: rewards are clipped to +- this, after normalising; None: not clipped.
        gamma: discount factor.
        ranks: the ranks that learn together.
        shared: whether all of them see the same rollouts.
        num_envs: environments in the rollouts, N.
        device: of the learner.
    """

    def __init__(
        self,
        normalize: bool,
        limit: float | None,
        gamma: float,
        ranks: Ranks,
        shared: bool,
        num_envs: int,
        device: torch.device,
    ) -> None:
        self._normalize = normalize
        self._limit = limit
        self._gamma = gamma
        self.ranks, self.shared = ranks, shared
        self.moments = RunningMoments(1).to(device)
        self.discounted = torch.zeros(num_envs, device=device)
        """Discounted returns of the episodes under way, [N]."""

    def scaled(self, rollout: Rollout) -> Tensor:
        """Return rewards, [T, N], and take the rollout into the statistics; rows that are no transition get 0."""
        self.observe(rollout)
        return self.now(rollout.rewards.where(rollout.valid, 0))

    def observe(self, rollout: Rollout) -> None:
        """Take a rollout into the statistics."""
        if not self._normalize:
            return
        done = rollout.terminated | rollout.truncated
        sums = discounted_return_sums(rollout.rewards.where(rollout.valid, 0), done, self.discounted, self._gamma)
        self.discounted = self._gamma * sums[-1] * ~done[-1]
        valid_sums = sums[rollout.valid].unsqueeze(-1)
        self.moments.merge(shared_moments(valid_sums, self.ranks, self.shared))

    def now(self, rewards: Tensor) -> Tensor:
        """Return rewards, [*], by the statistics of now."""
        if self._normalize:
            rewards = rewards / self.moments.scale_around_zero().float().to(rewards.device)
        if self._limit is not None:
            rewards = rewards.clamp(-self._limit, self._limit)
        return rewards
