"""What a run leaves behind: summary.json, metrics.csv, TensorBoard, checkpoints and the log."""

from __future__ import annotations

import contextlib
import csv
import importlib.metadata
import json
import logging
import math
import os
import platform
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlexp.faults import writing
from rlexp.types import Episode, Metrics, UpdateReport

if TYPE_CHECKING:
    from rlexp.config import Config
    from rlexp.display import Display
    from rlexp.models import ActorCritic

METRIC_NAMES = {
    "policy_loss": "Loss/policy_loss",
    "value_loss": "Loss/value_loss",
    "entropy_loss": "Loss/entropy_loss",
    "approx_kl": "Loss/approx_kl",
    "clip_fraction": "Loss/clip_fraction",
    "explained_variance": "Info/explained_variance",
    "value_mean": "Info/value_mean",
    "grad_norm": "Info/grad_norm",
    "skipped_steps": "Info/skipped_steps",
    "learning_rate": "Info/learning_rate",
}
COLUMNS = (
    "env_steps",
    "Rewards/rew_avg",
    "Game/ep_len_avg",
    "Time/step_per_second",
    "Time/collect_seconds",
    "Time/update_seconds",
    *METRIC_NAMES.values(),
)
EPISODES_SHOWN = 100
LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write JSON to a temporary file and rename it into place; numbers that are not finite become null."""

    def clean(value: Any) -> Any:
        if isinstance(value, float) and not math.isfinite(value):
            return None
        if isinstance(value, Mapping):
            return {key: clean(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [clean(item) for item in value]
        return value

    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        temporary.unlink(missing_ok=True)
        with temporary.open("x") as file:  # x: follows no link
            file.write(json.dumps(clean(values), indent=2) + "\n")
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that decide a result."""
    names = ("rlexp", "torch", "lightning", "gymnasium", "hydra-core", "numpy")
    found = {"python": platform.python_version()}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


class Summary:
    """summary.json: the state of a run and what came of it."""

    def __init__(self, run_dir: Path) -> None:
        self._path = run_dir / "summary.json"

    def start(self, world_size: int) -> None:
        """Write the state `running` and empty results."""
        values = {
            "state": "running",
            "error": None,
            "world_size": world_size,
            "env_steps": 0,
            "updates": 0,
            "wall_seconds": 0.0,
            "steps_per_second": None,
            "objective": None,
            "eval": None,
            "versions": versions(),
        }
        write_json(self._path, values)

    def change(self, **values: Any) -> None:
        """Change some of the values."""
        write_json(self._path, {**self.read(), **values})

    def read(self) -> dict[str, Any]:
        """Return the values; empty if there are none yet."""
        if not self._path.is_file():
            return {}
        values: dict[str, Any] = json.loads(self._path.read_text())
        return values


class _LogFile(logging.FileHandler):
    """A log that stays as it is where it cannot be written: no reason to end a run, which fails elsewhere then."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a message if that can be done."""
        with contextlib.suppress(OSError):
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:
        """Leave it."""

    def close(self) -> None:
        """Close the file, whatever of it can be written."""
        with contextlib.suppress(OSError):
            super().close()


def log_to(path: Path) -> logging.Handler:
    """Send every logger's messages from level INFO on to a file; return the handler, to be removed at the end."""
    handler = _LogFile(path, delay=True)
    handler.setFormatter(logging.Formatter(LOG_FORMAT))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    return handler


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else math.nan


