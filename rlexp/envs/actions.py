"""Which action spaces are supported, and how sampled actions become actions of the environment."""

from __future__ import annotations

from collections.abc import Sequence
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
SUPPORTED = "Discrete, MultiDiscrete, MultiBinary, Box, and Dict and Tuple of these"


def action_spec(space: gymnasium.Space[Any]) -> ActionSpec:
    """Return what an action of `space` is; whole numbers of a small range are choices.

    Raises:
        ConfigError: the space is of a kind that is not supported.
    """
    if isinstance(space, gymnasium.spaces.Discrete):
        return ActionSpec("discrete", (int(space.n),), (), (int(space.start),), (), (), space.dtype.name)
    if isinstance(space, gymnasium.spaces.Dict):
        return _nested("dict", dict(space.spaces))
    if isinstance(space, gymnasium.spaces.Tuple):
        return _nested("tuple", dict(enumerate(space.spaces)))
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


def _nested(container: str, spaces: dict[Any, gymnasium.Space[Any]]) -> ActionSpec:
    """Return what an action of several parts is: the choices of all of them, then their real numbers."""
    parts = []
    for key, space in spaces.items():
        try:
            parts.append((key, action_spec(space)))
        except ConfigError as error:
            raise ConfigError(f"part {key!r} of the actions: {error}") from None
    if not parts:
        raise ConfigError(f"the action space is an empty {container}, which leaves nothing to choose")
    sizes = tuple(size for _, part in parts for size in part.sizes)
    low = tuple(value for _, part in parts for value in part.low)
    high = tuple(value for _, part in parts for value in part.high)
    kind = "mixed" if sizes and low else "box" if low else "multidiscrete"
    shape = (len(sizes) + len(low),)
    return ActionSpec(kind, sizes, shape, (0,) * len(sizes), low, high, "", container, tuple(parts))


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


def environment_actions(actions: Array, spec: SpaceSpec, bounds: str) -> Any:
    """Return sampled actions in the environment's own terms: within bounds, shaped and typed as it expects.

    Args:
        actions: as sampled, [N] or [N, A].
        spec: the spaces.
        bounds: how real actions keep their bounds: clip; tanh, which squashes them; scale, which takes [-1, 1] to them.

    Returns:
        Actions [N, *]; where they are a Dict or a Tuple, one of such arrays.
    """
    return _taken(actions, spec.action, bounds)


def nth_action(actions: Any, number: int) -> Any:
    """Return one of the actions that `environment_actions` returned."""
    if isinstance(actions, dict):
        return {key: nth_action(part, number) for key, part in actions.items()}
    if isinstance(actions, tuple):
        return tuple(nth_action(part, number) for part in actions)
    return actions[number]


def stacked(actions: Sequence[Any]) -> Any:
    """Return single actions of an environment as one array [steps, *]; of a Dict or a Tuple as a dict of them."""
    first = actions[0] if actions else None
    if isinstance(first, dict):
        return {str(key): stacked([action[key] for action in actions]) for key in first}
    if isinstance(first, tuple):
        return {str(number): stacked([action[number] for action in actions]) for number in range(len(first))}
    return np.array(actions)


def unstacked(actions: Any, space: gymnasium.Space[Any]) -> list[Any]:
    """Undo `stacked`."""
    if isinstance(actions, dict) and isinstance(space, gymnasium.spaces.Dict):
        parts = {key: unstacked(actions[str(key)], part) for key, part in space.spaces.items()}
        return [dict(zip(parts, each, strict=True)) for each in zip(*parts.values(), strict=True)]
    if isinstance(actions, dict) and isinstance(space, gymnasium.spaces.Tuple):
        return list(zip(*(unstacked(actions[str(i)], part) for i, part in enumerate(space.spaces)), strict=True))
    return list(actions)


def _taken(actions: Array, action: ActionSpec, bounds: str) -> Any:
    if action.container:
        return _split(actions, action, bounds)
    if action.kind != "box":
        return _chosen(actions, action)
    dtype = action.dtype or "float32"
    low, high = _bounds(action, dtype)
    with np.errstate(over="ignore"):  # a half that overflows is infinite, and clipped
        if bounds != "clip":
            # In single precision at least: half the difference of half precision's bounds would be rounded.
            wide_low, wide_high = _bounds(action, "float32" if dtype == "float16" else dtype)
            actions = np.tanh(actions) if bounds == "tanh" else actions
            actions = wide_low + (actions + 1) * (0.5 * wide_high - 0.5 * wide_low)
        # In the space's own type, and squashed actions too: rounding may carry them past a bound.
        bounded = actions.astype(dtype, copy=False).clip(low, high)
    shaped: Array = bounded.reshape(-1, *action.shape)
    return shaped


def _split(actions: Array, action: ActionSpec, bounds: str) -> Any:
    """Return rows [N, A] of choices and then real numbers as the parts of a Dict or a Tuple."""
    taken, choice, real = {}, 0, len(action.sizes)
    for key, part in action.parts:
        choices = actions[:, choice : choice + len(part.sizes)]
        choice, start = choice + len(part.sizes), real
        real += len(part.low)
        rows = actions[:, start:real]
        if part.sizes:
            rows = np.concatenate([choices, rows], 1) if part.low else choices.astype(np.int64)
        taken[key] = _taken(rows[:, 0] if part.kind == "discrete" else rows, part, bounds)
    return taken if action.container == "dict" else tuple(taken.values())


def _chosen(actions: Array, action: ActionSpec) -> Array:
    """Return choices, [N] or [N, A] from 0 on, as the space numbers, shapes and types them."""
    chosen = actions + np.asarray(action.start) if any(action.start) else actions
    if action.dtype not in ("", "int64"):
        chosen = chosen.astype(action.dtype)
    return chosen if len(action.shape) < 2 else chosen.reshape(-1, *action.shape)
