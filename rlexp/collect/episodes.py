"""Episodes: their returns and lengths, across the borders of rollouts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rlexp.data.rollout import Episode

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Taken:
    """What T steps of N environments gave.

    Attributes:
        rewards: raw, [T, N] float64.
        terminated: [T, N] bool.
        truncated: [T, N] bool.
        valid: False where a row is no transition, [T, N] bool.
        final_obs: true last observation of each truncated step, in the order of truncated.nonzero(), each [D].
        infos: by step where an episode ended, [N, K] (see `rlexp.envs.vector.StepResult`).
        whole: raw returns of whole episodes that ended, [T, N] float64, NaN elsewhere; None where rewards are raw.
    """

    rewards: Array
    terminated: Array
    truncated: Array
    valid: Array
    final_obs: list[Array]
    infos: dict[int, Array]
    whole: Array | None = None


class EpisodesUnderWay:
    """Returns and lengths of the episodes under way, up to the end of the last rollout.

    Args:
        count: environments, N.
    """

    def __init__(self, count: int) -> None:
        self.returns = np.zeros(count)
        self.lengths = np.zeros(count, np.int64)

    def load(self, returns: Array, lengths: Array, restarted: list[int]) -> None:
        """Resume from earlier returns and lengths; `restarted` environments begin a new episode."""
        self.returns, self.lengths = returns, lengths
        self.returns[restarted], self.lengths[restarted] = 0.0, 0

    def ended(self, taken: Taken) -> list[Episode]:
        """Return the episodes that ended in these steps, in order, and keep the sums of the others."""
        whole, valid = taken.whole, taken.valid
        done = taken.terminated | taken.truncated if whole is None else ~np.isnan(whole)
        rewards = np.where(valid, taken.rewards, 0)
        episodes = []
        start = np.zeros(done.shape[1], np.int64)
        for step, env in zip(*done.nonzero(), strict=True):
            total = self.returns[env] + rewards[start[env] : step + 1, env].sum()
            length = self.lengths[env] + valid[start[env] : step + 1, env].sum()
            infos = tuple(taken.infos[step][env].tolist()) if step in taken.infos else ()
            if whole is None:
                episodes.append(Episode(float(total), int(length), infos))
            else:
                episodes.append(Episode(float(whole[step, env]), int(length), infos, float(total)))
            self.returns[env], self.lengths[env], start[env] = 0.0, 0, step + 1
        for env in range(done.shape[1]):
            self.returns[env] += rewards[start[env] :, env].sum()
            self.lengths[env] += valid[start[env] :, env].sum()
        return episodes


def running_sums(rows: Tensor) -> Tensor:
    """Return the sum of rows [T, N] up to each, [T, N]; torch's cumsum is not deterministic on CUDA.

    By doubling (Hillis & Steele 1986): after pass k each row is the sum of the last 2^k.
    """
    sums, reach = rows, 1
    while reach < len(rows):
        sums = torch.cat([sums[:reach], sums[reach:] + sums[:-reach]])
        reach *= 2
    return sums
