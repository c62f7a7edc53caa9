"""How one environment is built: gymnasium's own wrappers in a fixed order, and action repeat."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, SupportsFloat

import gymnasium
from gymnasium.wrappers import FrameStackObservation

from rlexp.config import EnvConfig
from rlexp.envs.headless import prepare_drawing
from rlexp.envs.replay import Replay
from rlexp.envs.video import VideoRecorder, VideoSettings

Env = gymnasium.Env[Any, Any]


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


def make_environment(config: EnvConfig, video: VideoSettings | None = None, drawing: bool = False) -> Env:
    """Build one environment.

    Args:
        config: the environment's settings.
        video: which of its episodes are recorded; None: none.
        drawing: whether `render` returns frames though nothing is recorded.
    """
    kwargs: dict[str, Any] = dict(config.kwargs)
    if config.max_episode_steps is not None:
        kwargs["max_episode_steps"] = config.max_episode_steps
    drawing = drawing or video is not None
    env = _drawing(config.id, kwargs) if drawing else gymnasium.make(config.id, **kwargs)
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


def maker(config: EnvConfig, video: VideoSettings | None, restorable: bool = True) -> Callable[[], Env]:
    """Return a function without arguments that builds the environment, such that its episodes can be played again.

    An environment that need not be `restorable` keeps no actions.
    """
    return lambda: Replay(make_environment(config, video), restorable)
