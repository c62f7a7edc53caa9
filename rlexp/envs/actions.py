"""Which action spaces are supported, and how sampled actions become actions of the environment."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt

from rlexp.data.spaces import ActionSpec, SpaceSpec
from rlexp.errors import ConfigError

Array = npt.NDArray[Any]
MOST_OPTIONS = 1_024
"""Options of one choice up to which an integer box counts as a set of choices."""
SUPPORTED = "Discrete, MultiDiscrete, MultiBinary and Box"


def action_spec(space: gymnasium.Space[Any]) -> ActionSpec:
    """Return what an action of `space` is; whole numbers of a small range are choices.

    Raises:
        ConfigError: the space is of a kind that is not supported.
    """
    if isinstance(space, gymnasium.spaces.Discrete):
        return ActionSpec("discrete", (int(space.n),), (), (int(space.start),), (), (), space.dtype.name)
    if space.shape is not None and 0 in space.shape:
        raise ConfigError(f"the action space is {_shown(space)}, which leaves nothing to choose")
    if isinstance(space, gymnasium.spaces.MultiDiscrete):
        return _choices(space, space.nvec, space.start)
    if isinstance(space, gymnasium.spaces.MultiBinary):
        return _choices(space, np.full(space.shape, 2), np.zeros(space.shape, np.int64))
    if not isinstance(space, gymnasium.spaces.Box):
        raise ConfigError(_unsupported(space))
    if np.issubdtype(space.dtype, np.floating):
        low, high = _bounds_within(space)
        return ActionSpec("box", (), tuple(space.shape), (), low, high, space.dtype.name)
    options = space.high.astype(object) - space.low.astype(object) + 1  # of Python's own integers: none overflows
    if max(options.flat) > MOST_OPTIONS:
        raise ConfigError(
            f"the action space is {_shown(space)}: whole numbers of more than {MOST_OPTIONS:,} values; declare a Box "
            "of floats and round it in the environment, or wrap it in gymnasium.wrappers.TransformAction"
        )
    return _choices(space, options, space.low)


def _choices(space: gymnasium.Space[Any], sizes: Array, start: Array) -> ActionSpec:
    flat, first = tuple(int(size) for size in sizes.flat), tuple(int(value) for value in start.flat)
    assert space.shape is not None and space.dtype is not None
    return ActionSpec("multidiscrete", flat, tuple(space.shape), first, (), (), space.dtype.name)


def _bounds_within(space: gymnasium.spaces.Box) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the bounds, flat, as Python's floats; where those cannot hold one, the next that lies within."""
    low, high = space.low.astype(np.float64), space.high.astype(np.float64)
    low = np.where(low < space.low, np.nextafter(low, np.inf), low)
    high = np.where(high > space.high, np.nextafter(high, -np.inf), high)
    return tuple(low.reshape(-1).tolist()), tuple(high.reshape(-1).tolist())


def _shown(space: gymnasium.Space[Any]) -> str:
    """Return a space on one short line."""
    text = " ".join(str(space).split())
    return text if len(text) <= 160 else f"{text[:157]}..."


def _unsupported(space: gymnasium.Space[Any]) -> str:
    return (
        f"the action space is {_shown(space)}, which is not supported; supported: {SUPPORTED}; "
        "gymnasium.wrappers.TransformAction makes an action of yours from one of these"
    )


@lru_cache(maxsize=16)
def _bounds(action: ActionSpec, dtype: str) -> tuple[Array, Array]:
    return np.asarray(action.low, dtype), np.asarray(action.high, dtype)


def environment_actions(actions: Array, spec: SpaceSpec, squash: bool) -> Array:
    """Return sampled actions in the environment's own terms: within bounds, shaped and typed as it expects.

    Args:
        actions: as sampled, [N] or [N, A].
        spec: the spaces.
        squash: tanh squashing into the bounds instead of clipping.
    """
    action = spec.action
    if action.kind != "box":
        return _chosen(actions, action)
    dtype = action.dtype or "float32"
    low, high = _bounds(action, dtype)
    with np.errstate(over="ignore"):  # a half that overflows is infinite, and clipped
        if squash:
            # In single precision at least: half the difference of half precision's bounds would be rounded.
            wide_low, wide_high = _bounds(action, "float32" if dtype == "float16" else dtype)
            actions = wide_low + (np.tanh(actions) + 1) * (0.5 * wide_high - 0.5 * wide_low)
        # In the space's own type, and squashed actions too: rounding may carry them past a bound.
        bounded = actions.astype(dtype, copy=False).clip(low, high)
    shaped: Array = bounded.reshape(-1, *action.shape)
    return shaped


def _chosen(actions: Array, action: ActionSpec) -> Array:
    """Return choices, [N] or [N, A] from 0 on, as the space numbers, shapes and types them."""
    chosen = actions + np.asarray(action.start) if any(action.start) else actions
    if action.dtype not in ("", "int64"):
        chosen = chosen.astype(action.dtype)
    return chosen if len(action.shape) < 2 else chosen.reshape(-1, *action.shape)
