"""Distributions of off-policy actors: what they sample, and what they explore by, comes from noise alone.

The noise of a rollout holds the exploration too, so that a player needs no other way to act: a number that is not NaN
stands for the action itself, and a choice is made by what is added to its value. Real actions lie in [-1, 1].
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import softplus

from rlexp.data.exploration import NONE, Exploration
from rlexp.models.distributions import Categorical, Distribution

Array = np.ndarray[Any, Any]
DECIDES = 1e20
"""Added to the value of a choice, outweighs every value, and is outweighed by `mixed.FORBIDDEN`."""
LOG_STD = (-20.0, 2.0)
"""Bounds of the log standard deviation (those of the authors' code of SAC)."""


class EpsilonGreedy(Categorical):
    """The choice of the highest value, or with probability epsilon one of all that are allowed."""

    wants_log_prob = False

    def noise(self, shape: tuple[int, ...], generator: torch.Generator, exploration: Exploration = NONE) -> Tensor:
        """Draw numbers that decide where a choice is random, and 0 elsewhere, [*shape, K]."""
        uniform = torch.rand((*shape, self.num_outputs + 1), device=generator.device, generator=generator)
        epsilon = 1.0 if exploration.uniform else exploration.amount
        return uniform[..., :-1].mul(DECIDES).masked_fill(uniform[..., -1:] >= epsilon, 0.0)


class SoftChoice(Categorical):
    """A choice by its logits, as SAC samples it; before learning starts one of all that are allowed."""

    wants_log_prob = False

    def noise(self, shape: tuple[int, ...], generator: torch.Generator, exploration: Exploration = NONE) -> Tensor:
        """Draw Gumbel noise, or numbers that decide, [*shape, K]."""
        gumbel = super().noise(shape, generator)
        return gumbel * DECIDES if exploration.uniform else gumbel  # of equal logits each is as likely


class _Bounded(Distribution):
    """Real actions in [-1, 1]."""

    wants_log_prob = False

    def __init__(self, size: int, num_params: int) -> None:
        self.num_params = self.num_outputs = num_params
        self.size = size
        self.action_shape = (size,)
        self.action_dtype = torch.float32

    def noise(self, shape: tuple[int, ...], generator: torch.Generator, exploration: Exploration = NONE) -> Tensor:
        """Draw standard normal noise and the actions themselves, NaN where the policy acts, [*shape, 2A]."""
        noise = torch.empty((*shape, 2 * self.size), device=generator.device)
        normal, actions = noise.split(self.size, -1)
        normal.normal_(generator=generator)
        if exploration.uniform:
            actions.uniform_(-1, 1, generator=generator)
        else:
            actions.fill_(math.nan)
        return noise

    def log_prob(self, params: Tensor, actions: Tensor) -> Tensor:
        """Never called: replay memories hold no log-probabilities."""
        raise NotImplementedError

    def entropy(self, params: Tensor) -> Tensor:
        """Never called: see `log_prob`."""
        raise NotImplementedError


class SquashedGaussian(_Bounded):
    """tanh of a Gaussian (SAC, arXiv:1812.05905, appendix C); the parameters are A means and A log deviations."""

    def __init__(self, size: int) -> None:
        super().__init__(size, 2 * size)

    def sample(self, params: Tensor, noise: Tensor) -> Tensor:
        """Return tanh(mean + standard deviation * normal), or the actions that the noise gives."""
        (mean, log_std), (normal, given) = params.chunk(2, -1), noise.chunk(2, -1)
        return (mean + log_std.clamp(*LOG_STD).exp() * normal).tanh().where(given.isnan(), given)

    def sample_array(self, params: Array, noise: Array) -> Array:
        """Return `sample` of numpy arrays."""
        size = self.size
        given = noise[..., size:]
        actions = np.tanh(params[..., :size] + np.exp(params[..., size:].clip(*LOG_STD)) * noise[..., :size])
        return np.where(np.isnan(given), actions, given)

    def mode(self, params: Tensor) -> Tensor:
        """Return tanh(mean)."""
        return params[..., : self.size].tanh()

    def sampled(self, params: Tensor, normal: Tensor) -> tuple[Tensor, Tensor]:
        """Return actions, [B, A], and their log density, [B], of standard normal noise [B, A] (equation 21)."""
        mean, log_std = params.chunk(2, -1)
        log_std = log_std.clamp(*LOG_STD)
        before = mean + log_std.exp() * normal
        slope = 2 * (math.log(2) - before - softplus(-2 * before))  # log(1 - tanh^2)
        density = -0.5 * normal.square() - log_std - 0.5 * math.log(2 * math.pi)
        return before.tanh(), (density - slope).sum(-1)


class Deterministic(_Bounded):
    """tanh of A numbers, to which players add noise (TD3, arXiv:1802.09477, algorithm 1)."""

    def __init__(self, size: int) -> None:
        super().__init__(size, size)

    def noise(self, shape: tuple[int, ...], generator: torch.Generator, exploration: Exploration = NONE) -> Tensor:
        """Draw normal noise of the standard deviation of the exploration; see `_Bounded.noise`."""
        noise = super().noise(shape, generator, exploration)
        noise[..., : self.size] *= exploration.amount
        return noise

    def sample(self, params: Tensor, noise: Tensor) -> Tensor:
        """Return tanh(parameters) + noise within [-1, 1], or the actions that the noise gives."""
        normal, given = noise.chunk(2, -1)
        return (params.tanh() + normal).clamp(-1, 1).where(given.isnan(), given)

    def sample_array(self, params: Array, noise: Array) -> Array:
        """Return `sample` of numpy arrays."""
        given = noise[..., self.size :]
        return np.where(np.isnan(given), (np.tanh(params) + noise[..., : self.size]).clip(-1, 1), given)

    def mode(self, params: Tensor) -> Tensor:
        """Return tanh(parameters)."""
        return params.tanh()
