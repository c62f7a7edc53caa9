"""How an environment comes back after a restart without being pickled: its episode is played again.

Saved of each episode: the states of all random generators and of the simulator before the reset, and the actions since.
To come back, those states are put back, the environment is reset, and the actions are taken again.
"""

from __future__ import annotations

import copy
from typing import Any, SupportsFloat

import gymnasium
import numpy as np

from rlexp.envs.globals import OwnGlobals
from rlexp.envs.guard import core
from rlexp.envs.randomness import OwnGenerators, plain, same
from rlexp.envs.simulators import has_simulator, load_simulator_state, renew, simulator_state
from rlexp.envs.video import VideoRecorder

LONGEST_EPISODE = 100_000
"""Steps after which the actions of an episode are no longer kept: it cannot come back."""

SEARCHED = 3
"""First resets after which an environment's generators are searched for."""
Env = gymnasium.Env[Any, Any]


class Replay(gymnasium.Wrapper[Any, Any, Any, Any]):
    """The outermost wrapper of an environment: its randomness, and what it takes to play the current episode again.

    Args:
        env: the environment.
        own: its states of the global random generators.
        restorable: whether its episodes must come back; else no actions are kept.
    """

    def __init__(self, env: Env, own: OwnGlobals, restorable: bool = True) -> None:
        super().__init__(env)
        self._longest = LONGEST_EPISODE if restorable else 0
        self.record: dict[str, Any] = {}  # what `come_back` goes by; set before it is called
        self.comes_back = True
        self._globals, self._generators = own, OwnGenerators(env)
        self._base, self._simulated = env.unwrapped, has_simulator(env.unwrapped)
        self._take = env.step
        self._seed: int | None = None
        self._before: dict[str, Any] = {}
        self._actions: list[Any] = []
        self._steps = 0
        self._begun = (-1, -1)  # steps taken when the episode before began, and when this one did
        self._episode = -1

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode."""
        first = self._seed is None and seed is not None
        if seed is None and self._longest:
            self._before = {
                "own": self._generators.snapshot(),
                "globals": self._globals.state(),
                "simulator": simulator_state(self._base) if self._simulated else {},
            }
        elif seed is not None:
            self._seed, self._before = seed, {}
            self._globals.seed(seed)
            if first:
                self._generators.seed_unseeded(seed)
        self._begun = self._begun[1], max(0, self._begun[1] + self._steps)
        self._actions, self._steps = [], 0
        self._episode += 1
        if seed is None:
            renew(self._base)
        if self._globals.resets:
            with self._globals.running(reset=True):
                result = self.env.reset(seed=seed, options=options)
        else:
            result = self.env.reset(seed=seed, options=options)
        if self._episode < SEARCHED and self._longest:
            self._generators.find()
        if self._seed is not None:
            self._generators.settle(self._seed, self._episode)
        return result

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Take an action."""
        self._steps += 1
        if self._steps <= self._longest:
            # A view into a buffer of the caller keeps its value only as a copy.
            self._actions.append(action.copy() if isinstance(action, np.ndarray) else action)
        if self._globals.active:
            with self._globals.running():
                observation, reward, terminated, truncated, info = self._take(action)
        else:
            observation, reward, terminated, truncated, info = self._take(action)
        if terminated or truncated:  # the reset that follows may write into the same buffer
            observation = copy.deepcopy(observation)
        return observation, reward, terminated, truncated, info

    def recorded(self) -> dict[str, Any]:
        """Return what `come_back` needs, in plain types, arrays and tensors.

        Keys: `seed` of the first reset; `before`, all states before the episode's reset, empty where that was the first
        one; `actions` [steps, *] or None where there are too many; `now`, the states of generators; `episode`, its
        number; `steps` taken in it; `begun`, steps taken before it; `previous`, the same of the episode before (-1:
        none).
        """
        self._generators.find()
        kept = self._steps <= self._longest
        return {
            "seed": self._seed,
            "before": self._before and self._before | {"own": plain(self._before["own"])},
            "actions": np.array(self._actions) if kept else None,
            "now": self._states(),
            "episode": self._episode,
            "steps": self._steps,
            "begun": self._begun[1],
            "previous": self._begun[0],
        }

    def come_back(self) -> tuple[Any, bool]:
        """Play the episode in `record` again; return its last observation, and whether all generators agree with it.

        An environment that raises on the way, or whose actions were not kept, returns (None, False).
        """
        record = self.record
        self._seed, self._episode = None, record["episode"] - 1
        self._place(record["begun"], record["previous"])
        if record["actions"] is None or record["seed"] is None:
            return None, False
        try:
            if record["before"]:
                self._derive(record["seed"])
                self._load(record["before"])
                load_simulator_state(self._base, record["before"]["simulator"])
            observation, _ = self.reset(seed=None if record["before"] else record["seed"])
            for action in record["actions"]:
                observation, *_ = self.step(action)
        except Exception:  # whatever it is: the episode did not come back, and the caller says so
            return None, False
        self._generators.find()
        return observation, same(self._states(), record["now"])

    def start_afresh(self) -> Any:
        """Begin a new episode from the generators in `record` unless `comes_back`; return its first observation."""
        if self.comes_back:
            return None
        if self.record["seed"] is not None:
            self._derive(self.record["seed"])
        self._load(self.record["now"])
        self._place(self.record["begun"] + self.record["steps"], self.record["begun"])
        self._episode = self.record["episode"]
        return self.reset()[0]

    def _derive(self, seed: int) -> None:
        """Let the environment derive what it derives once, at the first reset, from its seed."""
        self._seed = seed
        self._globals.seed(seed)
        self._generators.seed_unseeded(seed)
        with self._globals.running(reset=True):
            core(self.env).reset(seed=seed)

    def _states(self) -> dict[str, Any]:
        """Return the states of all generators: the environment's own, and its part of the global ones."""
        return {"own": self._generators.read(), "globals": self._globals.state()}

    def _load(self, states: dict[str, Any]) -> None:
        """Put all generators into what `_states` returned."""
        self._generators.find()
        self._generators.write(states["own"])
        self._globals.load(states["globals"])

    def _place(self, begun: int, previous: int) -> None:
        """Let the next episode begin after so many steps of this environment, its video included."""
        self._begun, self._steps = (-1, previous), begun - previous
        env: Any = self.env
        while isinstance(env, gymnasium.Wrapper):
            if isinstance(env, VideoRecorder):
                env.place(begun, previous)
            env = env.env
