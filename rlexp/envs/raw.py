"""Raw returns of whole episodes, whatever wrappers make of rewards and of the ends of episodes."""

from __future__ import annotations

from collections import deque
from typing import Any, SupportsFloat

import gymnasium

RAW = "rlexp_raw_return"
"""Where an info has the raw return of a whole episode that has ended."""


class RawReturns(gymnasium.Wrapper[Any, Any, Any, Any]):
    """The innermost wrapper: adds up the environment's own rewards from one of its resets to the next.

    Attributes:
        total: raw rewards of the episode under way.
        ended: raw returns of whole episodes that nobody has asked for yet.
        resets: how often the environment itself was reset.
    """

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        super().__init__(env)
        self.total, self._steps, self.resets = 0.0, 0, 0
        self.ended: deque[float] = deque()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode; one under way, which a wrapper has cut, has ended."""
        if self._steps:
            self._end()
        self.resets += 1
        return self.env.reset(seed=seed, options=options)

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Take an action."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        self.total += float(reward)
        self._steps += 1
        if terminated or truncated:
            self._end()
        return observation, reward, terminated, truncated, info

    def _end(self) -> None:
        self.ended.append(self.total)
        self.total, self._steps = 0.0, 0

    def forget(self) -> None:
        """Forget whole episodes that have ended, and the steps since: they were played again, or thrown away."""
        self.ended.clear()
        self.total, self._steps = 0.0, 0


def raw_returns(env: Any) -> RawReturns | None:
    """Return the wrapper that adds up raw rewards; None where rewards are raw anyway."""
    while isinstance(env, gymnasium.Wrapper):
        if isinstance(env, RawReturns):
            return env
        env = env.env
    return None
