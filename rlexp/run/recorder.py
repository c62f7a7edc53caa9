"""What a run leaves behind beside its summary: metrics.csv, TensorBoard, checkpoints and the log."""

from __future__ import annotations

import contextlib
import csv
import json
import math
import os
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlexp.data.rollout import Episode
from rlexp.data.types import Metrics, UpdateReport
from rlexp.errors import writing
from rlexp.files.rewind import EVENTS, OUTCOME, cut_evaluations, cut_events, cut_metrics, set_aside
from rlexp.files.summary import Summary, commit, versions

if TYPE_CHECKING:
    from rlexp.config.schema import Config
    from rlexp.models import ActorCritic
    from rlexp.run.evaluation import EvalResult
    from rlexp.show.display import Display

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
    "seconds",
    "Rewards/rew_avg",
    "Rewards/last_100",
    "Game/ep_len_avg",
    "Time/step_per_second",
    "Time/seconds",
    "Time/collect_seconds",
    "Time/update_seconds",
    *METRIC_NAMES.values(),
)
EVALUATION_COLUMNS = (
    "env_steps", "seconds", "episodes", "mean_return", "std_return", "mean_length", "lengths", "returns",
)  # fmt: skip
"""Those of evaluations.csv; lengths and returns are JSON lists, in the order of the episodes' seeds."""
NO_SCALARS = ("env_steps", "seconds")
"""Columns that TensorBoard has otherwise: its x axis, and Time/seconds."""
EPISODES_SHOWN = 100
TRAINING = "training episodes"


def info_name(name: str) -> str:
    """Return the name of the scalar for a value of the environment's infos that `log.infos` names."""
    return f"Game/{name}"


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else math.nan


