"""How one environment is built: gymnasium's own wrappers in a fixed order, and action repeat."""

from __future__ import annotations

import copy
import multiprocessing
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, SupportsFloat

import gymnasium
import numpy as np
from gymnasium.wrappers import FrameStackObservation, RecordVideo

from rlexp.config import EnvConfig
from rlexp.envs.guard import Guard
from rlexp.envs.packages import import_for
from rlexp.envs.randomness import OwnGlobals
from rlexp.envs.replay import Replay
from rlexp.faults import writing

Env = gymnasium.Env[Any, Any]
CONSTRUCTION = 1
"""Added to an environment's seed for what it draws while it is built, so that its first reset draws other numbers."""


class Film(RecordVideo):
    """Films episodes, and says in one line where a film cannot be written."""

    def stop_recording(self) -> None:
        """Write the film of the episode that has ended.

        Raises:
            Fault: it cannot be written.
        """
        path, frames = Path(self.video_folder) / f"{self._video_name}.mp4", len(self.recorded_frames)
        with writing(path):
            super().stop_recording()  # type: ignore[no-untyped-call]  # gymnasium's
            # ffmpeg may have failed after the last frame, which moviepy does not ask; it writes the index, moov, last.
            if frames and b"moov" not in path.read_bytes():
                raise OSError("the film is not whole; is the disk full?")


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
    config: EnvConfig, video_folder: Path | None = None, video_name: str = "train", checked: bool = False
) -> Env:
    """Build one environment.

    Args:
        config: the environment's settings.
        video_folder: where its episodes are filmed as mp4; None: not filmed.
        video_name: first part of the files' names. For "test" the first episode alone is filmed, otherwise episodes 0,
            1, 8, 27, ..., then each 1000th (gymnasium's own schedule).
        checked: whether gymnasium's passive checker watches the first calls.
    """
    kwargs: dict[str, Any] = copy.deepcopy(config.kwargs)  # an environment may write into what it is given
    if config.max_episode_steps is not None:
        kwargs["max_episode_steps"] = config.max_episode_steps
    if video_folder is not None:
        kwargs["render_mode"] = "rgb_array"
        if not {"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys():
            os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # else pygame complains where there is no screen
    import_for(config.id)
    # gymnasium's own checker is a wrapper that every step goes through; the trial before the launch uses it.
    env: Env = gymnasium.make(config.id, disable_env_checker=not checked, **kwargs)
    if video_folder is not None:
        trigger = (lambda episode: episode == 0) if video_name == "test" else None
        env = Film(env, str(video_folder), trigger, name_prefix=video_name, disable_logger=True)
    if config.action_repeat > 1:
        env = ActionRepeat(env, config.action_repeat)
    if config.frame_stack > 1:
        env = FrameStackObservation(env, config.frame_stack)
    return env


def maker(
    config: EnvConfig,
    number: int,
    video_folder: Path | None,
    video_name: str,
    seed: int | None = None,
    infos: Sequence[str] = (),
) -> Callable[[], Env]:
    """Return a function without arguments that builds an environment, such that its episodes can be played again.

    Args:
        config: the environment's settings.
        number: its number within its rank.
        video_folder: see `make_environment`.
        video_name: see `make_environment`.
        seed: of its first reset, from which the randomness of its construction derives; None: not known yet.
        infos: names of the values of its infos to keep, see `Guard`.
    """

    def make() -> Env:
        own = OwnGlobals(alone=config.vectorization == "async" and multiprocessing.parent_process() is not None)
        if seed is not None:
            own.seed(int(np.random.SeedSequence([seed, CONSTRUCTION]).generate_state(1)[0]))
        with own.running(reset=True):
            env = make_environment(config, video_folder, video_name)
        return Replay(Guard(env, number, infos), own)

    return make
