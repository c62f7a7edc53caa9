"""The files of a run beside its summary: metrics.csv, evaluations.csv, loggers, checkpoints; rank 0 writes them."""

from __future__ import annotations

import contextlib
import math
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path

from rlexp.config.compose import algorithm_name, plain
from rlexp.config.schema import Config
from rlexp.data.replay import Segment
from rlexp.data.rollout import Episode, Update
from rlexp.data.scalars import AXES, OUTCOME, TEST, Scalar
from rlexp.data.state import LearnerState, RankState, RecorderState, Saved
from rlexp.errors import writing
from rlexp.files import checkpoint
from rlexp.files.loggers import Loggers
from rlexp.files.metrics import EvaluationsFile, MetricsFile
from rlexp.files.places import LAST
from rlexp.files.rewind import EVENTS, cut_events, set_aside
from rlexp.files.segments import remove_unused
from rlexp.files.summary import Summary, commit, versions
from rlexp.learn.callbacks import named_scalars
from rlexp.run.evaluation import EvalResult
from rlexp.run.window import OpenWindow, mean
from rlexp.show.display import Display

RECENT = 100
"""Episodes over which progress is shown."""
TRAINING = "training episodes"


class Recorder:
    """Writes down what happens in a run.

    Args:
        config: the experiment.
        run_dir: the directory of the run.
        display: shows progress to a person.
        start: of a resumed run; its files are cut back to that.
    """

    def __init__(self, config: Config, run_dir: Path, display: Display, start: RecorderState | None = None) -> None:
        self._config = config
        self._run_dir = run_dir
        self.display = display
        own = [Scalar(tag, tag, "Of a callback.") for tag in named_scalars(config)]
        self._window = OpenWindow(
            config.algo.all_scalars(), config.log.infos, bool(config.env.wrappers), own, start.window if start else None
        )
        self.stopped = start.stopped if start else None  # why a callback has ended training
        self.updates = start.updates if start else 0
        self._rows = start.rows if start else 0
        self._recent: deque[Episode] = deque(start.recent if start else (), maxlen=RECENT)
        evaluation = f"{config.eval.episodes} episodes of at most {config.eval.max_episode_steps} steps"
        self._best_by = evaluation if config.eval.every else TRAINING
        self._best = start.best if start and start.best_by == self._best_by else -math.inf
        self._saved = self.env_steps if start else None
        self._evaluated: float | None = None  # mean return of an evaluation after the last update, if there was one
        self._final: float | None = None  # mean return of the evaluation after training
        self.status = "success"  # as loggers call it; of a run that ends otherwise, its caller says so
        self._open(start is not None and start.evaluated is not None, start.loggers if start else {})
        self._last = time.perf_counter()
        self._begin = self._last - (start.seconds if start else 0.0)

    def _open(self, evaluated: bool, versions: Mapping[str, str]) -> None:
        """Open the files; those of a resumed run are cut back to its checkpoint.

        Args:
            evaluated: whether the weights in that checkpoint were evaluated.
            versions: names of the runs that earlier parts were logged as, by logger.
        """
        run_dir = self._run_dir
        if not self.updates:
            with writing(run_dir):
                set_aside(run_dir / "checkpoints")
                set_aside(run_dir / "videos")
        self._metrics = MetricsFile(run_dir, self._window.columns, self._rows, resumed=self.updates > 0)
        self._evaluations = EvaluationsFile(run_dir, self.env_steps, evaluated)
        with writing(run_dir / EVENTS):
            cut_events(run_dir, self.env_steps, evaluated)
        given = Summary(run_dir).read().get("overrides") or []
        self._loggers = Loggers(self._config, run_dir, given, self.updates > 0, versions)

    @property
    def env_steps(self) -> int:
        """Environment steps so far, over all ranks."""
        return self.updates * self._config.steps_per_update

    @property
    def seconds(self) -> float:
        """Wall time of the loop, earlier parts of the run included."""
        return self._last - self._begin

    def leave_out(self, seconds: float) -> None:
        """Take wall time that was spent on something else out of the loop's."""
        self._begin, self._last = self._begin + seconds, self._last + seconds

    def mean_return(self) -> float:
        """Return the mean return of the last 100 training episodes; NaN before the first."""
        return mean([episode.episode_return for episode in self._recent])

    def update(self, number: int, update: Update, episodes: list[Episode], collect_seconds: float) -> None:
        """Take note of an update."""
        self._last = time.perf_counter()
        self.updates, self._evaluated = number, None
        self._recent.extend(episodes)
        self._window.add(update, episodes, collect_seconds)

    def add(self, tag: str, value: float) -> None:
        """Take note of a scalar that a callback logs."""
        self._window.add_own(tag, value)

    def write(self, log: bool) -> None:
        """Show the last update; with `log`, write a row of metrics.csv and the same scalars into TensorBoard."""
        if log:
            self._log()
        length = mean([float(episode.length) for episode in self._recent])
        self.display.update(self.env_steps, self.seconds, self.mean_return(), length)

    def finish(self) -> None:
        """Write the row of what came after the last one: training may end before a row is due."""
        if not self._window.empty:
            self._log()

    def _log(self) -> None:
        row = self._window.row(self.env_steps, self.seconds, self._config.steps_per_update, self.mean_return())
        self._metrics.write(row)
        self._rows += 1
        axes = [scalar.tag for scalar in AXES]
        scalars = {tag: value for tag, value in row.items() if tag not in axes and not math.isnan(value)}
        self._loggers.scalars(self.env_steps, scalars)

    def state(self) -> RecorderState:
        """Return what a resumed run must know of the files and of what the next rows depend on."""
        return RecorderState(
            updates=self.updates,
            rows=self._rows,
            seconds=self.seconds,
            recent=list(self._recent),
            best=self._best,
            best_by=self._best_by,
            evaluated=self._evaluated,
            window=self._window.state(),
            stopped=self.stopped,
            loggers=self._loggers.versions,
        )

    def checkpoint(self, learner: LearnerState, ranks: list[RankState | Segment]) -> Path:
        """Write the last checkpoint, return its path, and write the best one where these weights are the best so far.

        With `eval.every` that is by the mean return of an evaluation, else of the last 100 training episodes.

        Args:
            learner: what is equal on all ranks that learn.
            ranks: what is each rank's own, in the order of ranks.
        """
        folder = self._run_dir / "checkpoints"
        if self._saved == self.env_steps:
            return folder / LAST
        self._metrics.sync()
        self._loggers.flush()
        best = self._are_best()
        state = Saved(
            algo=algorithm_name(self._config),
            config=plain(self._config),
            env_steps=self.env_steps,
            learner=learner,
            ranks=ranks,
            recorder=self.state(),
            versions=versions(),
            commit=commit(),
        )
        if best:
            checkpoint.save(folder / checkpoint.BEST, state)
        checkpoint.save_last(folder, state, self._config.checkpoint.keep, self._saved)
        remove_unused(folder)
        self._saved = self.env_steps
        return folder / LAST

    def _are_best(self) -> bool:
        """Return whether the weights after the last update are as good as any before, and note how good they are."""
        if self._best_by == TRAINING:
            value = self.mean_return() if self._recent else -math.inf
        elif self._evaluated is None:
            return False
        else:
            value = self._evaluated
        best = value >= self._best
        self._best = max(self._best, value)
        return best

    def test(self, result: EvalResult) -> None:
        """Record an evaluation of the weights after the last update, and its video.

        Those of the stream `selection` decide which weights are the best; they come before the final one.
        """
        if result.stream == "selection":
            self._evaluated = result.mean_return
        else:
            self._final = result.mean_return
        values = result.as_dict() | {"env_steps": self.env_steps, "seconds": self.seconds}
        self._evaluations.write(values | {"lengths": result.lengths})
        self._loggers.scalars(self.env_steps, {TEST.tag: result.mean_return})
        if result.video is not None:
            with self.display.doing("video for TensorBoard"):
                self._loggers.video(self.env_steps, result.video)

    def _outcome(self) -> dict[str, float]:
        """Return what TensorBoard's hparams tab compares runs by: the numbers that there are."""
        final = self.mean_return() if self._final is None else self._final
        best = self._best if math.isnan(final) else max(self._best, final)
        speed = self.env_steps / self.seconds if self.seconds > 0 else math.nan
        values = {"final": final, "best": best, "steps_per_second": speed}
        return {scalar.tag: values[scalar.name] for scalar in OUTCOME if math.isfinite(values[scalar.name])}

    def close(self) -> None:
        """Close the files and the display."""
        with contextlib.ExitStack() as stack:  # all of it, whatever of it fails
            stack.callback(self.display.close)
            stack.callback(self._loggers.close, self.env_steps, self._outcome(), self.status)
            stack.callback(self._evaluations.close)
            stack.callback(self._metrics.close)
