"""Videos of whole episodes, written frame by frame: memory stays flat however long an episode is.

A file that is being written is `step-N.mp4`, N being the environment steps over all ranks when the episode began. When
the episode ends it is renamed to `step-N-return-R.mp4`, R being the sum of raw rewards, rounded; one that ends before
its episode does is `step-N-return-R-cut.mp4`.
"""

from __future__ import annotations

import contextlib
import filecmp
import itertools
import logging
import math
import os
import sys
from pathlib import Path
from typing import Any, SupportsFloat

import gymnasium

from rlexp.envs.encoder import Encoder, VideoSettings
from rlexp.envs.frames import Frames
from rlexp.errors import writing

log = logging.getLogger(__name__)

DEFAULT_FPS, MOST_FPS = 30.0, 240.0

Env = gymnasium.Env[Any, Any]


class VideoRecorder(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Records episodes of an environment; what cannot be drawn is said once and never ends training.

    Args:
        env: the environment, with a render mode that returns frames; all its wrappers but the one for resuming are
            inside, so that a frame is what one action led to, and the return is that of the episode.
        settings: which episodes, and where to.
        repeat: frames of the environment's own rate that one action takes.
    """

    def __init__(self, env: Env, settings: VideoSettings, repeat: int = 1) -> None:
        super().__init__(env)
        self._settings, self._fps = settings, max(1.0, frames_per_second(env) / repeat)
        self._begun, self._taken = -1, 0  # steps taken when the episode began, and now
        self._last = False
        self._drawing = True
        self._said = set[str]()
        self._encoder: Encoder | None = None
        self._recording = False
        self._path = Path()
        self._frames = Frames()
        self._return, self._steps = 0.0, 0

    def place(self, begun: int, previous: int) -> None:
        """Let the next episode be the one that begins after `begun` steps of this environment; see `due`.

        The video under way, of an episode that was not to be, is removed.
        """
        self._steps = 0
        self._finish(cut=True)
        self._begun, self._taken = previous, begun

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode."""
        self._finish(cut=True)
        result = self.env.reset(seed=seed, options=options)
        previous, self._begun = self._begun, self._taken
        last = not self._last and self._settings.last(self._begun, previous)
        self._last = self._last or last
        if self._drawing and (last or self._settings.due(self._begun, previous)):
            self._recording, self._frames = True, Frames()
            self._return, self._steps = 0.0, 0
            step = self._settings.start + self._begun * self._settings.stride
            self._path = self._settings.folder / f"step-{step}.mp4"
            self._draw()
        return result

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Take an action."""
        result = self.env.step(action)
        self._taken += 1
        if self._recording:
            self._return += float(result[1])
            self._steps += 1
            self._draw()
            over = bool(result[2] or result[3])
            if not over and self._steps >= self._settings.max_steps:
                self._say(
                    "limit", "a video was cut at video.max_steps=%d; the episode is played on", self._settings.max_steps
                )
                self._finish(cut=True)
            elif over:
                self._finish(cut=False)
        return result

    def close(self) -> None:
        """Close the environment; the video under way is playable."""
        try:
            self._finish(cut=True)
        finally:
            super().close()

    def _draw(self) -> None:
        """Write what the environment shows.

        Raises:
            Fault: the file cannot be written.
        """
        try:
            rendered = self.env.render()
        except Exception as error:  # whatever it is: training does not need the video
            reason = " ".join(str(error).split())
            self._say("render", "render() raised %s: %s; no more videos are recorded", type(error).__name__, reason)
            self._drawing = False
            self._finish(cut=True)
            return
        try:
            frames = self._frames.read(rendered)
        except (ValueError, TypeError) as error:
            self._say("frame", "render() returned no picture (%s): that frame is left out", error)
            return
        if rendered is None:
            self._say("none", "render() returned None: that frame is left out")
        if self._frames.resized:
            self._say("size", "frames change their size: they are resized to the first one of each video")
        for frame in frames:
            with writing(self._path):
                if self._encoder is None:
                    self._path.parent.mkdir(parents=True, exist_ok=True)
                    self._encoder = Encoder(self._path, self._fps, frame)
                self._encoder.write(frame)

    def _finish(self, cut: bool) -> None:
        """End the video under way, if there is one; one of an episode without a step is removed.

        Raises:
            Fault: the file cannot be written.
        """
        self._recording = False
        if self._encoder is None:
            return
        encoder, self._encoder = self._encoder, None
        total = f"{self._return:.0f}" if abs(self._return) >= 10 else f"{round(self._return, 2) + 0.0:g}"
        with writing(self._path):
            encoder.close()
            if self._steps == 0:
                self._path.unlink()
                return
            path = _kept(self._path, f"{self._path.stem}-return-{total}{'-cut' if cut else ''}")
        if self._frames.plain:
            driver = os.environ.get("SDL_VIDEODRIVER")
            why = "SDL_VIDEODRIVER=dummy draws nothing; unset it or give SDL_VIDEODRIVER=offscreen"
            if driver != "dummy":
                why = "the environment draws nothing; see docs/videos.md"
            self._say("plain", "every frame of %s is of one colour: %s", path, why)

    def _say(self, what: str, message: str, *values: object) -> None:
        """Say something once, in the log and to the person."""
        if what not in self._said:
            self._said.add(what)
            log.warning(message, *values)
            print(f"warning: {message % values}", file=sys.stderr, flush=True)


def frames_per_second(env: Env) -> float:
    """Return the frame rate that an environment declares; 30 where it declares none that can be."""
    with contextlib.suppress(TypeError, ValueError, AttributeError):
        fps = float(env.metadata.get("render_fps") or DEFAULT_FPS)
        if math.isfinite(fps) and fps > 0:
            return min(fps, MOST_FPS)
    return DEFAULT_FPS


def _kept(path: Path, stem: str) -> Path:
    """Rename a file to `stem`, or to stem-2 and so on where another file has that name; return its new path.

    A resumed run records an episode again that was recorded after its checkpoint: an equal file is replaced.
    """
    for number in itertools.count(1):
        target = path.with_name(f"{stem}{'' if number == 1 else f'-{number}'}.mp4")
        if not os.path.lexists(target) or (target.is_file() and filecmp.cmp(path, target, shallow=False)):
            return path.replace(target)
    raise AssertionError("there is always a free name")


def recorded(folder: Path) -> dict[Path, int]:
    """Return the videos in a folder with the time of their last change."""
    return {path: path.stat().st_mtime_ns for path in folder.glob("*.mp4")}
