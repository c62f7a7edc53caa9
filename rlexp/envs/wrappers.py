"""Wrappers that rlexp brings beside gymnasium's; `rlexp.plugins` has their names."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, SupportsFloat

import gymnasium
import numpy as np
from gymnasium import spaces

from rlexp.errors import ConfigError

Env = gymnasium.Env[Any, Any]
SYMBOLS = 11
"""Values that a cell of a MiniGrid observation takes, in each of its three channels: 0 to 10."""


class ActionRepeat(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Repeats each action up to `times` steps, or until the episode ends, and sums the rewards."""

    def __init__(self, env: Env, times: int) -> None:
        super().__init__(env)
        self._times = times

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Take the action `times` times."""
        total = 0.0
        for _ in range(self._times):
            observation, reward, terminated, truncated, info = self.env.step(action)
            total += float(reward)
            if terminated or truncated:
                break
        return observation, total, terminated, truncated, info


class EpisodicLife(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Ends an episode of an Atari game where a life is lost; the game continues after the reset (Nature 2015, DQN).

    Raises:
        ConfigError: the environment is no Atari game.
    """

    def __init__(self, env: Env) -> None:
        super().__init__(env)
        self._ale = _ale(env, "episodic_life")
        self._lives, self._over = 0, True

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin a game, or continue with the next life by one step without an action."""
        if self._over or seed is not None:
            result = self.env.reset(seed=seed, options=options)
        else:
            observation, _, terminated, truncated, info = self.env.step(0)
            result = self.env.reset(options=options) if terminated or truncated else (observation, info)
        self._over, self._lives = False, self._ale.lives()
        return result

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Take an action; the loss of a life terminates the episode."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        self._over = terminated or truncated
        lives = self._ale.lives()
        lost = 0 < lives < self._lives  # at 0 the game itself says that it is over
        self._lives = lives
        return observation, reward, terminated or lost, truncated, info


class FireStart(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Presses FIRE after each reset of an Atari game that waits for it; other games are left as they are."""

    def __init__(self, env: Env) -> None:
        super().__init__(env)
        _ale(env, "fire_start")
        base: Any = env.unwrapped
        meanings = base.get_action_meanings()
        self._fire = meanings.index("FIRE") if "FIRE" in meanings and len(meanings) >= 3 else None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode and press FIRE."""
        result = self.env.reset(seed=seed, options=options)
        if self._fire is None:
            return result
        observation, _, terminated, truncated, info = self.env.step(self._fire)
        return self.env.reset(options=options) if terminated or truncated else (observation, info)


def _ale(env: Env, name: str) -> Any:
    """Return the Arcade Learning Environment below an environment.

    Raises:
        ConfigError: there is none.
    """
    ale = getattr(env.unwrapped, "ale", None)
    if ale is None:
        raise ConfigError(f"env.wrappers: {name} is for Atari games, but {type(env.unwrapped).__name__} is none")
    return ale


VELOCITIES = {
    "CartPole": (1, 3), "Acrobot": (4, 5), "MountainCar": (1,), "MountainCarContinuous": (1,), "Pendulum": (2,),
    "LunarLander": (2, 3, 5),
}  # fmt: skip
"""Where the velocities are in the observations of gymnasium's tasks."""


class MaskVelocity(gymnasium.ObservationWrapper[Any, Any, Any]):
    """Shows 0 in place of velocities, so that a policy needs memory; as sb3-contrib's tasks without velocities have it.

    Args:
        env: its observations are vectors.
        indices: where velocities are; None: as VELOCITIES has it.

    Raises:
        ConfigError: nobody says where they are.
    """

    def __init__(self, env: Env, indices: Sequence[int] | None = None) -> None:
        super().__init__(env)
        name = "" if env.spec is None else env.spec.id.partition("-v")[0]
        places = VELOCITIES.get(name) if indices is None else tuple(indices)
        if places is None:
            raise ConfigError(f"mask_velocity knows {', '.join(VELOCITIES)}; for others give indices: [1, 3]")
        self._seen = np.ones(env.observation_space.shape or (), np.float32)
        self._seen[list(places)] = 0.0

    def observation(self, observation: Any) -> Any:
        """Return the observation without velocities."""
        return observation * self._seen


class MiniGridImage(gymnasium.ObservationWrapper[Any, Any, Any]):
    """The grid of a MiniGrid observation alone, [H, W, 3] uint8 symbols: object, colour, state."""

    def __init__(self, env: Env) -> None:
        super().__init__(env)
        self.observation_space = _grid(env)

    def observation(self, observation: Any) -> Any:
        """Return the grid."""
        return observation["image"]


class MiniGrid(gymnasium.ObservationWrapper[Any, Any, Any]):
    """A MiniGrid observation whole: the grid of symbols, the direction, and the mission as words of its vocabulary.

    The mission is [L] numbers, 0 where it has ended; L and the vocabulary follow from its sentences.
    """

    def __init__(self, env: Env) -> None:
        super().__init__(env)
        grid = _grid(env)
        assert isinstance(env.observation_space, spaces.Dict)
        sentences = _sentences(env.observation_space["mission"])
        words = sorted({word for sentence in sentences for word in sentence})
        self._numbers = {word: number for number, word in enumerate(words, 1)}
        self._length = max(map(len, sentences))
        parts: dict[str, gymnasium.Space[Any]] = {"image": grid, "direction": env.observation_space["direction"]}
        if len(sentences) > 1:  # a mission that is always the same says nothing
            parts["mission"] = spaces.MultiDiscrete([len(words) + 1] * self._length)
        self.observation_space = spaces.Dict(parts)

    def observation(self, observation: Any) -> Any:
        """Return the observation with the words of the mission as numbers."""
        seen = {"image": observation["image"], "direction": observation["direction"]}
        if "mission" in self.observation_space.spaces:  # type: ignore[attr-defined]  # a Dict
            numbers = [self._numbers.get(word, 0) for word in _words(observation["mission"])][: self._length]
            seen["mission"] = np.array(numbers + [0] * (self._length - len(numbers)))
        return seen


def _grid(env: Env) -> spaces.Box:
    """Return the space of the grid of a MiniGrid observation.

    Raises:
        ConfigError: the environment is no MiniGrid.
    """
    space = env.observation_space
    if not isinstance(space, spaces.Dict) or not {"image", "direction", "mission"} <= set(space.spaces):
        raise ConfigError(f"env.wrappers: minigrid is for MiniGrid's observations, but this space is {space}")
    return spaces.Box(0, SYMBOLS - 1, space["image"].shape, np.uint8)


def _sentences(mission: Any) -> list[list[str]]:
    """Return the missions that a MissionSpace allows, each as words; one that has no placeholders says one thing."""
    placeholders = mission.ordered_placeholders or []
    return [_words(mission.mission_func(*chosen)) for chosen in itertools.product(*placeholders)]


def _words(sentence: str) -> list[str]:
    return sentence.replace(",", " ,").split()
