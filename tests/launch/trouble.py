"""CartPole that gets into trouble at a chosen step of a chosen rank; `env.id=tests.launch.trouble:Trouble-v0`."""

import os
import signal
import time
from pathlib import Path

import gymnasium
import numpy as np
from gymnasium.envs.classic_control import CartPoleEnv

MESSAGE = "the pole\nis made of glass"


class Trouble(CartPoleEnv):
    """From its `at`-th step in a process on, in rank `rank` (-1: in all), does what `what` says.

    none: nothing. raise: raises. shout: raises with a message of a megabyte. hang: sleeps. stuck: never gives control
    back to Python. shape: returns another observation. exit: ends its process. kill: kills it. slow: takes a while for
    each step.

    Args:
        what: the trouble.
        at: step of the process at which it begins; 0: in `reset`.
        rank: which rank it befalls.
        folder: where a file named as the rank tells that it has begun.
        render_mode: as CartPole's.
    """

    steps = 0

    def __init__(self, what="none", at=1, rank=-1, folder=None, render_mode=None):
        super().__init__(render_mode=render_mode)
        self._what, self._at, self._folder = what, at, folder
        self._mine = rank in (-1, int(os.environ.get("RANK", "0")))

    def reset(self, *, seed=None, options=None):
        observation, info = super().reset(seed=seed, options=options)
        if self._mine and self._at == 0:
            self._befall(observation)
        return observation, info

    def step(self, action):
        Trouble.steps += 1
        observation, *rest = super().step(action)
        if self._mine and self._at > 0 and Trouble.steps >= self._at:
            observation = self._befall(observation)
        return observation, *rest

    def _befall(self, observation):
        if self._folder is not None:
            (Path(self._folder) / os.environ.get("RANK", "0")).touch()
        if self._what == "raise":
            raise RuntimeError(MESSAGE)
        if self._what == "shout":
            raise RuntimeError("glass " * 200_000)
        if self._what == "hang":
            time.sleep(1000)
        if self._what == "stuck":
            sum(range(10**13))
        if self._what == "exit":
            os._exit(7)
        if self._what == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self._what == "slow":
            time.sleep(0.02)
        return np.zeros(5, np.float32) if self._what == "shape" else observation


if "Trouble-v0" not in gymnasium.registry:
    gymnasium.register(
        "Trouble-v0", entry_point=Trouble, max_episode_steps=500, disable_env_checker=True, order_enforce=False
    )
