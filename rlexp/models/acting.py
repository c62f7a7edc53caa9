"""Acting on few observations: from rows to actions at the least cost a call, for players and evaluations."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rlexp.models.actor import Actor
from rlexp.models.mixed import FORBIDDEN
from rlexp.models.preprocessor import tanh
from rlexp.models.torso import transposed

Array = np.ndarray[Any, Any]

NUMPY_ACTIVATIONS: dict[Any, Callable[[Array], Any]] = {
    tanh: lambda x: np.tanh(x, out=x),
    torch.relu: lambda x: np.maximum(x, 0.0, out=x),
}
"""In place; a network of other activations acts in torch."""
WORTH_A_COPY = 8
"""Calls from which it pays to lay the weights out anew for them."""
NUMPY_WORK = 2**18
"""Multiplications of the largest layer up to which numpy is faster than torch (by three times for 4 rows of 64 units);
more would also be spread over threads, out of torch's control."""


def fast_forward(actor: Actor) -> Callable[[Tensor], Tensor]:
    """Return the actor's forward pass for the weights of this moment, to be called many times on few rows.

    Weights of fully connected layers are laid out for small batches once (twice as fast for 4 rows), so the result
    goes stale when the weights change.
    """
    if not actor.plain:
        return actor
    *hidden, (weight, bias) = _layers(actor, WORTH_A_COPY)
    log_std = None if actor.log_std is None else actor.log_std.detach()
    preprocess = None if actor.preprocessor.identity else actor.preprocessor
    activation = actor.torso.activation

    def forward(rows: Tensor) -> Tensor:
        features = rows if preprocess is None else preprocess.for_actor(*preprocess(rows))[0]
        for layer_weight, layer_bias in hidden:
            features = activation(torch.addmm(layer_bias, features, layer_weight))
        outputs = torch.addmm(bias, features, weight)
        if log_std is not None:
            outputs = torch.cat([outputs, log_std.expand(*outputs.shape[:-1], -1)], -1)
        return actor.masked(rows, outputs)

    return forward


class FastActor:
    """The actor with the weights of this moment, on arrays of few rows; it goes stale when the weights change.

    Args:
        actor: on any device; it is not changed.
        count: rows of each call, N.
        autocast: the precision that the networks compute in; it does not reach the environments.
        steps: for how many calls it is made.
    """

    def __init__(
        self,
        actor: Actor,
        count: int,
        autocast: Callable[[], AbstractContextManager[None]] = nullcontext,
        steps: int = WORTH_A_COPY,
    ) -> None:
        self._distribution, self._device = actor.distribution, actor.device
        with autocast():
            self._mixed = torch.is_autocast_enabled(self._device.type)
        self._autocast = autocast
        self._in_numpy = not self._mixed and _fits_numpy(actor, count)
        self._arrays = _numpy_forward(actor, count, steps) if self._in_numpy else None
        self._tensors = None if self._in_numpy else fast_forward(actor)
        self._exploring = self._tensors if actor.plain else actor.exploring
        self._actor = actor
        self.state = torch.zeros((count, actor.state_size), device=self._device)
        """Recurrent states before the next step, [N, S]; S = 0 without any."""

    def sampler(self, noise: Tensor) -> Callable[[int, Array], Array]:
        """Return a function of a step t and its observation rows, [N, D], to sampled actions, [N] or [N, A].

        Args:
            noise: of every step, on the actor's device, [T, N, K].
        """
        distribution, device = self._distribution, self._device
        if self._arrays is not None:
            forward, noise_rows, sample_array = self._arrays, noise.numpy(), distribution.sample_array
            return lambda step, rows: sample_array(forward(rows), noise_rows[step])
        steps = noise.unbind(0)

        def sample(step: int, rows: Array) -> Array:
            actions: Array = distribution.sample(self._params(rows, device, self._exploring), steps[step]).cpu().numpy()
            return actions

        return sample

    def greedy(self, rows: Array) -> Array:
        """Return the most probable actions, [N] or [N, A], for observation rows [N, D]."""
        if self._arrays is not None:
            return self._distribution.mode(torch.from_numpy(self._arrays(rows))).numpy()
        actions: Array = self._distribution.mode(self._params(rows, self._device, self._tensors)).cpu().numpy()
        return actions

    def _params(self, rows: Array, device: torch.device, forward: Callable[[Tensor], Tensor] | None) -> Tensor:
        """Return the distribution's parameters, [N, P] float32, as the log-probability takes them."""
        assert forward is not None
        given = torch.from_numpy(rows).to(device)
        if self.state.shape[1]:
            with self._autocast():
                params, self.state = self._actor.step(given, self.state)
            return params.float()
        if not self._mixed:  # a context that does nothing is not free
            return forward(given).float()
        with self._autocast():
            return forward(given).float()

    def forget(self, ended: Array) -> None:
        """Empty the recurrent states of environments whose episode has ended, [N] bool."""
        if self.state.shape[1] and ended.any():
            self.state = self.state.masked_fill(torch.from_numpy(ended).to(self._device).unsqueeze(-1), 0.0)


def _layers(actor: Actor, steps: int) -> list[tuple[Tensor, Tensor]]:
    """Return weight [in, out] and bias of the fully connected layers, the head last: copies, but for few steps."""
    if steps < WORTH_A_COPY:
        return [(layer.weight.detach().t(), layer.bias.detach()) for layer in _linears(actor)]
    return [transposed(layer) for layer in _linears(actor)]


def _linears(actor: Actor) -> list[nn.Linear]:
    """Return the layers of a plain actor, the head last."""
    assert isinstance(actor.head, nn.Linear)
    return [*actor.torso.linears(), actor.head]


def _fits_numpy(actor: Actor, count: int) -> bool:
    if not actor.plain:
        return False
    weights = [layer.weight for layer in _linears(actor)]
    work = count * max(weight.numel() for weight in weights)
    plain = all(weight.dtype == torch.float32 for weight in weights)
    on_cpu = actor.device.type == "cpu"
    return plain and on_cpu and actor.torso.activation in NUMPY_ACTIVATIONS and work <= NUMPY_WORK


def _numpy_forward(actor: Actor, count: int, steps: int) -> Callable[[Array], Array]:
    """Return the forward pass in numpy: from rows [N, D] to parameters [N, P], which the next call writes over."""
    preprocessor = actor.preprocessor
    preprocess = None if preprocessor.identity else preprocessor
    activation = NUMPY_ACTIVATIONS[actor.torso.activation]

    def with_room(weight: Tensor, bias: Tensor) -> tuple[Array, Array, Array]:
        return weight.numpy(), bias.numpy(), np.empty((count, weight.shape[1]), np.float32)

    *hidden, head = (with_room(weight, bias) for weight, bias in _layers(actor, steps))
    free = None if actor.log_std is None else actor.log_std.detach().expand(count, -1).numpy()
    dot, add, forbidden = np.dot, np.add, actor.mask

    def forward(rows: Array) -> Array:
        features = rows if preprocess is None else preprocess.for_actor(*preprocess(torch.from_numpy(rows)))[0].numpy()
        for weight, bias, out in hidden:
            add(dot(features, weight, out), bias, out)
            activation(out)
            features = out
        weight, bias, out = head
        add(dot(features, weight, out), bias, out)
        if forbidden:
            out[:, :forbidden][rows[:, -forbidden:] == 0] = FORBIDDEN
        return out if free is None else np.concatenate([out, free], -1)

    return forward
