"""Environments that are wrong, each in its own way, or random in their own way. `env.id=tests.faulty:Wrong-v0`."""

import itertools
import os
import random
import time

import gymnasium
import numpy as np
import torch
from gymnasium.spaces import Box, Dict, Discrete


class ConstructorError(Exception):
    """An exception that cannot be made from one text, and so cannot be unpickled."""

    def __init__(self, code, *, detail):
        super().__init__(f"code {code}: {detail}")


class Wrong(gymnasium.Env):
    """Does `what` in the step `at` of its life, counted over episodes of 5 steps; at=0: in reset, or at once."""

    observation_space = Box(-1, 1, (2,), np.float32)
    action_space = Discrete(2)

    def __init__(self, what="nothing", at=1, only_seed=None):
        self._what, self._at, self._only = what, at, only_seed
        self._steps, self._seed = 0, None
        if what == "dict":
            self.observation_space = Dict({"place": Box(-1, 1, (2,), np.float32), "goal": Discrete(3)})
        if what == "pixels":
            self.observation_space = Box(0, 255, (2,), np.uint8)

    def _observation(self, now):
        what = self._what if now else ""
        if self._what == "dict":
            return {"place": np.zeros(2, np.float32), **({} if now else {"goal": 1})}
        if self._what == "pixels":
            return np.array([0.5, 0.25]) if now else np.zeros(2, np.uint8)
        return {
            "shape": np.zeros(3, np.float32),
            "ragged": [[1.0], [1.0, 2.0]],
            "scalar": 0.0,
            "bounds": np.array([0.0, 7.0], np.float32),
            "text": np.array(["a", "b"]),
        }.get(what, np.zeros(2, np.float32))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._seed = seed if self._seed is None else self._seed
        now = self._at == 0 and self._steps == 0
        if now and self._what == "raise":
            raise RuntimeError("no reset today")
        if now and self._what == "one":
            return np.zeros(2, np.float32)
        return self._observation(now), {}

    def step(self, action):
        self._steps += 1
        now = self._steps == self._at and self._only in (None, self._seed)
        reward, info = 1.0, {}
        if now:
            if self._what == "raise":
                raise ConstructorError(7, detail="a pin\nis loose")
            if self._what == "raise locally":

                class Local(Exception):
                    pass

                raise Local("cannot be pickled")
            if self._what == "exit":
                os._exit(9)
            if self._what == "sys.exit":
                raise SystemExit("enough")
            if self._what == "hang":
                time.sleep(1000)
            if self._what == "hang in C":
                sum(itertools.repeat(1))  # asks for no signals
            if self._what == "four":
                return self._observation(False), 1.0, False, {}
            if self._what == "reward":
                reward = np.ones(1)
            if self._what == "None":
                reward = None
            if self._what == "info":
                info = None
        done = self._steps % 5 == 0
        return self._observation(now), reward, done, False, info

    def close(self):
        if self._what == "close":
            raise RuntimeError("the door is stuck")


class Infos(gymnasium.Env):
    """Ends after 3 steps, with infos whose types and shapes change between steps, episodes and environments."""

    observation_space = Box(-1, 1, (1,), np.float32)
    action_space = Discrete(2)

    def __init__(self):
        self._episode = -1

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._episode, self._step = self._episode + 1, 0
        return np.zeros(1, np.float32), {"where": "start", "shape": [1, 2]}

    def step(self, action):
        self._step += 1
        kinds = ["a word", 3, None, [1, [2]], {"deep": {"er": "text"}}, np.zeros((2, 3)), object, "7.5"]
        info = {
            "kind": kinds[int(self.np_random.integers(len(kinds)))],
            "ragged": np.arange(int(self.np_random.integers(1, 4))),
            "terms": {"speed": 10.0 * self._episode, "name": "x"},
            str(self._step): self._step,
        }
        if self._step == 3:
            info |= {"is_success": self._episode % 2 == 0, "word": "no number", "array": np.float32(2.5)}
        return np.zeros(1, np.float32), 1.0, self._step == 3, False, info


class Lucky(gymnasium.Env):
    """Shows what `source` draws; episodes of 6 steps. Sources: see `_draw`."""

    observation_space = Box(-np.inf, np.inf, (2,), np.float64)
    action_space = Discrete(1000)

    def __init__(self, source="numpy", fixed=None):
        self._source = source
        self._rng = np.random.default_rng(fixed)
        self._system = random.SystemRandom()  # NetHack's has one; it has no state
        self._built = np.random.random()

    def _draw(self):
        return {
            "numpy": lambda: np.random.random() + np.random.standard_normal(),
            "python": random.random,
            "torch": lambda: float(torch.rand(())),
            "space": lambda: float(self.action_space.sample()),
            "new space": lambda: float(self.action_space.sample()),
            "own": self._rng.random,
            "new rng": self._rng.random,
            "rng now": lambda: np.random.default_rng().random(),
            "built": lambda: self._built,
            "hidden": lambda: int.from_bytes(os.urandom(4), "little"),
        }[self._source]()

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._step = 0
        if self._source == "new rng":
            self._rng, _ = gymnasium.utils.seeding.np_random(None)
        if self._source == "new space":
            self.action_space = Discrete(1000)
            return np.zeros(2), {}
        return np.array([self._draw(), self._draw()]), {}

    def step(self, action):
        self._step += 1
        return np.array([self._draw(), self._step]), self._draw(), self._step == 6, False, {}


class Writer(gymnasium.Env):
    """Counts in a dict that it was given how often it was reset, and shows the count."""

    observation_space = Box(-np.inf, np.inf, (1,), np.float32)
    action_space = Discrete(2)

    def __init__(self, memory=None):
        self._memory = memory

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._memory["nested"]["count"] += 1
        return np.array([self._memory["nested"]["count"]], np.float32), {}

    def step(self, action):
        return np.array([self._memory["nested"]["count"]], np.float32), 0.0, True, False, {}


for kind in (Wrong, Infos, Lucky, Writer):
    if f"{kind.__name__}-v0" not in gymnasium.registry:
        gymnasium.register(f"{kind.__name__}-v0", entry_point=f"tests.faulty:{kind.__name__}")
