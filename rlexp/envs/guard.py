"""What an environment may do wrong in a run, each reported in one line that names the place in its code."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from typing import Any, SupportsFloat

import gymnasium
import numpy as np

from rlexp.envs.raw import RAW, raw_returns
from rlexp.errors import Fault, described, shown

log = logging.getLogger(__name__)

Env = gymnasium.Env[Any, Any]
NUMBERS = frozenset([float, int, bool, np.float64, np.float32, np.int64])
"""Types of rewards that need no further look."""


class Guard(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Turns an environment's errors into one line, checks what it returns, and drops the infos that nobody reads.

    Infos are an environment's own business: their types may change from step to step, which vector environments cannot
    gather.

    Args:
        env: the environment.
        number: its number within its rank.
        infos: names of the values to keep of the last info of each episode; a point leads into nested dicts.
    """

    def __init__(self, env: Env, number: int, infos: Sequence[str] = ()) -> None:
        super().__init__(env)
        self._number, self._infos = number, tuple(infos)
        self._take = env.step  # bound once: a step of CartPole takes only ten microseconds
        self._shape = env.observation_space.shape  # None for Dict and Tuple
        self._said = number != 0  # the first environment speaks for all
        self._raw = raw_returns(env)
        self._gave = False  # whether the last step gave the raw return of a whole episode

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode.

        Raises:
            Fault: the environment raised, or returned what its spaces do not have.
        """
        try:
            observation, _ = self.env.reset(seed=seed, options=options)
        except (Exception, SystemExit) as error:
            raise self._fault(error) from error
        self._check(observation)
        return observation, {} if self._raw is None or self._gave else self._raw_return()

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Take an action.

        Raises:
            Fault: the environment raised, or returned what its spaces do not have.
        """
        try:
            observation, reward, terminated, truncated, info = self._take(action)
            if type(reward) not in NUMBERS:
                reward = number(reward, "reward")
        except (Exception, SystemExit) as error:
            raise self._fault(error) from error
        if type(observation) is not np.ndarray or observation.shape != self._shape:
            self._check(observation)
        kept = self._kept(info) if self._infos and (terminated or truncated) else {}
        if self._raw is not None:
            ended = self._raw_return()
            self._gave = bool(ended)
            kept |= ended
        return observation, reward, terminated, truncated, kept

    def _raw_return(self) -> dict[str, float]:
        """Return the raw return of a whole episode that has ended as an info; empty where none has."""
        assert self._raw is not None
        return {RAW: self._raw.ended.popleft()} if self._raw.ended else {}

    def raw_total(self) -> float:
        """Return the sum of raw rewards of the whole episode under way."""
        return 0.0 if self._raw is None else self._raw.total

    def close(self) -> None:
        """Close the environment; an error in that is logged, since the run itself is over."""
        try:
            super().close()
        except Exception as error:
            log.warning("environment %d could not be closed: %s", self._number, described(error))

    def _fault(self, error: BaseException) -> Fault:
        if isinstance(error, Fault):
            return error
        return Fault(f"{self._label()}: {described(error)}")

    def _label(self) -> str:
        """Return who speaks: outside a run, in `rlexp.evaluate`, there are no ranks."""
        rank = os.environ.get("RANK")
        return f"environment {self._number}" if rank is None else f"rank {rank}: environment {self._number}"

    def _check(self, observation: Any) -> None:
        """Check the shapes of an observation.

        Raises:
            Fault: one is not that of the space.
        """
        wrong = wrong_shape(observation, self.env.observation_space)
        if wrong is not None:
            where = source_of(self.env.unwrapped, "step")
            raise Fault(f"{self._label()}: {wrong} ({where})")

    def _kept(self, info: dict[str, Any]) -> dict[str, float]:
        """Return the values of an info that were asked for; those that are missing or no numbers are left out."""
        values = {}
        for name in self._infos:
            value = looked_up(info, name)
            try:
                values[name] = number(value, name)
            except TypeError:
                if not self._said:
                    self._said = True
                    has = ", ".join(sorted(map(str, info))) or "nothing"
                    found = "is missing" if value is None else f"is {type(value).__name__}, not a number"
                    print(f"warning: log.infos: {name} {found} in the info of an episode's last step, which has: {has}",
                          file=sys.stderr, flush=True)  # fmt: skip
        return values


def looked_up(info: Any, name: str) -> Any:
    """Return the value of a name in an info, or of a path `a.b` into nested dicts; None where it is missing."""
    if isinstance(info, dict) and name in info:
        return info[name]
    first, point, rest = name.partition(".")
    return looked_up(info[first], rest) if point and isinstance(info, dict) and first in info else None


def number(value: Any, what: str) -> float:
    """Return a number, bool or array of no axis as a float.

    Raises:
        TypeError: it is something else.
    """
    if isinstance(value, int | float | np.number | np.bool_) or (np.ndim(value) == 0 and hasattr(value, "__float__")):
        return float(value)
    shape = f" of shape {list(np.shape(value))}" if np.ndim(value) else ""
    raise TypeError(f"the {what} is {type(value).__name__}{shape}, not a number")


def wrong_shape(observation: Any, space: gymnasium.Space[Any], name: str = "the observation") -> str | None:
    """Return what is wrong with the shapes of an observation; None where they are those of the space."""
    if isinstance(space, gymnasium.spaces.Dict):
        if not isinstance(observation, dict) or space.spaces.keys() - observation.keys():
            has = sorted(map(str, observation)) if isinstance(observation, dict) else type(observation).__name__
            return f"{name} is {has}, but its space has the parts {sorted(space.spaces)}"
        parts = [(observation[key], part, f"part {key!r} of {name}") for key, part in space.spaces.items()]
        return next(filter(None, (wrong_shape(*part) for part in parts)), None)
    if isinstance(space, gymnasium.spaces.Tuple):
        if not isinstance(observation, tuple | list) or len(observation) != len(space.spaces):
            return f"{name} is {type(observation).__name__}, but its space is a Tuple of {len(space.spaces)}"
        parts = [(observation[i], part, f"part {i} of {name}") for i, part in enumerate(space.spaces)]
        return next(filter(None, (wrong_shape(*part) for part in parts)), None)
    if space.shape is None or isinstance(space, gymnasium.spaces.Text):
        return None
    try:
        shape = np.shape(observation)
    except ValueError:  # ragged lists
        return f"{name} is ragged, but its space has the shape {list(space.shape)}"
    return None if shape == space.shape else f"{name} has shape {list(shape)}, but its space {list(space.shape)}"


def core(env: Any) -> Any:
    """Return an environment below the wrappers of gymnasium and rlexp: as its entry point made it."""
    while isinstance(env, gymnasium.Wrapper) and type(env).__module__.partition(".")[0] in ("gymnasium", "rlexp"):
        env = env.env
    return env


def source_of(env: Any, method: str) -> str:
    """Return file and line of a method of an environment, as `step in my_env.py:12`, or its class without a file."""
    import inspect

    function = getattr(type(env), method)
    try:
        return f"{method} in {shown(inspect.getsourcefile(function) or '?')}:{inspect.getsourcelines(function)[1]}"
    except (OSError, TypeError):
        return f"{method} of {type(env).__name__}"
