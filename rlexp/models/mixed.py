"""Actions of several kinds at once, choices that a mask forbids, and which distribution an action space has."""

from __future__ import annotations

import torch
from torch import Tensor

from rlexp.data.exploration import NONE, Exploration
from rlexp.data.spaces import ActionSpec
from rlexp.models.distributions import Categorical, Distribution, Gaussian, MultiCategorical, TanhGaussian

FORBIDDEN = -1e30
"""The logit of an option that a mask forbids: its probability is 0, and p log p of it too, not NaN."""


class Mixed(Distribution):
    """Independent choices and real numbers: a Dict or a Tuple of actions.

    A row of actions holds the choices and then the real numbers, all of them float32; the parameters are the logits,
    the means and the log standard deviations.
    """

    def __init__(self, sizes: tuple[int, ...], real: Gaussian) -> None:
        self._choices, self._real = MultiCategorical(sizes), real
        self._logits, self._count = self._choices.num_params, len(sizes)
        self.num_params = self._logits + real.num_params
        self.num_outputs = self._logits + real.num_outputs
        self.action_shape = (len(sizes) + real.num_outputs,)
        self.action_dtype = torch.float32

    def _params(self, params: Tensor) -> tuple[Tensor, Tensor]:
        return params[..., : self._logits], params[..., self._logits :]

    def _actions(self, actions: Tensor) -> tuple[Tensor, Tensor]:
        return actions[..., : self._count].long(), actions[..., self._count :]

    def noise(self, shape: tuple[int, ...], generator: torch.Generator, exploration: Exploration = NONE) -> Tensor:
        """Draw Gumbel noise for the choices, [*shape, sum of sizes], and normal noise, [*shape, A]."""
        return torch.cat([self._choices.noise(shape, generator), self._real.noise(shape, generator)], -1)

    def sample(self, params: Tensor, noise: Tensor) -> Tensor:
        """Sample choices and real numbers."""
        (logits, real), (gumbel, normal) = self._params(params), self._params(noise)
        return torch.cat([self._choices.sample(logits, gumbel).float(), self._real.sample(real, normal)], -1)

    def mode(self, params: Tensor) -> Tensor:
        """Return the modes of both."""
        logits, real = self._params(params)
        return torch.cat([self._choices.mode(logits).float(), self._real.mode(real)], -1)

    def log_prob(self, params: Tensor, actions: Tensor) -> Tensor:
        """Return the sum of both log-probabilities (densities)."""
        (logits, real), (chosen, numbers) = self._params(params), self._actions(actions)
        return self._choices.log_prob(logits, chosen) + self._real.log_prob(real, numbers)

    def entropy(self, params: Tensor) -> Tensor:
        """Return the sum of both entropies."""
        logits, real = self._params(params)
        return self._choices.entropy(logits) + self._real.entropy(real)


def masked(params: Tensor, mask: Tensor) -> Tensor:
    """Return parameters whose first logits are so low where the mask is 0 that these options have probability 0.

    Args:
        params: [*, P] float32.
        mask: [*, M], 1 where an option is allowed; M <= P. Where it is 0 everywhere, all options are as likely.
    """
    count = mask.shape[-1]
    logits = params[..., :count].masked_fill(mask == 0, FORBIDDEN)
    return logits if count == params.shape[-1] else torch.cat([logits, params[..., count:]], -1)


def build_distribution(action: ActionSpec, squash: bool) -> Distribution:
    """Return the distribution for a space: categorical for choices, Gaussian (squashed on request) for real actions."""
    if action.kind == "discrete":
        return Categorical(action.sizes[0])
    if action.kind == "multidiscrete":
        return MultiCategorical(action.sizes)
    real = (TanhGaussian if squash else Gaussian)(len(action.low))
    return Mixed(action.sizes, real) if action.kind == "mixed" else real
