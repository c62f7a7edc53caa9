"""The state of wrappers, which may live longer than an episode: statistics, the lives that are left, frames.

Kept are the attributes of each wrapper that `env.wrappers` names: numbers, texts, arrays, lists, deques and dicts of
these, and the same of objects within them. A wrapper with more to keep has the methods `state()`, which returns a dict
of such values, and `load_state(values)`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np

DEEPEST, MOST_ITEMS = 4, 10_000
SKIPPED = {"env", "spec", "metadata", "observation_space", "action_space", "np_random", "_np_random"}
"""Attributes that every wrapper has, which are no state of its own."""
NOTHING = object()


def wrapper_states(layers: Sequence[gymnasium.Wrapper[Any, Any, Any, Any]]) -> dict[str, Any]:
    """Return the state of each layer by its number, as nested dicts of arrays and plain values."""
    return {str(number): _state(layer) for number, layer in enumerate(layers)}


def load_wrapper_states(layers: Sequence[gymnasium.Wrapper[Any, Any, Any, Any]], states: dict[str, Any]) -> None:
    """Put layers into what `wrapper_states` returned."""
    for number, layer in enumerate(layers):
        state = states.get(str(number), {})
        if _has_own(layer):
            layer.load_state({name: _read(value, NOTHING) for name, value in state.items()})  # type: ignore[attr-defined]
        else:
            _load(layer, state)


def _has_own(layer: Any) -> bool:
    """Return whether a wrapper says itself what its state is."""
    return callable(getattr(layer, "state", None)) and callable(getattr(layer, "load_state", None))


def _state(layer: Any) -> dict[str, Any]:
    values = layer.state() if _has_own(layer) else vars(layer)
    written = {name: _written(value, DEEPEST) for name, value in values.items() if not _skipped(name)}
    return {name: value for name, value in written.items() if value is not None}


def _skipped(name: str) -> bool:
    return name in SKIPPED or name.startswith(("_cached_", "__"))


def _written(value: Any, depth: int) -> dict[str, Any] | None:
    """Return a value as a dict of its kind and content; None where it is no state."""
    if value is None or isinstance(value, bool | int | float | str | np.generic | np.ndarray):
        if isinstance(value, np.ndarray):
            return {"array": value.copy()} if value.dtype.kind in "biuf" else None
        return {"value": value.item() if isinstance(value, np.generic) else value}
    if depth == 0:
        return None
    if isinstance(value, list | tuple | deque) and len(value) <= MOST_ITEMS:
        items = {str(place): _written(item, depth - 1) for place, item in enumerate(value)}
        kind = "deque" if isinstance(value, deque) else "tuple" if isinstance(value, tuple) else "list"
        return None if None in items.values() else {kind: items}
    if isinstance(value, dict) and len(value) <= MOST_ITEMS and all(isinstance(key, str) for key in value):
        items = {key: _written(item, depth - 1) for key, item in value.items()}
        return {"dict": {key: item for key, item in items.items() if item is not None}}
    if isinstance(value, gymnasium.Env | gymnasium.Space | type) or not hasattr(value, "__dict__") or callable(value):
        return None
    inner = {name: _written(item, depth - 1) for name, item in vars(value).items() if not _skipped(name)}
    return {"object": {name: item for name, item in inner.items() if item is not None}}


def _load(holder: Any, state: dict[str, Any]) -> None:
    for name, written in state.items():
        if _skipped(name):  # a checkpoint of a stranger may name anything
            continue
        now = getattr(holder, name, NOTHING)
        if "object" in written:
            if now is not NOTHING:
                _load(now, written["object"])
        else:
            setattr(holder, name, _read(written, now))


def _read(written: dict[str, Any], now: Any) -> Any:
    """Return the value that `_written` wrote; `now` is what stands in its place."""
    (kind, content), *_ = written.items()
    if kind == "value":
        return content
    if kind == "array":
        return content.copy()
    if kind in ("dict", "object"):
        return {key: _read(item, NOTHING) for key, item in content.items()}
    items = [_read(content[str(place)], NOTHING) for place in range(len(content))]
    if kind == "deque":
        return deque(items, maxlen=now.maxlen if isinstance(now, deque) else None)
    return tuple(items) if kind == "tuple" else items
