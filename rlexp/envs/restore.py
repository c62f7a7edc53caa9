"""How an environment comes back after a restart without being pickled: its episode is played again.

Saved of each episode: the states of all random generators, of the simulator and of wrappers before the reset, and the
actions since. To come back, those states are put back, the environment is reset, and the actions are taken again. Where
a wrapper ends episodes without a reset of the environment itself (a life of a game), all since that reset is played.
"""

from __future__ import annotations

import copy
from typing import Any, SupportsFloat

import gymnasium
import numpy as np

from rlexp.envs.actions import stacked, unstacked
from rlexp.envs.globals import OwnGlobals
from rlexp.envs.guard import Guard, core
from rlexp.envs.randomness import OwnGenerators, plain, same
from rlexp.envs.raw import raw_returns
from rlexp.envs.simulators import has_simulator, load_simulator_state, renew, simulator_state
from rlexp.envs.video import VideoRecorder
from rlexp.envs.wrapper_state import load_wrapper_states, wrapper_states

LONGEST_EPISODE = 100_000
"""Steps after which the actions of an episode are no longer kept: it cannot come back."""

SEARCHED = 3
"""First resets after which an environment's generators are searched for."""
Env = gymnasium.Env[Any, Any]


def _layers_above(env: Env, inner: Env) -> list[gymnasium.Wrapper[Any, Any, Any, Any]]:
    """Return the wrappers between rlexp's own outer ones and an inner one: those that `env.wrappers` names."""
    layers = []
    layer: Any = env
    while layer is not inner:
        if not isinstance(layer, Guard | VideoRecorder):
            layers.append(layer)
        layer = layer.env
    return layers


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
        self._raw = raw_returns(env)
        self._layers = [] if self._raw is None else _layers_above(env, self._raw)
        self._seed: int | None = None
        self._before: dict[str, Any] = {}
        self._actions: list[Any] = []
        self._lives: list[int] = []  # numbers of actions after which a wrapper began an episode without a reset
        self._since = 0  # steps since the environment itself was reset
        self._place_then = (0, -1, -1)  # when it was: steps taken before, the same of the episode before, its number
        self._steps = 0
        self._begun = (-1, -1)  # steps taken when the episode before began, and when this one did
        self._episode = -1

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode."""
        first = self._seed is None and seed is not None
        before: dict[str, Any] = {}
        if seed is None and self._longest:
            before = {
                "own": self._generators.snapshot(),
                "globals": self._globals.state(),
                "simulator": simulator_state(self._base) if self._simulated else {},
                "wrappers": wrapper_states(self._layers),
            }
        elif seed is not None:
            self._seed = seed
            self._globals.seed(seed)
            if first:
                self._generators.seed_unseeded(seed)
        self._begun = self._begun[1], max(0, self._begun[1] + self._steps)
        self._steps = 0
        self._episode += 1
        resets = -1 if self._raw is None else self._raw.resets
        if seed is None:
            renew(self._base)
        if self._globals.resets:
            with self._globals.running(reset=True):
                result = self.env.reset(seed=seed, options=options)
        else:
            result = self.env.reset(seed=seed, options=options)
        if self._raw is not None and self._raw.resets == resets:
            self._lives.append(len(self._actions))
        else:
            self._before, self._actions, self._lives, self._since = before, [], [], 0
            self._place_then = self._begun[1], self._begun[0], self._episode
        if self._episode < SEARCHED and self._longest:
            self._generators.find()
        if self._seed is not None:
            self._generators.settle(self._seed, self._episode)
        return result

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Take an action."""
        self._steps += 1
        self._since += 1
        if self._since <= self._longest:
            # A view into a buffer of the caller keeps its value only as a copy.
            self._actions.append(copy.deepcopy(action) if isinstance(action, np.ndarray | dict | tuple) else action)
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
        one; `actions` [steps, *] or None where there are too many; `lives`, numbers of actions after which a wrapper
        began an episode without a reset; `now`, the states of generators and wrappers; `episode`, its number; `steps`
        taken in it; `begun`, steps taken before it; `previous`, the same of the episode before (-1: none).
        """
        self._generators.find()
        kept = self._since <= self._longest
        begun, previous, episode = self._place_then
        return {
            "seed": self._seed,
            "before": self._before and self._before | {"own": plain(self._before["own"])},
            "actions": stacked(self._actions) if kept else None,
            "lives": np.array(self._lives, np.int64),
            "now": self._states(),
            "episode": episode,
            "steps": self._since,
            "begun": begun,
            "previous": previous,
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
            lives = record["lives"].tolist()
            for number, action in enumerate(unstacked(record["actions"], self.env.action_space)):
                for _ in range(lives.count(number)):
                    self.reset()
                observation, *_ = self.step(action)
            for _ in range(lives.count(record["steps"])):
                observation, _ = self.reset()
        except Exception:  # whatever it is: the episode did not come back, and the caller says so
            return None, False
        if self._raw is not None:
            self._raw.ended.clear()
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
        observation, _ = self.reset()
        if self._raw is not None:
            self._raw.forget()
        return observation

    def _derive(self, seed: int) -> None:
        """Let the environment derive what it derives once, at the first reset, from its seed."""
        self._seed = seed
        self._globals.seed(seed)
        self._generators.seed_unseeded(seed)
        with self._globals.running(reset=True):
            core(self.env).reset(seed=seed)

    def _states(self) -> dict[str, Any]:
        """Return the states of all generators (its own, and its part of the global ones) and of wrappers."""
        own, layers = self._generators.read(), wrapper_states(self._layers)
        return {"own": own, "globals": self._globals.state(), "wrappers": layers}

    def _load(self, states: dict[str, Any]) -> None:
        """Put all generators into what `_states` returned."""
        self._generators.find()
        self._generators.write(states["own"])
        self._globals.load(states["globals"])
        load_wrapper_states(self._layers, states["wrappers"])

    def _place(self, begun: int, previous: int) -> None:
        """Let the next episode begin after so many steps of this environment, its video included."""
        self._begun, self._steps = (-1, previous), begun - previous
        env: Any = self.env
        while isinstance(env, gymnasium.Wrapper):
            if isinstance(env, VideoRecorder):
                env.place(begun, previous)
            env = env.env
