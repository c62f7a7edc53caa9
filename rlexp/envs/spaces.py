"""How an observation is packed into one flat row."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt

from rlexp.data.spaces import ObservationSpec, SpaceSpec
from rlexp.envs.actions import action_spec
from rlexp.envs.masks import MASK, without_mask
from rlexp.envs.reading import Part, Reading, read
from rlexp.errors import Fault

Array = npt.NDArray[Any]
DEFAULT = Reading()


class Packer:
    """Packs batches of observations of one space into rows, [N, D] float32 or uint8 (see `ObservationSpec`)."""

    def __init__(self, space: gymnasium.Space[Any], reading: Reading = DEFAULT) -> None:
        space, self.mask = without_mask(space, reading)
        parts = read(space, reading)
        images = [(part, part.image) for part in parts if part.image is not None]
        self.numbers = [part for part in parts if part.image is None and not part.sizes]
        self.choices = [part for part in parts if part.sizes]
        self.real_images = [part for part, image in images if image.levels == 0]
        self.byte_images = [part for part, image in images if image.levels > 0]
        self.spec = ObservationSpec(
            vector_size=sum(int(np.prod(part.shape)) for part in self.numbers),
            discrete=tuple(size for part in self.choices for size in part.sizes),
            images=tuple(image for _, image in sorted(images, key=lambda pair: pair[1].levels > 0)),
            number_parts=tuple((part.name, int(np.prod(part.shape))) for part in self.numbers),
            choice_parts=tuple((part.name, len(part.sizes)) for part in self.choices),
            description="; ".join(f"{part.name}: {part.words}" if part.path else part.words for part in parts),
            mask=self.mask,
        )
        self.dtype = np.dtype(np.uint8 if images else np.float32)
        self._floats = self.spec.floats
        # Most observations: one box of floats.
        self._plain = (
            not self.mask and len(self.numbers) == len(parts) == 1 and not parts[0].path and parts[0].scale is None
        )

    def pack(self, observations: Any, out: Array) -> None:
        """Write a batch of N observations, as a vector environment returns it, into `out`, [N, D].

        Raises:
            Fault: a choice or a symbol is none of its space.
        """
        if self._plain:
            np.copyto(out, observations.reshape(out.shape), casting="unsafe")
            return
        real = out[:, : 4 * self._floats].view(np.float32) if self.dtype == np.uint8 else out
        start = 0
        for part in self.numbers:
            start = _write_numbers(part, _found(observations, part), real, start)
        for part in self.choices:
            start = _write_choices(part, _found(observations, part), real, start)
        for part in self.real_images:
            start = _write_numbers(part, _channels_first(part, _found(observations, part)), real, start)
        if self.mask:
            real[:, start:] = observations[MASK].reshape(len(out), -1)[:, -self.mask :]
        start = 4 * self._floats
        for part in self.byte_images:
            start = _write_bytes(part, _found(observations, part), out, start)
        if start < out.shape[1] and self.dtype == np.uint8:  # the room up to a multiple of four bytes
            out[:, start:] = 0

    def pack_one(self, observation: Any) -> Array:
        """Return the row, [D], of a single observation."""
        row = np.zeros((1, self.spec.row_size), self.dtype)
        self.pack(_batch_of_one(observation), row)
        packed: Array = row[0]
        return packed


def _batch_of_one(observation: Any) -> Any:
    """Return an observation as a vector environment of one would."""
    if isinstance(observation, dict):
        return {name: _batch_of_one(value) for name, value in observation.items()}
    if isinstance(observation, tuple):
        return tuple(map(_batch_of_one, observation))
    return np.asarray(observation)[None]


def _found(observations: Any, part: Part) -> Any:
    """Return the array of a part, [N, *shape]."""
    for key in part.path:
        observations = observations[key]
    return observations


def _channels_first(part: Part, values: Array) -> Array:
    """Return images [N, *shape] with channels before height and width."""
    return np.moveaxis(values, -1, -3) if part.channels_last else values


def _write_numbers(part: Part, values: Array, real: Array, start: int) -> int:
    flat = values.reshape(real.shape[0], -1)
    room = real[:, start : start + flat.shape[1]]
    np.copyto(room, flat, casting="unsafe")
    if part.scale is not None:
        np.subtract(room, part.low, out=room)
        np.multiply(room, part.scale, out=room)
    return start + flat.shape[1]


def _write_choices(part: Part, values: Array, real: Array, start: int) -> int:
    stop = start + len(part.sizes)
    room = real[:, start:stop]
    room[:] = (values - part.low).reshape(room.shape)
    # Two reductions: for one choice they cost half of what comparing each value does.
    if room.min() < 0 or (room.max() >= part.sizes[0] if stop == start + 1 else (room >= part.sizes).any()):
        raise _foreign(part, values)
    return stop


def _write_bytes(part: Part, values: Array, out: Array, start: int) -> int:
    assert part.image is not None
    shifted = values if part.low is None else values - part.low  # which may wrap round, as the bytes do
    flat = _channels_first(part, shifted).reshape(out.shape[0], -1)
    room = out[:, start : start + flat.shape[1]]
    np.copyto(room, flat, casting="unsafe")
    if part.image.embedded and part.image.levels < 256 and room.max() >= part.image.levels:
        raise _foreign(part, values)
    return start + flat.shape[1]


def _foreign(part: Part, values: Array) -> Fault:
    return Fault(
        f"observation {part.name} holds {values.min()} to {values.max()}, but its space says: {part.words}; "
        "mend the environment"
    )


def space_spec(
    observation_space: gymnasium.Space[Any],
    action_space: gymnasium.Space[Any],
    reading: Reading = DEFAULT,
    note: str | None = None,
) -> SpaceSpec:
    """Return the spaces as networks and buffers need them, with a note on what was left out of observations before.

    Raises:
        ConfigError: a space is of a kind that is not supported.
    """
    observation = replace(Packer(observation_space, reading).spec, note=note)
    return SpaceSpec(observation, action_spec(action_space))
