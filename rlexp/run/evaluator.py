"""Evaluations of a run: every `eval.every` steps during training, and after it; rank 0 plays them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

from rlexp.config.schema import Config
from rlexp.launch.watch import Watch
from rlexp.models.actor import Actor
from rlexp.run.evaluation import EvalResult, cut_note, evaluate
from rlexp.run.recorder import Recorder

log = logging.getLogger(__name__)


class Evaluator:
    """Evaluates a run's weights, shows progress, and writes the results down.

    A single step that takes longer than fabric.timeout_seconds is a hang; the evaluation may take as long as it likes.

    Args:
        config: the experiment.
        watch: ends a rank that hangs.
        recorder: writes the results down.
        call: called with each result.
    """

    def __init__(
        self, config: Config, watch: Watch, recorder: Recorder, call: Callable[[EvalResult], None] = lambda result: None
    ) -> None:
        self._call = call
        self._config = config
        self._watch = watch
        self._recorder = recorder

    def reached_target(self, actor: Actor, beat: Callable[[], object]) -> bool:
        """Evaluate between updates; return whether the mean return is `eval.stop_at` or more.

        Args:
            actor: with the weights of now.
            beat: called now and then, so that ranks that wait do not give up.
        """
        begin = time.perf_counter()
        result = self.evaluate(actor, "selection", None, beat)
        self._recorder.leave_out(time.perf_counter() - begin)
        return self._config.eval.reached(result.mean_return)

    def evaluate(self, actor: Actor, stream: str, video_folder: Path | None, beat: Callable[[], object]) -> EvalResult:
        """Evaluate and record.

        Args:
            actor: what is evaluated.
            stream: see `rlexp.config.schema.STREAMS`.
            video_folder: where a video of the first episode is written; None: nowhere.
            beat: called now and then, so that ranks that wait do not give up.
        """
        config, display, env_steps = self._config, self._recorder.display, self._recorder.env_steps
        wait = config.fabric.timeout_seconds / 2
        beaten = time.monotonic()
        with self._watch() as renew, display.evaluating(config.eval.episodes):

            def progress(played: int, steps: int) -> None:
                nonlocal beaten
                renew()
                display.evaluated(played, steps)
                if time.monotonic() - beaten > wait:
                    beat()
                    beaten = time.monotonic()

            result = evaluate(
                config,
                actor,
                config.eval.episodes,
                seed=config.seed,
                stream=stream,
                video_folder=video_folder,
                env_steps=env_steps,
                progress=progress,
            )
        _log(result, env_steps)
        self._recorder.test(result)
        self._call(result)
        return result

    def video(self, actor: Actor, folder: Path, seed: int) -> Path | None:
        """Play one greedy episode and write its video into a folder; return the file, None where nothing is drawn."""
        begin = time.perf_counter()
        with self._watch() as renew:
            result = evaluate(
                self._config,
                actor,
                1,
                seed=seed,
                video_folder=folder,
                env_steps=self._recorder.env_steps,
                progress=lambda played, steps: renew(),
            )
        self._recorder.leave_out(time.perf_counter() - begin)
        return result.video


def _log(result: EvalResult, env_steps: int) -> None:
    values = result.as_dict()
    log.info(
        "%s evaluation after %d steps: mean return %.2f over %d episodes, seeds %s",
        result.stream,
        env_steps,
        result.mean_return,
        values["episodes"],
        values["seeds"],
    )
    note = cut_note(values)
    if note is not None:
        log.warning("%s", note)
