"""Action distributions, each written once, as stateless functions of a parameter tensor.

Sampling takes its noise from outside, so that a player can draw the noise of a whole rollout at once; `sample` is
exact for the noise that `noise` returns.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import log_softmax, softplus

from rlexp.data.exploration import NONE, Exploration

Array = np.ndarray[Any, Any]

# The logistic density of scale 1/2, which is sech(u)^2 / 2, as a mixture of five normal densities of mean 0: standard
# deviations and weights. Fitted to log cosh (see `_mean_log_cosh`), whose largest error over all u is 4.5e-7; that the
# logistic is such a mixture: Andrews & Mallows 1974; finite ones: Monahan & Stefanski 1989.
_LOGISTIC = (
    (0.463993834833, 0.0662843404977),
    (0.657164729237, 0.3540026897346),
    (0.925350529555, 0.4119327290838),
    (1.297053781852, 0.1550938515355),
    (1.812242138071, 0.0126863891483),
)


class Distribution(ABC):
    """A family of distributions over actions.

    Attributes:
        num_params: width of the parameter tensor, P.
        num_outputs: how many of the parameters the policy head computes from the observation; the others are free.
        action_shape: shape of one sampled action: () or (A,).
        action_dtype: torch.int64 for choices, torch.float32 for real actions.
        wants_log_prob: whether learners ask for the log-probabilities of what was sampled.
    """

    wants_log_prob = True
    num_params: int
    num_outputs: int
    action_shape: tuple[int, ...]
    action_dtype: torch.dtype

    @abstractmethod
    def noise(self, shape: tuple[int, ...], generator: torch.Generator, exploration: Exploration = NONE) -> Tensor:
        """Draw noise for actions of batch shape `shape`: [*shape, K] float32."""

    @abstractmethod
    def sample(self, params: Tensor, noise: Tensor) -> Tensor:
        """Return actions, [B] or [B, A], from parameters [B, P] and noise [B, num_outputs]."""

    def sample_array(self, params: Array, noise: Array) -> Array:
        """Return `sample` of numpy arrays."""
        actions: Array = self.sample(torch.from_numpy(params), torch.from_numpy(noise)).numpy()
        return actions

    @abstractmethod
    def mode(self, params: Tensor) -> Tensor:
        """Return the most probable actions (for tanh: the squashed mean), [B] or [B, A]."""

    @abstractmethod
    def log_prob(self, params: Tensor, actions: Tensor) -> Tensor:
        """Return the log-probability (density) of each action, [B]."""

    @abstractmethod
    def entropy(self, params: Tensor) -> Tensor:
        """Return the entropy in nats, [B]."""

    def log_prob_and_entropy(self, params: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Return both, each [B]; families that share work between them do it once."""
        return self.log_prob(params, actions), self.entropy(params)


