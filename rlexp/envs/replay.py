"""How an environment comes back after a restart without being pickled: its episode is played again.

Kept of each episode: the state of the environment's random generator before the reset, and the actions since. To come
back the generator is put into that state, the environment reset, and the actions taken again.
"""

from __future__ import annotations

import copy
from typing import Any, SupportsFloat

import gymnasium
import numpy as np

from rlexp.envs.video import VideoRecorder

LONGEST_EPISODE = 100_000
"""Steps after which the actions of an episode are no longer kept: it cannot come back."""

Env = gymnasium.Env[Any, Any]


class Replay(gymnasium.Wrapper[Any, Any, Any, Any]):
    """The outermost wrapper of an environment; it notes what it takes to play the episode under way again.

    One that is not `restorable` keeps no actions.
    """

    def __init__(self, env: Env, restorable: bool = True) -> None:
        super().__init__(env)
        self._longest = LONGEST_EPISODE if restorable else 0
        self.record: dict[str, Any] = {}  # what `come_back` goes by; set before it is called
        self.comes_back = True
        self._seed: int | None = None
        self._before: dict[str, Any] = {}
        self._actions: list[Any] = []
        self._steps = 0
        self._begun = (-1, -1)  # steps taken when the episode before began, and when this one did
        self._episode = -1

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode."""
        if seed is None:
            self._before = self._generator() or {}
        else:
            self._seed, self._before = seed, {}
        self._begun = self._begun[1], max(0, self._begun[1] + self._steps)
        self._actions, self._steps = [], 0
        self._episode += 1
        return self.env.reset(seed=seed, options=options)

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Take an action."""
        self._steps += 1
        if self._steps <= self._longest:
            # A view into a buffer of the caller keeps its value only as a copy.
            self._actions.append(action.copy() if isinstance(action, np.ndarray) else action)
        observation, reward, terminated, truncated, info = self.env.step(action)
        if terminated or truncated:  # the reset that follows may write into the same buffer
            observation = copy.deepcopy(observation)
        return observation, reward, terminated, truncated, info

    def recorded(self) -> dict[str, Any]:
        """Return what `come_back` needs, in plain types and arrays.

        Keys: `seed` of the first reset; `before`, the generator before the episode's reset, empty where that was the
        first one; `actions` [steps, *] or None where there are too many; `generator` now; `episode`, its number;
        `steps` taken in it; `begun`, steps taken before it; `previous`, the same of the episode before (-1: none).
        """
        kept = self._steps <= self._longest
        return {
            "seed": self._seed,
            "before": self._before,
            "actions": np.array(self._actions) if kept else None,
            "generator": self._generator() or {},
            "episode": self._episode,
            "steps": self._steps,
            "begun": self._begun[1],
            "previous": self._begun[0],
        }

    def come_back(self) -> tuple[Any, bool]:
        """Play the episode in `record` again; return its last observation, and whether the generator agrees with it.

        An environment that raises on the way, or whose actions were not kept, returns (None, False).
        """
        record = self.record
        self._seed, self._episode = record["seed"], record["episode"] - 1
        self._place(record.get("begun", 0), record.get("previous", -1))
        if record["actions"] is None or not record["generator"]:
            return None, False
        try:
            if record["before"]:
                self.unwrapped.reset(seed=self._seed)  # for what an environment derives once from its seed
                self.unwrapped.np_random.bit_generator.state = record["before"]
            observation, _ = self.reset(seed=None if record["before"] else self._seed)
            for action in record["actions"]:
                observation, *_ = self.step(action)
        except Exception:  # whatever it is: the episode did not come back, and the caller says so
            return None, False
        return observation, _same(self._generator(), record["generator"])

    def start_afresh(self) -> Any:
        """Begin a new episode from the generator in `record` unless `comes_back`; return its first observation."""
        if self.comes_back:
            return None
        if self.record["generator"]:
            self.unwrapped.np_random.bit_generator.state = self.record["generator"]
        begun = self.record.get("begun", 0)
        self._place(begun + self.record.get("steps", 0), begun)
        self._episode = self.record["episode"]
        return self.reset()[0]

    def _generator(self) -> dict[str, Any] | None:
        """Return the state of the environment's random generator; None where it has none of numpy's kind."""
        generator = getattr(getattr(self.unwrapped, "np_random", None), "bit_generator", None)
        return None if generator is None else generator.state

    def _place(self, begun: int, previous: int) -> None:
        """Let the next episode begin after so many steps of this environment, its video included."""
        self._begun, self._steps = (-1, previous), begun - previous
        env: Any = self.env
        while isinstance(env, gymnasium.Wrapper):
            if isinstance(env, VideoRecorder):
                env.place(begun, previous)
            env = env.env


def _same(first: Any, second: Any) -> bool:
    """Return whether two states of a generator, nested dicts of numbers and arrays, are equal."""
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(_same(first[key], second[key]) for key in first)
    return bool(np.array_equal(first, second))
