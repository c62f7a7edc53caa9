"""A trial of an environment before anything is launched: a reset and a few steps, held against its own spaces."""

from __future__ import annotations

import contextlib
import faulthandler
import signal
import threading
from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np

from rlexp.envs.guard import core, number, source_of, wrong_shape
from rlexp.errors import ConfigError, described, place_of

Env = gymnasium.Env[Any, Any]
STEPS = 3
GRACE = 5.0
"""Seconds after the time limit in which Python may still raise the error."""
TOLERANCE = 1e-4
"""By which an observation may pass a bound, relative to it: rounding."""


def check_trial(env: Env, seconds: float) -> None:
    """Reset an environment and take a few steps, first without gymnasium's and our wrappers and then with them.

    Args:
        env: the environment, as it will be stepped; its spaces are supported.
        seconds: after which a call that does not return is given up.

    Raises:
        ConfigError: names what it returns or raises that its spaces, or gymnasium, do not allow, and the place.
    """
    for layer in dict.fromkeys((core(env), env)):
        env.action_space.seed(0)
        layer.action_space.seed(0)
        observation, _ = _reset(layer, seconds)
        _check_observation(layer, observation, "reset")
        for _ in range(STEPS):
            observation, done = _step(layer, seconds)
            _check_observation(layer, observation, "step")
            if done:
                _check_observation(layer, _reset(layer, seconds, None)[0], "reset")


def close(env: Env, seconds: float) -> None:
    """Close an environment after its trial.

    Raises:
        ConfigError: it raised.
    """
    with _told("close", seconds):
        env.close()


def first_info(env: Env, seconds: float) -> dict[str, Any]:
    """Reset an environment and return its info.

    Raises:
        ConfigError: it raised, or returned something else.
    """
    return _reset(env, seconds)[1]


def _reset(env: Env, seconds: float, seed: int | None = 0) -> tuple[Any, dict[str, Any]]:
    with _told("reset", seconds):
        result = env.reset(seed=seed)
    if not isinstance(result, tuple) or len(result) != 2 or not isinstance(result[1], dict):
        raise ConfigError(
            f"reset returned {_kind(result)}, but gymnasium asks for (observation, info) with info a dict: "
            f"{source_of(env.unwrapped, 'reset')}"
        )
    return result


def _step(env: Env, seconds: float) -> tuple[Any, bool]:
    """Take a random action; return the observation, and whether the episode ended."""
    action = env.action_space.sample()
    with _told("step", seconds):
        result = env.step(action)
    where = source_of(env.unwrapped, "step")
    if not isinstance(result, tuple) or len(result) != 5:
        raise ConfigError(
            f"step returned {_kind(result)}, but gymnasium asks for (observation, reward, terminated, truncated, "
            f"info): {where}"
        )
    observation, reward, *flags, info = result
    try:
        number(reward, "reward")
    except TypeError as error:
        raise ConfigError(f"{error}: {where}") from None
    for name, flag in zip(("terminated", "truncated"), flags, strict=True):
        if np.ndim(flag) != 0 or np.asarray(flag).dtype.kind not in "bui":
            raise ConfigError(f"{name} is {_kind(flag)}, not a bool: {where}")
    if not isinstance(info, dict):
        raise ConfigError(f"the info of step is {_kind(info)}, not a dict: {where}")
    return observation, any(flags)


def _kind(value: Any) -> str:
    """Return what a value is, for a person."""
    if isinstance(value, tuple):
        return f"a tuple of {len(value)}"
    shape = f" of shape {list(value.shape)}" if isinstance(value, np.ndarray) else ""
    return f"{type(value).__name__}{shape}"


@contextlib.contextmanager
def _told(method: str, seconds: float) -> Iterator[None]:
    """Turn what an environment raises in a method, or that it does not return, into one line."""
    try:
        with _time_limit(seconds):
            yield
    except _TooLong as error:
        where = place_of(error)
        raise ConfigError(f"{method} did not return within fabric.timeout_seconds={seconds:g} ({where})") from error
    except (Exception, SystemExit) as error:
        raise ConfigError(f"{method} raised {described(error)}") from error


class _TooLong(BaseException):
    """No Exception, so that the environment does not catch it."""


@contextlib.contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Raise _TooLong where what is within takes longer; in threads other than the main one there is no limit.

    Compiled code that never returns to Python cannot be interrupted: a few seconds later the process writes its stack
    to the standard error and ends.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def give_up(signum: int, frame: object) -> None:
        raise _TooLong

    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    faulthandler.dump_traceback_later(seconds + GRACE, exit=True, file=2)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


# Observations


def _check_observation(env: Env, observation: Any, method: str) -> None:
    """Check shape, type and bounds of an observation, part by part.

    Raises:
        ConfigError: names the first that is wrong.
    """
    wrong = wrong_shape(observation, env.observation_space) or wrong_values(observation, env.observation_space)
    if wrong is not None:
        raise ConfigError(f"{wrong}: {source_of(env.unwrapped, method)}; mend the environment, or give env.check=false")


def wrong_values(observation: Any, space: gymnasium.Space[Any], name: str = "the observation") -> str | None:
    """Return what is wrong with types and values of an observation of the right shapes; None where nothing is."""
    if isinstance(space, gymnasium.spaces.Dict):
        parts = [(observation[key], part, f"part {key!r} of {name}") for key, part in space.spaces.items()]
        return next(filter(None, (wrong_values(*part) for part in parts)), None)
    if isinstance(space, gymnasium.spaces.Tuple):
        parts = [(observation[i], part, f"part {i} of {name}") for i, part in enumerate(space.spaces)]
        return next(filter(None, (wrong_values(*part) for part in parts)), None)
    if isinstance(space, gymnasium.spaces.Box):
        return _wrong_box(np.asarray(observation), space, name)
    if isinstance(space, gymnasium.spaces.Discrete):
        good = np.issubdtype(np.asarray(observation).dtype, np.integer)
        if not good or not space.start <= int(observation) < space.start + space.n:
            return f"{name} is {observation!r}, but its space allows {space.start} to {space.start + space.n - 1}"
    return None


def _wrong_box(values: np.ndarray[Any, Any], space: gymnasium.spaces.Box, name: str) -> str | None:
    wanted = np.dtype(space.dtype)
    if values.dtype.kind not in "biuf":
        return f"{name} has dtype {values.dtype}, but its space {wanted}"
    with np.errstate(invalid="ignore"):
        cast = values.astype(wanted)
    if wanted.kind in "iub" and values.dtype.kind == "f" and not np.array_equal(cast.astype(values.dtype), values):
        return f"{name} has dtype {values.dtype} with fractions, but its space {wanted}"
    low, high = np.asarray(space.low, np.float64), np.asarray(space.high, np.float64)
    exact = values.astype(np.float64)
    with np.errstate(invalid="ignore"):
        room = TOLERANCE * np.maximum(1.0, np.where(np.isfinite(low), np.abs(low), 0))
        below = exact < low - room
        room = TOLERANCE * np.maximum(1.0, np.where(np.isfinite(high), np.abs(high), 0))
        above = exact > high + room
    if not (below | above).any():
        return None
    place = tuple(int(axis) for axis in np.argwhere(below | above)[0])
    at = f" at {list(place)}" if place else ""
    return f"{name} is {exact[place]:g}{at}, but its space allows {low[place]:g} to {high[place]:g}"