class Recorder:
    """Rank 0 tells what happened; on the other ranks every call does nothing.

    Args:
        config: the experiment.
        run_dir: the directory of the run; None on ranks that do not record.
        display: shows progress to a person.
    """

    def __init__(self, config: Config, run_dir: Path | None, display: Display | None) -> None:
        self._config, self._run_dir, self.display = config, run_dir, display
        self._begin = self._last = time.perf_counter()
        self._recent: deque[Episode] = deque(maxlen=EPISODES_SHOWN)
        self._best = -math.inf
        self.updates = 0
        self.env_steps = 0
        if run_dir is None:
            return
        from rlexp.tensorboard import TensorBoard

        with writing(run_dir / "metrics.csv"):
            self._file = (run_dir / "metrics.csv").open("w", newline="")
            self._rows = csv.writer(self._file)
            self._rows.writerow(COLUMNS)
        with writing(run_dir / "tensorboard"):
            self._board = TensorBoard(run_dir / "tensorboard", config)

    @property
    def seconds(self) -> float:
        """Wall time since the loop began."""
        return self._last - self._begin

    def mean_return(self) -> float:
        """Return the mean return of the last 100 training episodes; NaN before the first."""
        return _mean([episode.episode_return for episode in self._recent])

    def update(self, report: UpdateReport) -> None:
        """Record an update: a row of metrics.csv, the same scalars in TensorBoard, and progress."""
        if self._run_dir is None:
            return
        now = time.perf_counter()
        steps = self._config.steps_per_update
        self.updates, self.env_steps = report.number, report.number * steps
        self._recent.extend(report.episodes)
        row = self._row(report, steps / (now - self._last))
        self._last = now
        with writing(self._run_dir / "metrics.csv"):
            self._rows.writerow(["" if isinstance(v, float) and math.isnan(v) else v for v in row.values()])
            self._file.flush()
            if os.fstat(self._file.fileno()).st_nlink == 0:
                raise OSError("it was removed")
        scalars = {k: v for k, v in row.items() if k != "env_steps" and not math.isnan(v)}
        with writing(self._run_dir / "tensorboard"):
            self._board.scalars(self.env_steps, scalars)
        if self.display is not None:
            length = _mean([float(episode.length) for episode in self._recent])
            self.display.update(self.env_steps, self.seconds, self.mean_return(), length)

    def _row(self, report: UpdateReport, speed: float) -> dict[str, float]:
        values = {
            "env_steps": self.env_steps,
            "Rewards/rew_avg": _mean([episode.episode_return for episode in report.episodes]),
            "Game/ep_len_avg": _mean([float(episode.length) for episode in report.episodes]),
            "Time/step_per_second": speed,
            "Time/collect_seconds": report.collect_seconds,
            "Time/update_seconds": report.update_seconds,
        }
        metrics: Metrics = report.metrics
        return values | {name: getattr(metrics, field) for field, name in METRIC_NAMES.items()}

    def checkpoint(self, policy: ActorCritic, learner: dict[str, Any]) -> None:
        """Write last.ckpt, and best.ckpt where the mean return of the last 100 episodes is the best so far."""
        if self._run_dir is None:
            return
        from rlexp import checkpoint
        from rlexp.config import algorithm_name, plain

        state = {
            "algo": algorithm_name(self._config),
            "config": plain(self._config),
            "policy": {name: value.detach().cpu().clone() for name, value in policy.state_dict().items()},
            "learner": learner,
            "updates": self.updates,
            "env_steps": self.env_steps,
            "versions": versions(),
        }
        folder = self._run_dir / "checkpoints"
        checkpoint.save(folder / checkpoint.LAST, state)
        mean_return = -math.inf if math.isnan(self.mean_return()) else self.mean_return()  # NaN: no episode has ended
        if mean_return >= self._best:
            self._best = mean_return
            checkpoint.save(folder / checkpoint.BEST, state)

    def test(self, mean_return: float, video: Path | None) -> None:
        """Record the evaluation after training, and its film."""
        if self._run_dir is None:
            return
        with writing(self._run_dir / "tensorboard"):
            self._board.scalars(self.env_steps, {"Test/cumulative_reward": mean_return})
            if video is not None:
                self._board.video(self.env_steps, video)

    def close(self) -> None:
        """Close the files and the display."""
        if self._run_dir is None:
            return
        with contextlib.ExitStack() as stack:  # all of it, whatever of it fails
            if self.display is not None:
                stack.callback(self.display.close)
            stack.enter_context(writing(self._run_dir / "tensorboard"))
            stack.callback(self._board.close)
            stack.enter_context(writing(self._run_dir / "metrics.csv"))
            stack.callback(self._file.close)
