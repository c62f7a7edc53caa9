"""Action masks: which choices an environment allows now, as a part of its observation, so that they go where it goes.

An environment gives them as `info["action_mask"]`, by a method `action_masks()`, or as the part `action_mask` of a Dict
observation. A mask has one element for each option of each choice, 1 where it is allowed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, SupportsFloat

import gymnasium
import numpy as np
from gymnasium import spaces

from rlexp.envs.actions import action_spec
from rlexp.envs.reading import Reading, Space
from rlexp.errors import ConfigError, Fault

MASK = "action_mask"
METHOD = "action_masks"
Env = gymnasium.Env[Any, Any]


class WithActionMask(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Adds the part `action_mask` to the observation, which becomes a Dict if it is none."""

    def __init__(self, env: Env) -> None:
        super().__init__(env)
        self._size = options(env.action_space)
        inner = env.observation_space
        self._dict, self._tuple = isinstance(inner, spaces.Dict), isinstance(inner, spaces.Tuple)
        mask = spaces.MultiBinary(self._size)
        self.observation_space = spaces.Dict({**dict(self._named(inner)), MASK: mask})

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode."""
        observation, info = self.env.reset(seed=seed, options=options)
        return self._with_mask(observation, info), info

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Take an action."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        return self._with_mask(observation, info), reward, terminated, truncated, info

    def _with_mask(self, observation: Any, info: dict[str, Any]) -> dict[str, Any]:
        mask = self.env.get_wrapper_attr(METHOD)() if self.env.has_wrapper_attr(METHOD) else info.get(MASK)
        return {**dict(self._named(observation)), MASK: flat(mask, self._size)}

    def _named(self, whole: Any) -> Iterator[tuple[str, Any]]:
        """Yield the parts of an observation, or of its space, with the names that they have without a mask."""
        if self._dict:
            yield from getattr(whole, "spaces", whole).items()
        elif self._tuple:
            yield from ((str(number), part) for number, part in enumerate(getattr(whole, "spaces", whole)))
        else:
            yield "obs", whole


def with_mask(observation: Any, mask: Any, space: gymnasium.Space[Any]) -> Any:
    """Return an observation with a mask, as `WithActionMask` returns it.

    Args:
        observation: of the environment itself, one or a batch.
        mask: one or a batch; None: everything is allowed.
        space: of observations with a mask.

    Raises:
        ConfigError: the mask is of another size.
    """
    assert isinstance(space, spaces.Dict)
    size = int(space[MASK].shape[0])  # type: ignore[index]  # it has one
    if isinstance(observation, dict):
        parts = {key: value for key, value in observation.items() if key != MASK}
    elif isinstance(observation, tuple):
        parts = {str(number): part for number, part in enumerate(observation)}
    else:
        parts = {"obs": observation}
    first = next(key for key in space.spaces if key != MASK)
    one = np.ndim(parts[first]) == len(space[first].shape or ())
    try:
        if one or mask is None:
            return {**parts, MASK: flat(mask, size) if one else np.ones((len(parts[first]), size), np.int8)}
        return {**parts, MASK: np.stack([flat(each, size) for each in mask])}
    except Fault as error:
        raise ConfigError(str(error)) from None


def without_mask(space: Space, reading: Reading) -> tuple[Space, int]:
    """Return an observation space without its action mask, and the size of that; 0 where there is none."""
    if not reading.masks or not isinstance(space, spaces.Dict) or MASK not in space.spaces:
        return space, 0
    shape = space[MASK].shape or ()
    frames = shape[0] if reading.frames > 1 and len(shape) > 1 else 1  # of stacked masks the last one counts
    left = {key: part for key, part in space.spaces.items() if key != MASK}
    return spaces.Dict(left), math.prod(shape) // frames


def options(space: gymnasium.Space[Any]) -> int:
    """Return the number of elements of a mask of an action space; 0 where there is nothing to choose among."""
    try:
        return sum(action_spec(space).sizes)
    except ConfigError:
        return 0


def flat(mask: Any, size: int) -> np.ndarray[Any, Any]:
    """Return a mask, nested in any way, as one row [size] int8; all ones where there is none.

    Raises:
        Fault: it is of another size.
    """
    if mask is None:
        return np.ones(size, np.int8)
    row = np.concatenate([np.asarray(part).reshape(-1) for part in _parts(mask)]) if _parts(mask) else np.empty(0)
    if row.shape != (size,):
        raise Fault(f"the action mask has {row.size} elements, but the actions have {size} options")
    allowed: np.ndarray[Any, Any] = (row != 0).astype(np.int8)
    return allowed


def _parts(mask: Any) -> list[Any]:
    if isinstance(mask, dict):
        return [part for value in mask.values() for part in _parts(value)]
    return [part for value in mask for part in _parts(value)] if isinstance(mask, tuple | list) else [mask]


def shows_mask(env: Env) -> bool:
    """Return whether an environment's observation has a mask as a part already."""
    space = env.observation_space
    return isinstance(space, spaces.Dict) and MASK in space.spaces and options(env.action_space) > 0


def has_method(env: Env) -> bool:
    """Return whether an environment, or a wrapper of it, has the method `action_masks`."""
    return bool(env.has_wrapper_attr(METHOD)) and options(env.action_space) > 0
