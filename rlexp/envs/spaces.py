"""Which spaces are supported, and how an observation is packed into one flat row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt

from rlexp.settings import ConfigError
from rlexp.types import ActionSpec, ImageSpec, ObservationSpec, SpaceSpec

Array = npt.NDArray[Any]
SUPPORTED = "Box, Discrete, and Dict of these as observations; Discrete, MultiDiscrete and Box as actions"


def is_image(space: gymnasium.Space[Any]) -> bool:
    """Return whether the space is a uint8 image: two axes, three with channels, or four when frames are stacked."""
    return isinstance(space, gymnasium.spaces.Box) and space.dtype == np.uint8 and len(space.shape) in (2, 3, 4)


def _channels_last(shape: tuple[int, ...]) -> bool:
    return shape[-1] < min(shape[-3:-1])


def _image_spec(name: str, shape: tuple[int, ...]) -> ImageSpec:
    if len(shape) == 2:
        return ImageSpec(name, 1, *shape)
    if _channels_last(shape):
        height, width, channels = shape[-3:]
    else:
        channels, height, width = shape[-3:]
    return ImageSpec(name, channels * (shape[0] if len(shape) == 4 else 1), height, width)


def _to_channels_first(values: Array, shape: tuple[int, ...]) -> Array:
    """Return images [N, *shape] with channels before height and width."""
    if len(shape) >= 3 and _channels_last(shape):
        return np.moveaxis(values, -1, -3)
    return values


def _unsupported(where: str, space: gymnasium.Space[Any]) -> str:
    """Return one line, whatever the lines that a space prints itself on."""
    return f"{where} is {' '.join(str(space).split())}, which is not supported; supported: {SUPPORTED}"


def parts(space: gymnasium.Space[Any]) -> dict[str, gymnasium.Space[Any]]:
    """Return the parts of an observation space by name; a space that is no Dict is one part named 'obs'.

    Raises:
        ConfigError: a part is of a kind that is not supported.
    """
    named = dict(space.spaces) if isinstance(space, gymnasium.spaces.Dict) else {"obs": space}
    for name, part in named.items():
        if not isinstance(part, gymnasium.spaces.Box | gymnasium.spaces.Discrete):
            where = (
                f"part {name!r} of the observation space"
                if isinstance(space, gymnasium.spaces.Dict)
                else ("the observation space")
            )
            raise ConfigError(_unsupported(where, part))
    return named


class Packer:
    """Packs batches of observations of one space into rows, [N, D] float32 or uint8 (see `ObservationSpec`)."""

    def __init__(self, space: gymnasium.Space[Any]) -> None:
        named = parts(space)
        self._is_dict = isinstance(space, gymnasium.spaces.Dict)
        self._vectors = [n for n, s in named.items() if isinstance(s, gymnasium.spaces.Box) and not is_image(s)]
        self._discrete = [n for n, s in named.items() if isinstance(s, gymnasium.spaces.Discrete)]
        self._images = [n for n, s in named.items() if is_image(s)]
        self._shapes = {name: tuple(part.shape or ()) for name, part in named.items()}
        self._starts = {n: int(s.start) for n, s in named.items() if isinstance(s, gymnasium.spaces.Discrete)}
        self.spec = ObservationSpec(
            vector_size=sum(int(np.prod(self._shapes[name])) for name in self._vectors),
            discrete=tuple(int(named[name].n) for name in self._discrete),  # type: ignore[attr-defined]
            images=tuple(_image_spec(name, self._shapes[name]) for name in self._images),
        )
        self.dtype = np.dtype(np.uint8 if self._images else np.float32)
        self._plain = not self._is_dict and bool(self._vectors)

    def pack(self, observations: Any, out: Array) -> None:
        """Write a batch of N observations, as a vector environment returns it, into `out`, [N, D]."""
        if self._plain:
            np.copyto(out, observations.reshape(out.shape), casting="unsafe")
            return
        values: Mapping[str, Array] = observations if self._is_dict else {"obs": observations}
        count, floats = out.shape[0], self.spec.floats
        real = out[:, : 4 * floats].view(np.float32) if self._images else out
        start = 0
        for name in self._vectors:
            flat = values[name].reshape(count, -1)
            real[:, start : start + flat.shape[1]] = flat
            start += flat.shape[1]
        for name in self._discrete:
            real[:, start] = values[name] - self._starts[name]
            start += 1
        start = 4 * floats
        for name in self._images:
            flat = _to_channels_first(values[name], self._shapes[name]).reshape(count, -1)
            out[:, start : start + flat.shape[1]] = flat
            start += flat.shape[1]

    def pack_one(self, observation: Any) -> Array:
        """Return the row, [D], of a single observation."""
        row = np.zeros((1, self.spec.row_size), self.dtype)
        if self._is_dict:
            self.pack({name: np.asarray(value)[None] for name, value in observation.items()}, row)
        else:
            self.pack(np.asarray(observation)[None], row)
        packed: Array = row[0]
        return packed


def action_spec(space: gymnasium.Space[Any]) -> ActionSpec:
    """Return what an action of `space` is.

    Raises:
        ConfigError: the space is of a kind that is not supported.
    """
    if isinstance(space, gymnasium.spaces.Discrete):
        return ActionSpec("discrete", (int(space.n),), (), (int(space.start),), (), ())
    if isinstance(space, gymnasium.spaces.MultiDiscrete) and space.nvec.ndim == 1:
        sizes, start = tuple(map(int, space.nvec)), tuple(map(int, space.start))
        return ActionSpec("multidiscrete", sizes, tuple(space.nvec.shape), start, (), ())
    if isinstance(space, gymnasium.spaces.Box) and np.issubdtype(space.dtype, np.floating):
        low, high = (tuple(map(float, bound.reshape(-1))) for bound in (space.low, space.high))
        return ActionSpec("box", (), tuple(space.shape), (), low, high)
    raise ConfigError(_unsupported("the action space", space))


def space_spec(observation_space: gymnasium.Space[Any], action_space: gymnasium.Space[Any]) -> SpaceSpec:
    """Return the spaces as networks and buffers need them.

    Raises:
        ConfigError: a space is of a kind that is not supported.
    """
    return SpaceSpec(Packer(observation_space).spec, action_spec(action_space))
