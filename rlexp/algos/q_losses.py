"""Losses of action values as pure functions of tensors; B transitions, N critics, K actions, Z atoms."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def bootstrapped(rewards: Tensor, discounts: Tensor, values: Tensor) -> Tensor:
    """Return the targets r + gamma^n (1 - terminated) V(s'), [B] (Sutton & Barto 2018, equation 7.1).

    Args:
        rewards: sum of n discounted rewards, [B].
        discounts: gamma^n (1 - terminated), [B].
        values: of the states that follow, [B].
    """
    return rewards + discounts * values


def corrected_mean(terms: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return the mean of terms [B], each times its importance weight [B], [] (arXiv:1511.05952, section 3.4)."""
    return (terms if weight is None else terms * weight).mean()


def squared_error(errors: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return the mean squared error, [], of errors [B] or [N, B], added up over critics."""
    squares = errors.square()
    return corrected_mean(squares if squares.dim() == 1 else squares.sum(0), weight)


def huber(errors: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return the mean of Huber's loss with delta = 1 (DQN, Nature 2015, methods), [], of errors [B]."""
    size = errors.abs()
    return corrected_mean((0.5 * size.square()).where(size < 1, size - 0.5), weight)


def soft_value(values: Tensor, log_prob: Tensor, alpha: Tensor) -> Tensor:
    """Return Q - alpha log pi, [B] (SAC, arXiv:1812.05905, equation 3)."""
    return values - alpha * log_prob


def expected_soft_value(values: Tensor, log_probs: Tensor, alpha: Tensor) -> Tensor:
    """Return sum over actions of pi (Q - alpha log pi), [B] (SAC-Discrete, arXiv:1910.07207, equation 10).

    Args:
        values: of all actions, [B, K].
        log_probs: of all actions, [B, K].
        alpha: temperature, [].
    """
    return (log_probs.exp() * (values - alpha * log_probs)).sum(-1)


def projected(chances: Tensor, rewards: Tensor, discounts: Tensor, support: Tensor) -> Tensor:
    """Return the distribution of r + gamma^n Z on the support, [B, Z] (C51, arXiv:1707.06887, algorithm 1).

    Args:
        chances: of the atoms in the states that follow, [B, Z].
        rewards: [B].
        discounts: [B].
        support: values of the atoms, evenly spaced, [Z].
    """
    low, high = support[0], support[-1]
    step = (high - low) / (support.shape[0] - 1)
    moved = (rewards.unsqueeze(1) + discounts.unsqueeze(1) * support).clamp(low, high)  # [B, Z]
    # The share of an atom that reaches another falls linearly with the distance to it (equation 7).
    distance = (moved.unsqueeze(1) - support.view(1, -1, 1)).abs() / step  # [B, Z to, Z from]
    return ((1 - distance).clamp(min=0.0) * chances.unsqueeze(1)).sum(-1)
