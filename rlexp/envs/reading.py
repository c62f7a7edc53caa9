"""What each part of an observation is: numbers, choices, an image of pixels or a grid of symbols.

This follows from the space alone, from how many frames are stacked and from two keys, never from observations, so that
a checkpoint rebuilds the same network.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from rlexp.config.environment import EnvConfig
from rlexp.data.spaces import ImageSpec
from rlexp.errors import ConfigError

Array = npt.NDArray[Any]
Space = gymnasium.Space[Any]
Path = tuple[str | int, ...]

PIXELS_FROM = 28
"""Sides from which whole numbers of many levels are pixels. MiniGrid declares its symbols as 0 to 255, on grids of up
to 25 x 25; its pictures begin at 56 x 56."""
FEW_LEVELS = 32
"""Levels up to which whole numbers are symbols, however large the grid: a picture has more."""
BYTE_LEVELS, MOST_LEVELS = 256, 65_536
"""Levels of a byte, and those beyond which bounds are those of a type and say nothing of the values."""
LONGEST_RATIO = 8
"""Of two sides, from which an array of many levels is a stack of vectors: four frames of 128 bytes are no picture."""
SUPPORTED = "Box, Discrete, MultiDiscrete, MultiBinary, and Dict and Tuple of these"
ADVICE = {
    "Sequence": "its length varies; gymnasium.wrappers.TransformObservation can pad it to a Box",
    "Graph": "its size varies; gymnasium.wrappers.TransformObservation can make a Box of it",
    "OneOf": "gymnasium.wrappers.FlattenObservation makes a Box of it",
}
"""What helps where no network here reads a space."""
OTHER_ADVICE = "gymnasium.wrappers.TransformObservation can make a Box of it"


@dataclass(frozen=True)
class Reading:
    """How arrays are read.

    Attributes:
        images: 'pixels' or 'symbols' for arrays of two or more axes; 'auto': by bounds and size.
        channels: 'first' or 'last' for the axis of their channels; 'auto': by the lengths of the axes.
        frames: observations stacked along a first axis, which is there where there is more than one.
        masks: whether the part `action_mask` of a Dict says which actions are allowed.
    """

    images: str = "auto"
    channels: str = "auto"
    frames: int = 1
    masks: bool = False


def reading_of(config: EnvConfig, mask: int = 0) -> Reading:
    """Return how the settings have arrays read, of observations with a mask so long."""
    return Reading(config.images, config.channels, config.frame_stack, mask > 0)


@dataclass(frozen=True, eq=False)
class Part:
    """One array of an observation: numbers, unless it has `sizes` (choices) or an `image`.

    Attributes:
        path: keys and indices that lead to it.
        name: these as one word.
        shape: of the array.
        words: what it is.
        low: what is subtracted from its elements, in the type of the array or one float32 each; None: nothing.
        scale: what real numbers are multiplied by then, one float32 or one each; None: nothing.
        sizes: number of options of each choice.
        image: how an image or a grid is stored.
        channels_last: whether its last axis holds channels.
    """

    path: Path
    name: str
    shape: tuple[int, ...]
    words: str
    low: Any = None
    scale: Any = None
    sizes: tuple[int, ...] = ()
    image: ImageSpec | None = None
    channels_last: bool = False


def read(space: Space, reading: Reading) -> list[Part]:
    """Return what each part of an observation space is; texts beside other parts, and empty arrays, are left out.

    Raises:
        ConfigError: a part is of a kind that is not supported, or nothing is left.
    """
    found = list(leaves(space))
    kept = [(path, part) for path, part in found if part.shape is None or 0 not in part.shape]
    if len(found) > 1:
        kept = [(path, part) for path, part in kept if not is_text(part)]
    if not kept:
        raise ConfigError(f"the observation space is {shown(space)}, which holds no numbers; supported: {SUPPORTED}")
    return [_part(path, part, reading) for path, part in kept]


def leaves(space: Space, path: Path = ()) -> Iterator[tuple[Path, Space]]:
    """Yield the parts of nested Dicts and Tuples, in order, with the keys and indices that lead to them."""
    if isinstance(space, spaces.Dict | spaces.Tuple):
        pairs = space.spaces.items() if isinstance(space, spaces.Dict) else enumerate(space.spaces)
        for key, part in pairs:
            yield from leaves(part, (*path, key))
    else:
        yield path, space


def is_text(space: Space) -> bool:
    """Return whether values are words: of gymnasium's Text, or of a space of somebody's own (MiniGrid's missions)."""
    return isinstance(space, spaces.Text) or (space.dtype is not None and space.dtype.kind == "U")


def shown(space: Space) -> str:
    """Return a space on one short line, whatever the lines that it prints itself on."""
    text = " ".join(str(space).split())
    return text if len(text) <= 160 else f"{text[:157]}..."


def _part(path: Path, space: Space, reading: Reading) -> Part:
    name = ".".join(map(str, path)) or "obs"
    if isinstance(space, spaces.Discrete):
        return Part(path, name, (), f"choice of {space.n}", int(space.start), sizes=(int(space.n),))
    if isinstance(space, spaces.MultiDiscrete):
        sizes, low = tuple(int(size) for size in space.nvec.flat), space.start
        if _sides(space.shape, reading) is not None and max(sizes) <= BYTE_LEVELS:
            return _image(path, name, space.shape, low, max(sizes), True, reading)
        return Part(path, name, space.shape, _of_choices(sizes), low.reshape(-1), sizes=sizes)
    if isinstance(space, spaces.MultiBinary):
        if _sides(space.shape, reading) is not None:
            return _image(path, name, space.shape, None, 2, True, reading)
        return Part(path, name, space.shape, f"vector of {math.prod(space.shape)}")
    if isinstance(space, spaces.Box):
        return _box(path, name, space, reading)
    where = f"part {name!r} of the observation space" if path else "the observation space"
    advice = ADVICE.get(type(space).__name__, OTHER_ADVICE)
    raise ConfigError(f"{where} is {shown(space)}, which is not supported; {advice}; supported: {SUPPORTED}")


def _of_choices(sizes: tuple[int, ...]) -> str:
    if len(set(sizes)) == 1:
        return f"{len(sizes)} choices of {sizes[0]}"
    return f"{len(sizes)} choices of {min(sizes)} to {max(sizes)}"


# Arrays


def _box(path: Path, name: str, space: spaces.Box, reading: Reading) -> Part:
    low, high = space.low.min(), space.high.max()
    real = space.dtype.kind == "f"
    levels = 0 if real else int(high) - int(low) + 1
    kind = _kind(real, float(low), float(high), _sides(space.shape, reading), reading)
    if kind == "vector":
        return _vector(path, name, space)
    if real or levels > BYTE_LEVELS:
        spread = float(high) - float(low)
        scale = np.float32(1 / spread if spread > 0 else 1)
        part = _image(path, name, space.shape, None, 0, False, reading)
        return replace(part, low=np.float32(low), scale=scale)
    return _image(path, name, space.shape, low if low else None, levels, kind == "symbols", reading)


def _kind(real: bool, low: float, high: float, sides: tuple[int, int] | None, reading: Reading) -> str:
    """Return what an array is: 'vector', 'pixels' or 'symbols'.

    Args:
        real: whether its elements are floats.
        low: the lowest bound.
        high: the highest bound.
        sides: of its frames; None: it has no two sides.
        reading: what the settings say.
    """
    levels = high - low + 1
    if sides is None or not levels <= MOST_LEVELS:  # not (inf - inf), either
        return "vector"
    if reading.images == "pixels":
        return "pixels"
    if not real and levels <= (BYTE_LEVELS if reading.images == "symbols" else FEW_LEVELS):
        return "symbols"
    if max(sides) >= LONGEST_RATIO * min(sides):
        return "vector"
    if min(sides) >= PIXELS_FROM:
        return "pixels"
    return "vector" if real or levels > BYTE_LEVELS else "symbols"


def _vector(path: Path, name: str, space: spaces.Box) -> Part:
    """Return an array as numbers. Whole numbers beyond 1 are scaled to 0 to 1, where their bounds say how."""
    words = f"vector of {math.prod(space.shape)}"
    if space.dtype.kind == "f":
        return Part(path, name, space.shape, words)
    low, high = space.low.astype(np.float64).reshape(-1), space.high.astype(np.float64).reshape(-1)
    scaled = (high - low < MOST_LEVELS) & (high > low) & (np.maximum(np.abs(low), np.abs(high)) > 1)
    if not scaled.any():
        return Part(path, name, space.shape, words)
    bounds = f"{int(low.min())} to {int(high.max())}" if scaled.all() else "whole numbers"
    scale = 1 / np.where(scaled, high - low, 1)
    low = np.where(scaled, low, 0)
    return Part(path, name, space.shape, f"{words}, {bounds} scaled to 0 to 1", np.float32(low), np.float32(scale))


def _image(
    path: Path, name: str, shape: tuple[int, ...], low: Any, levels: int, symbols: bool, reading: Reading
) -> Part:
    """Return an array of bytes, `levels` of them (0: of real numbers), as an image or a grid."""
    sides = _sides(shape, reading)
    assert sides is not None
    height, width = sides
    image = ImageSpec(name, math.prod(shape) // (height * width), height, width, levels, symbols)
    size = f"{height}x{width}x{image.channels}"
    words = f"image {size}, pixels"
    if symbols:
        first = 0 if low is None else int(np.min(low))
        hint = " (env.images=pixels reads pixels)" if image.embedded and reading.images == "auto" else ""
        words = f"grid {size}, symbols {first} to {first + levels - 1}{hint}"
    return Part(path, name, shape, words, low, image=image, channels_last=_channels_last(shape, reading))


def _sides(shape: tuple[int, ...], reading: Reading) -> tuple[int, int] | None:
    """Return height and width of the frames of an array; None where they are vectors."""
    axes = shape[1:] if reading.frames > 1 else shape
    if len(axes) < 2:
        return None
    height, width = shape[-3:-1] if _channels_last(shape, reading) else shape[-2:]
    return None if min(height, width) == 1 else (height, width)


def _channels_last(shape: tuple[int, ...], reading: Reading) -> bool:
    """Return whether the last axis holds channels: where the two before it are equal, or it is the shortest."""
    axes = shape[1:] if reading.frames > 1 else shape
    if len(axes) < 3:
        return False
    if reading.channels != "auto":
        return reading.channels == "last"
    first, middle, last = shape[-3:]
    if (first == middle) != (middle == last):
        return first == middle
    return last <= first
