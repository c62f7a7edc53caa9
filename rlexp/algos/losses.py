"""Loss terms as pure functions of tensors of shape [B]; each returns a scalar (shape [])."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def mean(terms: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return the mean of terms [B], []; weighted by [B] where there is a weight that is not 0 everywhere."""
    if weight is None:
        return terms.mean()
    return (terms * weight).sum() / weight.sum().clamp(min=1.0)


def clipped_surrogate(ratio: Tensor, advantages: Tensor, clip_coef: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return minus the clipped surrogate objective of PPO (arXiv:1707.06347, equation 7).

    Args:
        ratio: pi_new(a|s) / pi_old(a|s), [B].
        advantages: [B].
        clip_coef: epsilon, [].
        weight: see `mean`.
    """
    clipped = ratio.clamp(1 - clip_coef, 1 + clip_coef)
    return -mean((ratio * advantages).minimum(clipped * advantages), weight)


MAX_WEIGHT = 10.0
"""Largest importance weight of a transition (the c of ACER, arXiv:1611.01224, section 3.1)."""


def policy_gradient(log_prob: Tensor, old_log_prob: Tensor, advantages: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return the loss whose gradient is minus the policy gradient (A3C, arXiv:1602.01783, section 4).

    Each transition has the importance weight pi(a|s) / pi_old(a|s), at most MAX_WEIGHT: so the mean over actions of
    the old policy is that of the policy now. It is 1 where both are the same.

    Args:
        log_prob: log pi(a|s), [B].
        old_log_prob: log pi_old(a|s) under the policy that acted, [B].
        advantages: [B].
        weight: see `mean`.
    """
    weights = (log_prob.detach() - old_log_prob).clamp(max=math.log(MAX_WEIGHT)).exp()
    return -mean(weights * log_prob * advantages, weight)


def value_loss(values: Tensor, returns: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return the mean squared error of `values` [B] against `returns` [B]."""
    return mean((values - returns).square(), weight)


def clipped_value_loss(
    values: Tensor, old_values: Tensor, returns: Tensor, clip_coef: Tensor, weight: Tensor | None = None
) -> Tensor:
    """Return the value loss with steps clipped around the old values, the larger error of the two counting.

    Source: the PPO of OpenAI's baselines; The 37 Implementation Details of PPO, detail 9.

    Args:
        values: current estimates, [B].
        old_values: estimates at the start of the update, [B].
        returns: targets, [B].
        clip_coef: the largest change of a value that lowers the loss.
        weight: see `mean`.
    """
    clipped = old_values + (values - old_values).clamp(-clip_coef, clip_coef)
    return mean((values - returns).square().maximum((clipped - returns).square()), weight)


def approximate_kl(log_ratio: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return the mean of (r - 1) - log r, r = exp(log_ratio): unbiased, never negative (k3 of Schulman's note).

    Args:
        log_ratio: log pi_new(a|s) - log pi_old(a|s), [B].
        weight: see `mean`.
    """
    return mean(log_ratio.exp() - 1 - log_ratio, weight)


ROUNDING = 1e-5
"""Standard deviation, beside the mean, that equal float32 numbers may have by rounding alone, with a wide margin."""


def normalized(advantages: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return advantages [B] scaled to mean 0 and standard deviation 1; equal ones become 0."""
    import torch  # not at the start: a config error need not wait for it

    if weight is None:
        std, center = torch.std_mean(advantages)
    else:
        center = mean(advantages, weight)
        count = weight.sum()
        std = (mean((advantages - center).square(), weight) * count / (count - 1).clamp(min=1.0)).sqrt()
    return (advantages - center) / (std.maximum(ROUNDING * center.abs()) + 1e-8)


def explained_variance(values: Tensor, returns: Tensor) -> Tensor:
    """Return 1 - Var(returns - values) / Var(returns), []; 0 where all returns are equal.

    Equal returns have no variance to explain, only what rounding makes of it.

    Args:
        values: estimates, [B].
        returns: what they estimate, [B].
    """
    spread = returns.var(correction=0)
    unequal = spread > (ROUNDING * returns.mean()).square()
    return (1 - (returns - values).var(correction=0) / spread).where(unequal, spread.new_zeros(()))