def _gumbel(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Draw standard Gumbel noise: argmax(logits + noise) is then a sample of softmax(logits)."""
    return torch.empty(shape, device=generator.device).exponential_(generator=generator).log_().neg_()


class Categorical(Distribution):
    """One choice among K options; the parameters are logits."""

    def __init__(self, options: int) -> None:
        self.num_params = self.num_outputs = options
        self.action_shape = ()
        self.action_dtype = torch.int64

    def noise(self, shape: tuple[int, ...], generator: torch.Generator, exploration: Exploration = NONE) -> Tensor:
        """Draw Gumbel noise, [*shape, K]."""
        return _gumbel((*shape, self.num_outputs), generator)

    def sample(self, params: Tensor, noise: Tensor) -> Tensor:
        """Sample by the Gumbel-max trick (arXiv:1411.0030)."""
        return (params + noise).argmax(-1)

    def sample_array(self, params: Array, noise: Array) -> Array:
        """Return `sample` of numpy arrays; numpy's argmax is ten times as fast on a few rows."""
        actions: Array = (params + noise).argmax(-1)
        return actions

    def mode(self, params: Tensor) -> Tensor:
        """Return the option of the largest logit."""
        return params.argmax(-1)

    def log_prob(self, params: Tensor, actions: Tensor) -> Tensor:
        """Return log softmax(params)[actions]."""
        return log_softmax(params, -1).gather(-1, actions.unsqueeze(-1)).squeeze(-1)

    def entropy(self, params: Tensor) -> Tensor:
        """Return -sum p log p."""
        return self._entropy(log_softmax(params, -1))

    def log_prob_and_entropy(self, params: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Return both from one log-softmax."""
        log_p = log_softmax(params, -1)
        return log_p.gather(-1, actions.unsqueeze(-1)).squeeze(-1), self._entropy(log_p)

    @staticmethod
    def _entropy(log_p: Tensor) -> Tensor:
        return -(log_p.exp() * log_p).sum(-1)


class MultiCategorical(Distribution):
    """Several independent choices; the parameters are their logits, side by side."""

    def __init__(self, sizes: tuple[int, ...]) -> None:
        self._sizes = list(sizes)
        self._choices = [Categorical(size) for size in sizes]
        self.num_params = self.num_outputs = sum(sizes)
        self.action_shape = (len(sizes),)
        self.action_dtype = torch.int64

    def noise(self, shape: tuple[int, ...], generator: torch.Generator, exploration: Exploration = NONE) -> Tensor:
        """Draw Gumbel noise, [*shape, sum of sizes]."""
        return _gumbel((*shape, self.num_outputs), generator)

    def sample(self, params: Tensor, noise: Tensor) -> Tensor:
        """Sample each choice by the Gumbel-max trick."""
        return self.mode(params + noise)

    def mode(self, params: Tensor) -> Tensor:
        """Return the option of the largest logit of each choice."""
        return torch.stack([logits.argmax(-1) for logits in params.split(self._sizes, -1)], -1)

    def log_prob(self, params: Tensor, actions: Tensor) -> Tensor:
        """Return the sum of the choices' log-probabilities."""
        pairs = zip(self._choices, params.split(self._sizes, -1), actions.unbind(-1), strict=True)
        return torch.stack([choice.log_prob(logits, action) for choice, logits, action in pairs], -1).sum(-1)

    def entropy(self, params: Tensor) -> Tensor:
        """Return the sum of the choices' entropies."""
        pairs = zip(self._choices, params.split(self._sizes, -1), strict=True)
        return torch.stack([choice.entropy(logits) for choice, logits in pairs], -1).sum(-1)


class Gaussian(Distribution):
    """Independent normal distributions; the parameters are A means and A log standard deviations."""

    def __init__(self, size: int) -> None:
        self.num_params, self.num_outputs = 2 * size, size
        self.action_shape = (size,)
        self.action_dtype = torch.float32

    def noise(self, shape: tuple[int, ...], generator: torch.Generator, exploration: Exploration = NONE) -> Tensor:
        """Draw standard normal noise, [*shape, A]."""
        return torch.empty((*shape, self.num_outputs), device=generator.device).normal_(generator=generator)

    def sample(self, params: Tensor, noise: Tensor) -> Tensor:
        """Return mean + standard deviation * noise; not bounded."""
        mean, log_std = params.chunk(2, -1)
        return mean + log_std.exp() * noise

    def mode(self, params: Tensor) -> Tensor:
        """Return the mean."""
        return params.chunk(2, -1)[0]

    def log_prob(self, params: Tensor, actions: Tensor) -> Tensor:
        """Return the log density of the actions as sampled."""
        mean, log_std = params.chunk(2, -1)
        scaled = (actions - mean) * (-log_std).exp()
        return (-0.5 * scaled.square() - log_std - 0.5 * math.log(2 * math.pi)).sum(-1)

    def entropy(self, params: Tensor) -> Tensor:
        """Return the sum of log standard deviations plus A/2 log(2 pi e)."""
        return (params.chunk(2, -1)[1] + 0.5 * math.log(2 * math.pi * math.e)).sum(-1)


class TanhGaussian(Gaussian):
    """tanh of a Gaussian, in (-1, 1) (SAC, arXiv:1801.01290, appendix C).

    Actions are kept as sampled, before tanh, so that their density is exact; log_prob is the density after it.
    """

    def log_prob(self, params: Tensor, actions: Tensor) -> Tensor:
        """Return the log density of tanh(actions)."""
        return super().log_prob(params, actions) - _log_tanh_slope(actions).sum(-1)

    def entropy(self, params: Tensor) -> Tensor:
        """Return the Gaussian's entropy plus E[log(1 - tanh(u)^2)]; the error is below 1e-6 nats an action number.

        That holds for every mean and standard deviation, up to the rounding of the numbers' type; see `_mean_log_cosh`.
        """
        mean, log_std = params.chunk(2, -1)
        return super().entropy(params) - 2 * _mean_log_cosh(mean, log_std.exp()).sum(-1)


def _mean_log_cosh(mean: Tensor, std: Tensor) -> Tensor:
    """Return E[log cosh u] of u ~ N(mean, std^2), element by element.

    log cosh u = E|u - v| - log 2 for v of the logistic distribution of scale 1/2: both sides have the second derivative
    sech(u)^2, and both approach |u| - log 2. With v a mixture of normal distributions of standard deviations w, u - v
    is one of standard deviations sqrt(std^2 + w^2), and the mean of |x| of x ~ N(m, s^2) is

        s sqrt(2 / pi) exp(-m^2 / 2 s^2) + m erf(m / s sqrt 2).

    The error of the mixture is averaged over u, so that it is nowhere larger than for a standard deviation of 0.
    """
    total = torch.full_like(mean, -math.log(2))
    for width, weight in _LOGISTIC:
        spread = (std.square() + width**2).sqrt()
        ratio = mean / spread
        bell = math.sqrt(2 / math.pi) * spread * (-0.5 * ratio.square()).exp()
        total = total + weight * (bell + mean * (math.sqrt(0.5) * ratio).erf())
    return total


def _log_tanh_slope(u: Tensor) -> Tensor:
    """Return log(1 - tanh(u)^2), stable for large |u|."""
    return 2 * (math.log(2) - u - softplus(-2 * u))
