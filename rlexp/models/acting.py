"""Acting on few observations: from rows to sampled actions at the least cost a call."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from rlexp.models.encoders import tanh

if TYPE_CHECKING:
    from rlexp.models.actor_critic import ActorCritic

Array = np.ndarray[Any, Any]
Sampler = Callable[[int, Array], Array]

NUMPY_ACTIVATIONS: dict[Any, Callable[[Array], Any]] = {
    tanh: lambda x: np.tanh(x, out=x),
    torch.relu: lambda x: np.maximum(x, 0.0, out=x),
}
"""In place; a network of other activations acts in torch."""
NUMPY_WORK = 2**18
"""Multiplications of the largest layer up to which numpy is faster than torch (by three times for 4 rows of 64 units);
more would also be spread over threads, out of torch's control."""


def sampler(
    policy: ActorCritic, noise: Tensor, autocast: Callable[[], AbstractContextManager[None]] = nullcontext
) -> Sampler:
    """Return a function of a step and the observations in it, [N, D], to sampled actions, [N] or [N, A].

    It acts by the weights of this moment, and goes stale when they change.

    Args:
        policy: the policy.
        noise: of every step, on the device of the policy, [T, N, K].
        autocast: the precision that the networks act in; it does not reach the environments.
    """
    with autocast():
        mixed = torch.is_autocast_enabled(noise.device.type)
    if not mixed and _in_numpy(policy, noise):
        return _numpy_sampler(policy, noise.numpy())
    act, steps, device = policy.actor(), noise.unbind(0), noise.device

    def sample(step: int, rows: Array) -> Array:
        params = act(torch.from_numpy(rows).to(device)).float()  # as log_prob takes them
        actions: Array = policy.distribution.sample(params, steps[step]).cpu().numpy()
        return actions

    def sample_mixed(step: int, rows: Array) -> Array:
        with autocast():
            return sample(step, rows)

    return sample_mixed if mixed else sample  # a context that does nothing is not free


def _in_numpy(policy: ActorCritic, noise: Tensor) -> bool:
    torso = policy.actor_torso
    weights = [policy.actor_head.weight, *(layer.weight for layer in torso.linears())]
    work = noise.shape[1] * max(weight.numel() for weight in weights)
    plain = not torso.convolutions and all(weight.dtype == torch.float32 for weight in weights)
    return plain and noise.device.type == "cpu" and torso.activation in NUMPY_ACTIVATIONS and work <= NUMPY_WORK


def _numpy_sampler(policy: ActorCritic, noise: Array) -> Sampler:
    count, preprocessor = noise.shape[1], policy.preprocessor
    preprocess = None if preprocessor.identity else preprocessor
    activation = NUMPY_ACTIVATIONS[policy.actor_torso.activation]

    def with_room(weight: Tensor, bias: Tensor) -> tuple[Array, Array, Array]:
        return weight.numpy(), bias.numpy(), np.empty((count, weight.shape[1]), np.float32)

    *hidden, head = (with_room(weight, bias) for weight, bias in policy.actor_layers())
    free = None if policy.log_std is None else policy.log_std.detach().expand(count, -1).numpy()
    sample_array, dot, add = policy.distribution.sample_array, np.dot, np.add

    def sample(step: int, rows: Array) -> Array:
        features = rows if preprocess is None else preprocess(torch.from_numpy(rows))[0].numpy()
        for weight, bias, out in hidden:
            add(dot(features, weight, out), bias, out)
            activation(out)
            features = out
        weight, bias, out = head
        add(dot(features, weight, out), bias, out)
        params = out if free is None else np.concatenate([out, free], -1)
        return sample_array(params, noise[step])

    return sample
