"""An actor with everything that players do around it, as one network of named inputs and outputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from rlexp.data.spaces import ActionSpec
from rlexp.models.actor import Actor
from rlexp.models.mixed import masked

KINDS = ("number", "choice", "real image", "mask", "image")


@dataclass(frozen=True)
class Input:
    """One array of an observation, as the environment gives it.

    Attributes:
        name: of the input.
        kind: one of KINDS, in whose order a row holds them.
        shape: without the batch.
        dtype: numpy's name.
        low: what is subtracted from its elements; None: nothing.
        scale: what they are multiplied by then; None: nothing.
        channels_last: whether its last axis holds channels.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    dtype: str
    low: Any = None
    scale: Any = None
    channels_last: bool = False


@dataclass(frozen=True)
class Output:
    """One array of an action, as the environment takes it.

    Attributes:
        name: of the output.
        path: keys and indices that lead to it.
        spec: what it is.
    """

    name: str
    path: tuple[str | int, ...]
    spec: ActionSpec


def outputs_of(action: ActionSpec, path: tuple[str | int, ...] = ()) -> Iterator[Output]:
    """Yield the arrays of an action, in order."""
    if not action.container:
        yield Output(".".join(map(str, ("action", *path))), path, action)
    for key, part in action.parts:
        yield from outputs_of(part, (*path, key))


class Deployed(nn.Module):
    """The greedy actor, from raw observations to actions within their bounds.

    Args:
        actor: on the CPU.
        action: the action space.
        inputs: what an observation is made of.
    """

    def __init__(self, actor: Actor, action: ActionSpec, inputs: Sequence[Input]) -> None:
        super().__init__()
        self.actor, self.action, self.inputs = actor, action, tuple(inputs)

    def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
        """Return the arrays of B actions, of the arrays of B observations, each in the order of its names.

        Of recurrent networks the state, [B, S] float32, comes last in both.
        """
        *given, state = given if self.actor.state_size else (*given, given[0])  # type: ignore[assignment]
        found = dict(zip(self.inputs, given, strict=True))
        real = [self._flat(each, values) for each, values in self._sorted(found) if each.kind != "image"]
        stored = [self._flat(each, values) for each, values in self._sorted(found) if each.kind == "image"]
        floats = torch.cat(real, -1) if real else given[0].new_zeros((given[0].shape[0], 0), dtype=torch.float32)
        actor, preprocessor = self.actor, self.actor.preprocessor
        vector, images = preprocessor.assembled(floats, torch.cat(stored, -1) if stored else floats)
        seen = preprocessor.for_actor(vector, images)
        memory = actor.torso.memory
        if memory is not None:
            state = memory.step(memory.inputs(actor.torso.encoded(*seen)).float(), state)
        features = actor.torso(*seen) if memory is None else actor.torso.connected(memory.output(state))
        params = actor.parameters_of(features).float()
        if actor.mask:
            params = masked(params, floats[:, -actor.mask :])
        taken = self._actions(actor.distribution.mode(params))
        return taken if memory is None else (*taken, state)

    @staticmethod
    def _sorted(found: dict[Input, Tensor]) -> list[tuple[Input, Tensor]]:
        return sorted(found.items(), key=lambda pair: KINDS.index(pair[0].kind))

    @staticmethod
    def _flat(each: Input, values: Tensor) -> Tensor:
        """Return an array as columns of a row, [B, K] float32, or uint8 of an image of bytes."""
        if each.channels_last:
            values = values.movedim(-1, -3)
        if each.kind == "image":
            shifted = values if each.low is None else values.int() - torch.as_tensor(each.low).int()
            return shifted.to(torch.uint8).flatten(1)
        values = values.flatten(1) if values.dim() > 1 else values[:, None]
        if each.kind == "choice":
            return (values.long() - torch.as_tensor(each.low).long()).float()
        values = values.float()
        return values if each.scale is None else (values - torch.as_tensor(each.low)) * torch.as_tensor(each.scale)

    def _actions(self, sampled: Tensor) -> tuple[Tensor, ...]:
        """Return sampled actions, [B] or [B, A], as the environment takes them."""
        rows = sampled if sampled.dim() > 1 else sampled[:, None]
        taken, choice, real = [], 0, len(self.action.sizes)
        for output in outputs_of(self.action):
            spec = output.spec
            dtype = getattr(torch, spec.dtype or "int64")
            if spec.sizes:
                part = rows[:, choice : choice + len(spec.sizes)].long() + torch.tensor(spec.start)
                choice += len(spec.sizes)
            else:
                part = self._bounded(rows[:, real : real + len(spec.low)], spec)
                real += len(spec.low)
            taken.append(part.reshape(-1, *spec.shape).to(dtype))
        return tuple(taken)

    def _bounded(self, values: Tensor, spec: ActionSpec) -> Tensor:
        low, high = torch.tensor(spec.low), torch.tensor(spec.high)
        if self.actor.bounds != "clip":
            values = values.tanh() if self.actor.bounds == "tanh" else values
            values = low + (values + 1) * (0.5 * high - 0.5 * low)
        return values.clamp(low, high)