class Recorder:
    """Rank 0 tells what happened; on the other ranks every call does nothing.

    Args:
        config: the experiment.
        run_dir: the directory of the run; None on ranks that do not record.
        display: shows progress to a person.
        start: what `state` returned, for a run that goes on; its logs are cut back to that.
    """

    def __init__(
        self, config: Config, run_dir: Path | None, display: Display | None, start: dict[str, Any] | None = None
    ) -> None:
        self._config, self._run_dir, self.display = config, run_dir, display
        start = start or {"updates": 0, "seconds": 0.0, "recent": []}
        self.updates: int = start["updates"]
        self.env_steps = self.updates * config.steps_per_update
        self._recent: deque[Episode] = deque((Episode(*item) for item in start["recent"]), maxlen=EPISODES_SHOWN)
        evaluation = f"{config.eval.episodes} episodes of at most {config.eval.max_episode_steps} steps"
        self._best_by = evaluation if config.eval.every else TRAINING
        self._best: float = start["best"] if start.get("best_by") == self._best_by else -math.inf
        self._last = time.perf_counter()
        self._begin: float = self._last - start["seconds"]
        self._saved = self.env_steps if self.updates else None
        self.evaluation: tuple[int, EvalResult] | None = None  # the last one in training, and after how many updates
        self._final: float | None = None  # mean return of the evaluation after training
        if run_dir is None:
            return
        self._open(run_dir, start.get("evaluated"))

    def _open(self, run_dir: Path, known: float | None) -> None:
        """Open the files; those of a resumed run are cut back to its checkpoint.

        Args:
            run_dir: where.
            known: the mean return of the evaluation of the weights in that checkpoint, if there was one.
        """
        from rlexp.files.tensorboard import TensorBoard

        config = self._config
        evaluated = known is not None
        with writing(run_dir / "metrics.csv"):
            if self.updates:
                cut_metrics(run_dir / "metrics.csv", self.updates)
            else:
                set_aside(run_dir / "checkpoints")
                set_aside(run_dir / "videos")
            self._file = (run_dir / "metrics.csv").open("a" if self.updates else "w", newline="")
            self._rows = csv.writer(self._file)
            if not self.updates:
                self._rows.writerow([*COLUMNS, *map(info_name, config.log.infos)])
        with writing(run_dir / "evaluations.csv"):
            resumed = self.updates > 0 and cut_evaluations(run_dir / "evaluations.csv", self.env_steps, evaluated)
            self._evaluations = (run_dir / "evaluations.csv").open("a" if resumed else "w", newline="")
            if not resumed:
                csv.writer(self._evaluations).writerow(EVALUATION_COLUMNS)
                self._evaluations.flush()
        with writing(run_dir / EVENTS):
            cut_events(run_dir, self.env_steps, evaluated)
            given = Summary(run_dir).read().get("overrides") or []
            self._board = TensorBoard(run_dir, config, resumed=self.updates > 0, given=given)

    def state(self) -> dict[str, Any]:
        """Return what a run that goes on must know: updates, wall time, the last episodes, the best mean return."""
        recent = [[episode.episode_return, episode.length] for episode in self._recent]
        return {
            "updates": self.updates,
            "seconds": self.seconds,
            "recent": recent,
            "best": self._best,
            "best_by": self._best_by,
            "evaluated": self._evaluated(),
        }

    @property
    def seconds(self) -> float:
        """Wall time of the loop, earlier parts of the run included."""
        return self._last - self._begin

    def leave_out(self, seconds: float) -> None:
        """Take wall time that was spent on something else out of the loop's."""
        self._begin, self._last = self._begin + seconds, self._last + seconds

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
        speed = steps / (now - self._last)
        self._last = now
        row = self._row(report, speed)
        with writing(self._run_dir / "metrics.csv"):
            self._rows.writerow(["" if isinstance(v, float) and math.isnan(v) else v for v in row.values()])
            self._file.flush()
            if os.fstat(self._file.fileno()).st_nlink == 0:
                raise OSError("it was removed")
        scalars = {k: v for k, v in row.items() if k not in NO_SCALARS and not math.isnan(v)}
        with writing(self._run_dir / EVENTS):
            self._board.scalars(self.env_steps, scalars)
        if self.display is not None:
            length = _mean([float(episode.length) for episode in self._recent])
            self.display.update(self.env_steps, self.seconds, self.mean_return(), length)

    def _row(self, report: UpdateReport, speed: float) -> dict[str, float]:
        values = {
            "env_steps": self.env_steps,
            "seconds": self.seconds,
            "Rewards/rew_avg": _mean([episode.episode_return for episode in report.episodes]),
            "Rewards/last_100": self.mean_return(),
            "Game/ep_len_avg": _mean([float(episode.length) for episode in report.episodes]),
            "Time/step_per_second": speed,
            "Time/seconds": self.seconds,
            "Time/collect_seconds": report.collect_seconds,
            "Time/update_seconds": report.update_seconds,
        }
        metrics: Metrics = report.metrics
        told = [episode.infos for episode in report.episodes if episode.infos]
        columns = zip(*told, strict=True) if told else [()] * len(self._config.log.infos)
        infos = {
            info_name(name): _mean([value for value in column if not math.isnan(value)])
            for name, column in zip(self._config.log.infos, columns, strict=True)
        }
        return values | {name: getattr(metrics, field) for field, name in METRIC_NAMES.items()} | infos

    def checkpoint(self, policy: ActorCritic, learner: dict[str, Any], ranks: list[dict[str, Any]]) -> None:
        """Write last.ckpt, and best.ckpt where these weights are the best so far.

        With `eval.every` that is by the mean return of an evaluation, else of the last 100 training episodes.

        Args:
            policy: the weights and statistics after the last update recorded.
            learner: what is equal on all ranks that learn.
            ranks: what is each rank's own, in the order of ranks.
        """
        if self._run_dir is None or self._saved == self.env_steps:
            return
        from rlexp.config.compose import algorithm_name, plain
        from rlexp.files import checkpoint

        with writing(self._run_dir / "metrics.csv"):
            self._file.flush()
            os.fsync(self._file.fileno())
        with writing(self._run_dir / EVENTS):
            self._board.flush()
        best = self._are_best()
        state = {
            "algo": algorithm_name(self._config),
            "config": plain(self._config),
            "policy": {name: value.detach().cpu().clone() for name, value in policy.state_dict().items()},
            "learner": learner,
            "ranks": ranks,
            "recorder": self.state(),
            "updates": self.updates,
            "env_steps": self.env_steps,
            "versions": versions(),
            "commit": commit(),
        }
        folder = self._run_dir / "checkpoints"
        if best:
            checkpoint.save(folder / checkpoint.BEST, state)
        checkpoint.save_last(folder, state, self._config.checkpoint.keep, self._saved)
        self._saved = self.env_steps

    def _are_best(self) -> bool:
        """Return whether the weights after the last update are as good as any before, and note how good they are."""
        if self._best_by == TRAINING:
            value = self.mean_return() if self._recent else -math.inf
        else:
            evaluated = self._evaluated()
            if evaluated is None:
                return False
            value = evaluated
        best = value >= self._best
        self._best = max(self._best, value)
        return best

    def _evaluated(self) -> float | None:
        """Return the mean return of an evaluation of the weights after the last update; None if there was none."""
        return self.evaluation[1].mean_return if self.evaluation and self.evaluation[0] == self.updates else None

    def test(self, result: EvalResult) -> None:
        """Record an evaluation of the weights after the last update, and its video.

        Those of the stream `selection` decide which weights are the best; they come before the final one.
        """
        if result.stream == "selection":
            self.evaluation = self.updates, result
        else:
            self._final = result.mean_return
        if self._run_dir is None:
            return
        with writing(self._run_dir / "evaluations.csv"):
            self._write_evaluation(result)
        with writing(self._run_dir / EVENTS):
            self._board.scalars(self.env_steps, {"Test/cumulative_reward": result.mean_return})
            if result.video is not None:
                with self.display.doing("video for TensorBoard") if self.display else contextlib.nullcontext():
                    self._board.video(self.env_steps, result.video)

    def _write_evaluation(self, result: EvalResult) -> None:
        """Write a row of evaluations.csv, at once and for good: a checkpoint counts on it."""
        values = result.as_dict() | {"env_steps": self.env_steps, "seconds": self.seconds}
        values |= {"lengths": json.dumps(result.lengths), "returns": json.dumps(result.returns)}
        csv.writer(self._evaluations).writerow([values[name] for name in EVALUATION_COLUMNS])
        self._evaluations.flush()
        os.fsync(self._evaluations.fileno())

    def _outcome(self) -> dict[str, float]:
        """Return what TensorBoard's hparams tab compares runs by: the numbers that there are."""
        final = self.mean_return() if self._final is None else self._final
        best = self._best if math.isnan(final) else max(self._best, final)
        speed = self.env_steps / self.seconds if self.seconds > 0 else math.nan
        values = dict(zip(OUTCOME, (final, best, speed), strict=True))
        return {name: value for name, value in values.items() if math.isfinite(value)}

    def close(self) -> None:
        """Close the files and the display."""
        if self._run_dir is None:
            return
        with contextlib.ExitStack() as stack:  # all of it, whatever of it fails
            if self.display is not None:
                stack.callback(self.display.close)
            stack.enter_context(writing(self._run_dir / EVENTS))
            stack.callback(self._board.close, self.env_steps, self._outcome())
            stack.enter_context(writing(self._run_dir / "evaluations.csv"))
            stack.callback(self._evaluations.close)
            stack.enter_context(writing(self._run_dir / "metrics.csv"))
            stack.callback(self._file.close)
