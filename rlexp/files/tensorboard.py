"""TensorBoard: scalars of an update as one event, hyperparameters, and the test video as an animated image."""

from __future__ import annotations

import io
import logging
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from rlexp.config.compose import algorithm_name
from rlexp.config.schema import Config as Schema
from rlexp.data.scalars import OUTCOME
from rlexp.files.rewind import EVENTS_END
from rlexp.settings import as_yaml, fields_of

if TYPE_CHECKING:
    from rlexp.config.schema import Config

IDENTIFYING = ("seed", "total_timesteps", "env.id", "env.num_envs")
PLACES = ("resume",)
log = logging.getLogger(__name__)

MAX_FRAMES = 150
MAX_SIDE = 300
"""Bounds of the animated image: frames are left out and scaled down to stay within them."""


class TensorBoard:
    """Writes one event file into the run's directory, so that TensorBoard calls the run by the directory's name.

    Args:
        folder: the run's directory.
        config: the experiment.
        resumed: an earlier event file of this run holds the hyperparameters already.
        given: the words of the command line; see `hyperparameters`.
    """

    def __init__(self, folder: Path, config: Config, resumed: bool = False, given: Sequence[str] = ()) -> None:
        self._hook_before, threading.excepthook = threading.excepthook, self._quiet
        self._writer = SummaryWriter(str(folder), filename_suffix=EVENTS_END)
        self._file = self._writer._get_file_writer()
        experiment, start, self._end = hparams(hyperparameters(config, given), {scalar.tag: 0.0 for scalar in OUTCOME})
        if not resumed:
            given_first(experiment, named(given))
            self._file.add_summary(experiment)
            self._file.add_summary(start)

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Write scalars, all at environment step `step`."""
        summary = Summary(value=[Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()])
        self._file.add_summary(summary, step)

    def video(self, step: int, path: Path) -> None:
        """Write an mp4 file as an animated image; one that cannot be read is left out, and the log says so."""
        try:
            encoded, height, width = animated(path)
        except (OSError, IndexError, KeyError, ValueError) as error:
            log.warning("%s cannot be read for TensorBoard: %s", path, " ".join(str(error).split())[:300])
            return
        image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=encoded)
        self._file.add_summary(Summary(value=[Summary.Value(tag="Test/video", image=image)]), step)

    def flush(self) -> None:
        """Hand all events to the system."""
        self._writer.flush()

    def close(self, step: int, outcome: dict[str, float]) -> None:
        """Write the metrics of the hparams tab, end the session and flush."""
        try:
            if outcome:
                self.scalars(step, outcome)
            self._file.add_summary(self._end)
            self._writer.close()
        finally:
            threading.excepthook = self._hook_before

    def _quiet(self, error: threading.ExceptHookArgs) -> None:
        """Leave what the system refuses the thread that writes to the one that asks it next, which raises it."""
        if not isinstance(error.exc_value, OSError):
            self._hook_before(error)


def hyperparameters(config: Config, given: Sequence[str]) -> dict[str, bool | int | float | str]:
    """Return what the hparams tab compares: numbers as numbers, true, false, null and lists as text.

    That is every setting of the algorithm, those that identify an experiment, those that differ from the defaults, and
    those on the command line, so that no column of a sweep has gaps.
    """
    defaults = {key: value for key, value, _ in fields_of(Schema(algo=type(config.algo)()))}
    said = named(given)
    values: dict[str, bool | int | float | str] = {"algo": algorithm_name(config)}
    for key, value, _ in fields_of(config):
        shown = key in IDENTIFYING or key.startswith("algo.") or key in said
        if (shown or value != defaults[key]) and key not in PLACES:
            number = isinstance(value, int | float) and not isinstance(value, bool)
            values[key] = value if number else as_yaml(value)
    return values


def named(words: Sequence[str]) -> set[str]:
    """Return the keys of key=value words."""
    return {word.lstrip("+~").partition("=")[0] for word in words}


def given_first(experiment: Summary, keys: set[str]) -> None:
    """Mark the hyperparameters that were given as those that differ: the hparams tab shows them before the others.

    It cannot tell itself which ones differ between runs once their list is written, which it must be for its metrics.
    """
    plugin = experiment.value[0].metadata.plugin_data
    data = HParamsPluginData.FromString(plugin.content)
    for info in data.experiment.hparam_infos:
        info.differs = info.name in keys
    plugin.content = data.SerializeToString()


def animated(path: Path) -> tuple[bytes, int, int]:
    """Return an mp4 file as GIF bytes, with height and width in pixels."""
    from moviepy import VideoFileClip  # slow to import, and only for videos
    from PIL import Image

    with VideoFileClip(str(path), audio=False) as clip:
        total = max(1, round(clip.duration * clip.fps))
        stride = -(-total // MAX_FRAMES)
        frames = []
        for number, frame in enumerate(clip.iter_frames()):
            if number % stride == 0:
                picture = Image.fromarray(frame)
                picture.thumbnail((MAX_SIDE, MAX_SIDE))
                frames.append(picture)
        milliseconds = 1000 * stride / clip.fps
    buffer = io.BytesIO()
    options: dict[str, Any] = {"save_all": True, "append_images": frames[1:], "loop": 0}
    frames[0].save(buffer, "GIF", duration=milliseconds, **options)
    return buffer.getvalue(), frames[0].height, frames[0].width
