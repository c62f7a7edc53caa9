"""How one environment is built: gymnasium's own wrappers in a fixed order, and action repeat."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, SupportsFloat

import gymnasium
import numpy as np
from gymnasium.wrappers import FrameStackObservation

from rlexp.config.environment import EnvConfig
from rlexp.envs.encoder import VideoSettings
from rlexp.envs.globals import OwnGlobals
from rlexp.envs.guard import Guard
from rlexp.envs.headless import prepare_drawing
from rlexp.envs.packages import import_for
from rlexp.envs.restore import Replay
from rlexp.envs.text import without_text
from rlexp.envs.video import VideoRecorder

Env = gymnasium.Env[Any, Any]
CONSTRUCTION = 1
"""Added to an environment's seed for what it draws while it is built, so that its first reset draws other numbers."""


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


def make_environment(
    config: EnvConfig, video: VideoSettings | None = None, drawing: bool = False, checked: bool = False
) -> Env:
    """Build one environment.

    Args:
        config: the environment's settings.
        video: which of its episodes are recorded; None: none.
        drawing: whether `render` returns frames though nothing is recorded.
        checked: whether gymnasium's passive checker watches the first calls.
    """
    kwargs: dict[str, Any] = copy.deepcopy(config.kwargs)  # an environment may write into what it is given
    if config.max_episode_steps is not None:
        kwargs["max_episode_steps"] = config.max_episode_steps
    import_for(config.id)
    # gymnasium's own checker is a wrapper that every step goes through; the trial before the launch uses it.
    kwargs["disable_env_checker"] = not checked
    drawing = drawing or video is not None
    env: Env = _drawing(config.id, kwargs) if drawing else gymnasium.make(config.id, **kwargs)
    env = without_text(env)
    if config.action_repeat > 1:
        env = ActionRepeat(env, config.action_repeat)
    if config.frame_stack > 1:
        env = FrameStackObservation(env, config.frame_stack)
    return env if video is None else VideoRecorder(env, video, config.action_repeat)


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
) -> Callable[[], Env]:
    """Return a function without arguments that builds an environment, such that its episodes can be played again.

    Args:
        config: the environment's settings.
        number: its number within its rank.
        video: which of its episodes are recorded; None: none.
        seed: of its first reset, from which the randomness of its construction derives; None: not known yet.
        infos: names of the values of its infos to keep, see `Guard`.
        restorable: whether its episodes must come back; else no actions are kept.
    """

    def make() -> Env:
        own = OwnGlobals(alone=config.vectorization == "async")
        if seed is not None:
            own.seed(int(np.random.SeedSequence([seed, CONSTRUCTION]).generate_state(1)[0]))
        with own.running(reset=True):
            env = make_environment(config, video)
        return Replay(Guard(env, number, infos), own, restorable)

    return make
