"""Observations of a space, drawn at random and gathered into a batch."""

from __future__ import annotations

from typing import Any

import gymnasium
from gymnasium.vector.utils import concatenate, create_empty_array


def sampled(space: gymnasium.Space[Any], count: int, seed: int = 0) -> list[Any]:
    """Return random values of a space; the same each time."""
    space.seed(seed)
    return [space.sample() for _ in range(count)]


def batch_of(space: gymnasium.Space[Any], values: list[Any]) -> Any:
    """Return values of a space as a batch: the same with a first axis more in each array."""
    return concatenate(space, values, create_empty_array(space, len(values)))  # type: ignore[arg-type]  # never None
