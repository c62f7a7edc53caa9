"""Text beside other parts of an observation is left out: no network here reads it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium
from gymnasium import spaces

from rlexp.envs.reading import Space, is_text, leaves

Env = gymnasium.Env[Any, Any]


class WithoutText(gymnasium.ObservationWrapper[Any, Any, Any]):
    """Leaves texts out of Dict and Tuple observations, so that nothing has to gather, stack or send them.

    Attributes:
        left_out: the names of the parts that are text.
    """

    def __init__(self, env: Env) -> None:
        super().__init__(env)
        self._space = env.observation_space
        self.left_out = [".".join(map(str, path)) for path, part in leaves(self._space) if is_text(part)]
        self.observation_space = _space_without(self._space)

    def observation(self, observation: Any) -> Any:
        """Return an observation without its texts."""
        return _without(self._space, observation)


def without_text(env: Env) -> Env:
    """Return an environment that shows no text, if it shows something else beside it."""
    text = [is_text(part) for _, part in leaves(env.observation_space)]
    return WithoutText(env) if any(text) and not all(text) else env


def text_note(env: Env) -> str | None:
    """Return what to tell a person of the texts that an environment leaves out; None where there is none."""
    while isinstance(env, gymnasium.Wrapper):
        if isinstance(env, WithoutText):
            names = ", ".join(env.left_out)
            return f"{names} {'is' if len(env.left_out) == 1 else 'are'} text and left out"
        env = env.env
    return None


def _is_shown(space: Space) -> bool:
    text = [is_text(part) for _, part in leaves(space)]
    return not text or not all(text)


def _space_without(space: Space) -> Space:
    if isinstance(space, spaces.Dict):
        return spaces.Dict({key: _space_without(part) for key, part in space.spaces.items() if _is_shown(part)})
    if isinstance(space, spaces.Tuple):
        return spaces.Tuple([_space_without(part) for part in space.spaces if _is_shown(part)])
    return space


def _without(space: Space, value: Any) -> Any:
    if isinstance(space, spaces.Dict):
        assert isinstance(value, Mapping)
        return {key: _without(part, value[key]) for key, part in space.spaces.items() if _is_shown(part)}
    if isinstance(space, spaces.Tuple):
        pairs = zip(space.spaces, value, strict=True)
        return tuple(_without(part, item) for part, item in pairs if _is_shown(part))
    return value
