"""Small environments with known answers. `env.id=tests.environments:Counting-v0` finds them from any process."""

import random

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Sequence, Text, Tuple


class Counting(gymnasium.Env):
    """Step k of an episode pays k, so that an episode of n steps returns n(n+1)/2; lengths follow a fixed cycle.

    Observations are (seed of the first reset, episode, steps taken). `end` says how episodes end: 'terminated',
    'truncated', or 'both' at once.
    """

    observation_space = Box(-np.inf, np.inf, (3,), np.float32)
    action_space = Discrete(2)

    def __init__(self, lengths=(3, 5, 2), end="terminated"):
        self._lengths, self._end = tuple(lengths), end
        self._seed, self._episode, self._step = -1, -1, 0

    def _observation(self):
        return np.array([self._seed, self._episode, self._step], np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._seed = self._seed if seed is None else seed
        self._episode += 1
        self._step = 0
        return self._observation(), {}

    def step(self, action):
        self._step += 1
        done = self._step == self._lengths[self._episode % len(self._lengths)]
        terminated = done and self._end in ("terminated", "both")
        truncated = done and self._end in ("truncated", "both")
        return self._observation(), float(self._step), terminated, truncated, {}


class Buffered(gymnasium.Env):
    """Shows the number of the step, always in the same array, and is cut by a time limit."""

    observation_space = Box(-1, 100, (1,), np.float32)
    action_space = Discrete(2)

    def __init__(self):
        self._shown = np.zeros(1, np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._shown[0] = 0
        return self._shown, {}

    def step(self, action):
        self._shown += 1
        return self._shown, 1.0, False, False, {}


class Constant(gymnasium.Env):
    """Pays 1 for ever and always shows the same: its value is 1 / (1 - gamma). A time limit cuts its episodes."""

    observation_space = Box(0, 1, (1,), np.float32)
    action_space = Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.ones(1, np.float32), {}

    def step(self, action):
        return np.ones(1, np.float32), 1.0, False, False, {}


class Picture(gymnasium.Env):
    """A noisy colour picture with one bright half; action 0 pays 1 for the left half, action 1 for the right."""

    observation_space = Box(0, 255, (8, 8, 3), np.uint8)
    action_space = Discrete(2)
    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012

    def __init__(self, length=8, render_mode=None):
        self.render_mode, self._length = render_mode, length

    def _observation(self):
        self._side = int(self.np_random.integers(2))
        self._picture = self.np_random.integers(0, 60, (8, 8, 3), dtype=np.uint8)
        self._picture[:, 4 * self._side : 4 * self._side + 4] += 120
        return self._picture

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._step = 0
        return self._observation(), {}

    def step(self, action):
        reward = float(action == self._side)
        self._step += 1
        return self._observation(), reward, self._step == self._length, False, {}

    def render(self):
        return np.kron(self._picture, np.ones((8, 8, 1), np.uint8))


class Mixed(gymnasium.Env):
    """Image, vector and choice in a Dict, each asking for one of three actions, each right answer paying 1/3."""

    observation_space = Dict(
        {
            "picture": Box(0, 255, (6, 6), np.uint8),
            "place": Box(-1, 1, (2,), np.float32),
            "signal": Discrete(3, start=1),
        }
    )
    action_space = MultiDiscrete([2, 2, 3], start=[0, 5, 0])

    def _observation(self):
        bright, positive, signal = (int(self.np_random.integers(n)) for n in (2, 2, 3))
        self._answer = (bright, 5 + positive, signal)
        place = self.np_random.uniform(0.2, 1, 2).astype(np.float32) * (1 if positive else -1)
        picture = self.np_random.integers(0, 60, (6, 6), dtype=np.uint8) + np.uint8(120 * bright)
        return {"picture": picture, "place": place, "signal": np.int64(signal + 1)}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._step = 0
        return self._observation(), {}

    def step(self, action):
        assert self.action_space.contains(np.asarray(action, np.int64)), action
        reward = float(np.mean(np.asarray(action) == self._answer))
        self._step += 1
        return self._observation(), reward, self._step == 8, False, {}


class Reaching(gymnasium.Env):
    """Shows the action that it was given, refuses one out of bounds, and pays minus its squared distance to (1, 0)."""

    observation_space = Box(-np.inf, np.inf, (2,), np.float32)
    action_space = Box(np.array([-2, -0.1], np.float32), np.array([1.5, 0.7], np.float32))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._step = 0
        return np.zeros(2, np.float32), {}

    def step(self, action):
        assert self.action_space.contains(action), f"{action!r} is out of bounds"
        self._step += 1
        reward = -float(np.square(action - np.array([1, 0])).sum())
        return action.copy(), reward, False, self._step == 6, {}


class Poisoned(gymnasium.Env):
    """Pays 1; the environment whose first reset has the seed `seed` (-1: each one) gives `value` once.

    Args:
        what: 'reward', 'observation', or 'final' (the observation that ends an episode by truncation).
        at: the step that gives it, counted over all episodes from 1.
        seed: which environment.
        value: what it gives.
    """

    observation_space = Box(-np.inf, np.inf, (2,), np.float32)
    action_space = Discrete(2)

    def __init__(self, what="reward", at=1, seed=-1, value="nan"):
        self._what, self._at, self._wanted, self._value = what, at, seed, float(value)
        self._seed, self._steps = None, 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._seed = seed if self._seed is None else self._seed
        return self.np_random.random(2, np.float32), {}

    def step(self, action):
        self._steps += 1
        observation, reward = self.np_random.random(2, np.float32), 1.0
        if self._steps == self._at and self._wanted in (-1, self._seed):
            if self._what == "reward":
                reward = self._value
            else:
                observation[1] = self._value
        return observation, reward, False, self._what == "final" and self._steps % self._at == 0, {}


class Mission(gymnasium.Space):
    """Words of a space of its own, as MiniGrid's missions are."""

    def __init__(self):
        super().__init__(dtype=str)

    def sample(self, mask=None, probability=None):
        return "go to the door"

    def contains(self, x):
        return isinstance(x, str)


class Silent(gymnasium.Env):
    """Spaces given by the caller, observations at random; `strict`: it refuses actions that are not of its space."""

    def __init__(self, observation="box", action="discrete", strict=False):
        self._strict = strict
        spaces = {
            "box": Box(-1, 1, (2,), np.float32),
            "discrete": Discrete(2),
            "text": Text(5),
            "tuple": Tuple([Discrete(2), Discrete(3)]),
            "dict": Dict({"words": Text(5), "place": Box(-1, 1, (2,), np.float32)}),
            "sequence": Sequence(Discrete(2)),
            "listed": Dict({"many": Sequence(Discrete(2)), "place": Box(-1, 1, (2,), np.float32)}),
            "worded": Dict(
                {"mission": Mission(), "nested": Tuple([Discrete(3, start=1), Box(0, 255, (7, 7, 3), np.uint8)])}
            ),
            "binary": MultiBinary([2, 2]),
            "whole": Box(-2, 2, (2,), np.int16),
            "double": Box(np.array([0.1, -1 / 3]), np.array([0.2, 1 / 3]), dtype=np.float64),
            "grid": MultiDiscrete([[2, 3], [4, 5]], dtype=np.int32),
            "unbounded": Box(-np.inf, np.inf, (2,), np.float32),
        }
        self.observation_space, self.action_space = spaces[observation], spaces[action]

    def reset(self, *, seed=None, options=None):
        return self.observation_space.sample(), {}

    def step(self, action):
        assert not self._strict or self.action_space.contains(action), f"{action!r} is not in {self.action_space}"
        return self.observation_space.sample(), 0.0, False, False, {}


class Broken(gymnasium.Env):
    """Raises in its constructor."""

    def __init__(self):
        raise RuntimeError("the simulator\n  did not start")


class Needy(gymnasium.Env):
    """Needs a module that does not exist."""

    def __init__(self):
        import a_module_that_is_nowhere  # noqa: F401


class Drawing(gymnasium.Env):
    """Draws in many ways: the left half of step k's picture has brightness 100 + k of 255, the right half none.

    Args:
        what: how: rgb, grey, grey1, rgba, unit (floats in [0, 1]), floats, bool, int64, uint16, channels_first, list,
            none (every third frame), always_none, raises (in step 5), changes (its size), black, odd, tiny, text, flat.
        length: steps of an episode.
        draws: draw from the global random generators in every step.
    """

    observation_space = Box(-1, 1, (2,), np.float32)
    action_space = Discrete(2)
    metadata = {"render_modes": ["rgb_array", "rgb_array_list"], "render_fps": 20}  # noqa: RUF012

    def __init__(self, what="rgb", length=12, draws=False, render_mode=None):
        self.render_mode, self._what, self._length, self._draws, self._step = render_mode, what, length, draws, 0

    def _observation(self):
        if not self._draws:
            return self.np_random.uniform(-1, 1, 2).astype(np.float32)
        import torch

        return np.array([random.uniform(-1, 1), np.random.uniform(-1, 1) * torch.rand(()).item()], np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._step = 0
        return self._observation(), {}

    def step(self, action):
        self._step += 1
        return self._observation(), 1.25, self._step == self._length, False, {}

    def render(self):
        what, size = self._what, {"odd": (63, 65), "tiny": (9, 10)}.get(self._what, (64, 96))
        if what == "changes" and self._step % 3 == 2:
            size = (32, 48)
        if what == "raises" and self._step == 5:
            raise RuntimeError("the window\nis closed")
        if what == "always_none" or (what == "none" and self._step % 3 == 2):
            return None
        grey = np.zeros(size, np.uint8)
        grey[:, : size[1] // 2] = 0 if what == "black" else 100 + self._step
        picture = np.repeat(grey[..., None], 3, 2)
        shown = {
            "grey": grey,
            "grey1": grey[..., None],
            "rgba": np.concatenate([picture, np.full((*size, 1), 255, np.uint8)], 2),
            "unit": picture / 255,
            "floats": picture.astype(np.float32),
            "bool": picture > 0,
            "int64": picture.astype(np.int64),
            "uint16": picture.astype(np.uint16) * 257,
            "channels_first": picture.transpose(2, 0, 1),
            "list": [picture, picture],
            "text": "a picture",
            "flat": grey.ravel(),
        }
        return shown.get(what, picture)


class Doors(gymnasium.Env):
    """Five doors of which some are locked; the observation says which pays 1. Who tries a locked one is told off.

    `by` says how the mask is given: 'info', 'method' or 'part' (of a Dict observation).
    """

    def __init__(self, by="info"):
        self.by, self.action_space = by, Discrete(5)
        seen = Box(0, 4, (1,), np.float32)
        self.observation_space = Dict({"door": seen, "action_mask": MultiBinary(5)}) if by == "part" else seen

    def _shown(self):
        self.open = self.np_random.integers(0, 2, 5).astype(np.int8)
        self.open[int(self.np_random.integers(5))] = 1
        self.pays = int(self.np_random.choice(np.flatnonzero(self.open)))
        door = np.array([self.pays], np.float32)
        return {"door": door, "action_mask": self.open.copy()} if self.by == "part" else door

    def _info(self):
        return {"action_mask": self.open.copy()} if self.by == "info" else {}

    def __getattr__(self, name):
        if name == "action_masks" and self.__dict__.get("by") == "method":
            return lambda: self.open.astype(bool)
        raise AttributeError(name)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps, self.locked = 0, 0
        return self._shown(), self._info()

    def step(self, action):
        self.locked += not self.open[action]
        reward = float(action == self.pays)
        self.steps += 1
        info = {"locked": self.locked}
        shown = self._shown()
        return shown, reward, False, self.steps == 8, info | self._info()


class Orders(gymnasium.Env):
    """Actions are a Dict with all kinds of parts; what is asked for is shown, and nearness to it pays."""

    observation_space = Box(-1, 1, (5,), np.float32)
    action_space = Dict({
        "kind": Discrete(3, start=1),
        "speed": Box(-2, 2, (1, 2), np.float32),
        "flags": Tuple([MultiBinary(1), MultiDiscrete([2])]),
    })  # fmt: skip

    def _shown(self):
        self.kind, self.flag = int(self.np_random.integers(3)), int(self.np_random.integers(2))
        self.speed = self.np_random.uniform(-1, 1, (1, 2))
        return np.float32([*np.eye(3)[self.kind][:2], 2 * self.flag - 1, *self.speed[0]])

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return self._shown(), {}

    def step(self, action):
        assert self.action_space.contains(action), action
        right = int(action["kind"] - 1 == self.kind) + int(action["flags"][0][0] == self.flag)
        reward = float(right - np.square(action["speed"] - self.speed).sum())
        self.steps += 1
        return self._shown(), reward, self.steps == 8, False, {}


def _register():
    for kind, limit in (
        (Counting, None), (Constant, 10), (Picture, None), (Mixed, None), (Reaching, None), (Silent, None),
        (Broken, None), (Needy, None), (Poisoned, 10), (Buffered, 3), (Drawing, None),
        (Doors, None), (Orders, None),
    ):  # fmt: skip
        name = f"{kind.__name__}-v0"
        if name not in gymnasium.registry:
            gymnasium.register(
                name, entry_point=f"tests.environments:{kind.__name__}", max_episode_steps=limit,
                disable_env_checker=True,
            )  # fmt: skip


_register()
