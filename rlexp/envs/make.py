"""How one environment is built: its id, its wrappers in order, and what watches over it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.wrappers import FrameStackObservation

from rlexp import plugins
from rlexp.config.code import Entry, wrappers_of
from rlexp.config.environment import EnvConfig
from rlexp.envs.encoder import VideoSettings
from rlexp.envs.globals import OwnGlobals
from rlexp.envs.guard import Guard
from rlexp.envs.headless import prepare_drawing
from rlexp.envs.masks import WithActionMask, shows_mask
from rlexp.envs.packages import import_for
from rlexp.envs.raw import RawReturns
from rlexp.envs.restore import Replay
from rlexp.envs.text import without_text
from rlexp.envs.video import VideoRecorder
from rlexp.envs.wrappers import ActionRepeat
from rlexp.errors import ConfigError, described

Env = gymnasium.Env[Any, Any]
CONSTRUCTION = 1
"""Added to an environment's seed for what it draws while it is built, so that its first reset draws other numbers."""


def make_environment(
    config: EnvConfig,
    video: VideoSettings | None = None,
    drawing: bool = False,
    checked: bool = False,
    masked: bool = False,
) -> Env:
    """Build one environment.

    Args:
        config: the environment's settings.
        video: which of its episodes are recorded; None: none.
        drawing: whether `render` returns frames though nothing is recorded.
        checked: whether gymnasium's passive checker watches the first calls.
        masked: whether its observations have an action mask as a part.
    """
    kwargs: dict[str, Any] = copy.deepcopy(config.kwargs)  # an environment may write into what it is given
    if config.max_episode_steps is not None:
        kwargs["max_episode_steps"] = config.max_episode_steps
    import_for(config.id)
    # gymnasium's own checker is a wrapper that every step goes through; the trial before the launch uses it.
    kwargs["disable_env_checker"] = not checked
    drawing = drawing or video is not None
    env: Env = _drawing(config.id, kwargs) if drawing else gymnasium.make(config.id, **kwargs)
    wrappers = wrappers_of(config)
    if wrappers:
        env = RawReturns(env)
    if config.action_repeat > 1:
        env = ActionRepeat(env, config.action_repeat)
    for entry in wrappers:
        env = _wrapped(env, entry)
    env = without_text(env)
    if config.frame_stack > 1:
        env = FrameStackObservation(env, config.frame_stack)
    if masked and not shows_mask(env):
        env = WithActionMask(env)
    return env if video is None else VideoRecorder(env, video, config.action_repeat)


def _wrapped(env: Env, entry: Entry) -> Env:
    """Return an environment in one more wrapper.

    Raises:
        ConfigError: it is not there, or does not take this environment or its arguments.
    """
    wrapper = plugins.imported(entry.path, gymnasium.Wrapper, entry.key)
    try:
        wrapped: Env = wrapper(env, **copy.deepcopy(dict(entry.kwargs)))
    except ConfigError:
        raise
    except Exception as error:
        given = f" with {dict(entry.kwargs)}" if entry.kwargs else ""
        raise ConfigError(
            f"{entry.key}: {entry.path}{given} does not wrap this environment: {described(error)}"
        ) from error
    return wrapped


def _drawing(env_id: str, kwargs: dict[str, Any]) -> Env:
    """Build an environment whose `render` returns a frame, or a list of them where it has no other way."""
    with prepare_drawing():
        env: Env = gymnasium.make(env_id, render_mode="rgb_array", **kwargs)
        modes = env.metadata.get("render_modes", [])
        if "rgb_array" not in modes and "rgb_array_list" in modes:
            env.close()
            env = gymnasium.make(env_id, render_mode="rgb_array_list", **kwargs)
    return env


def maker(
    config: EnvConfig,
    number: int,
    video: VideoSettings | None = None,
    seed: int | None = None,
    infos: Sequence[str] = (),
    restorable: bool = True,
    masked: bool = False,
) -> Callable[[], Env]:
    """Return a function without arguments that builds an environment, such that its episodes can be played again.

    Args:
        config: the environment's settings.
        number: its number within its rank.
        video: which of its episodes are recorded; None: none.
        seed: of its first reset, from which the randomness of its construction derives; None: not known yet.
        infos: names of the values of its infos to keep, see `Guard`.
        restorable: whether its episodes must come back; else no actions are kept.
        masked: whether its observations have an action mask as a part.
    """

    def make() -> Env:
        own = OwnGlobals(alone=config.vectorization == "async")
        if seed is not None:
            own.seed(int(np.random.SeedSequence([seed, CONSTRUCTION]).generate_state(1)[0]))
        with own.running(reset=True):
            env = make_environment(config, video, masked=masked)
        return Replay(Guard(env, number, infos), own, restorable)

    return make
