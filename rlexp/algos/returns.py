"""Advantages and returns as pure functions of time-major tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def gae(
    rewards: Tensor,
    values: Tensor,
    next_values: Tensor,
    terminated: Tensor,
    truncated: Tensor,
    gamma: float,
    gae_lambda: float,
) -> Tensor:
    """Return generalised advantage estimates (arXiv:1506.02438, equation 16), [T, N].

    A terminated step has no successor, so its bootstrap value is 0; a truncated one is bootstrapped from the value
    of its true last observation. Both cut the recursion:

        delta_t = r_t + gamma * V(next_t) * (1 - terminated_t) - V_t
        A_t     = delta_t + gamma * lambda * (1 - terminated_t) * (1 - truncated_t) * A_{t+1}

    Args:
        rewards: [T, N] float.
        values: V of the observation of each step, [T, N] float.
        next_values: V of what followed: of the next observation, or of the final one where truncated, [T, N] float.
        terminated: [T, N] bool.
        truncated: [T, N] bool.
        gamma: discount factor.
        gae_lambda: lambda.
    """
    deltas = rewards + gamma * next_values.masked_fill(terminated, 0) - values  # [T, N]
    decay = (gamma * gae_lambda) * ~(terminated | truncated)  # [T, N]
    advantages = deltas.clone()
    rows, decays = advantages.unbind(0), decay.to(deltas.dtype).unbind(0)
    for step in range(len(rows) - 2, -1, -1):
        rows[step].addcmul_(decays[step], rows[step + 1])
    return advantages


def discounted_return_sums(rewards: Tensor, done: Tensor, start: Tensor, gamma: float) -> Tensor:
    """Return the running discounted sum of rewards of each environment at each step, [T, N].

    G_t = gamma * G_{t-1} * (1 - done_{t-1}) + r_t, as the reward normalisation of OpenAI's baselines keeps it
    (The 37 Implementation Details of PPO, continuous actions, detail 6).

    Args:
        rewards: [T, N] float.
        done: episode ended with this step, [T, N] bool.
        start: what is carried into the first step, gamma * G_{-1} * (1 - done_{-1}), [N] float.
        gamma: discount factor.
    """
    sums = rewards.clone()
    carried, decay = start, gamma * (~done).to(rewards.dtype)
    for step in range(rewards.shape[0]):
        sums[step] += carried
        carried = decay[step] * sums[step]
    return sums
