"""Evaluations of a run: every `eval.every` steps during training, and after it; rank 0 plays them."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from rlexp.config.schema import passes
from rlexp.run.evaluation import cut_note, evaluate

if TYPE_CHECKING:
    from rlexp.launch.rank import Rank
    from rlexp.models import ActorCritic
    from rlexp.run.evaluation import EvalResult
    from rlexp.run.recorder import Recorder

log = logging.getLogger(__name__)


def evaluate_watched(
    rank: Rank,
    recorder: Recorder,
    policy: ActorCritic,
    stream: str,
    video_folder: Path | None = None,
    beat: Callable[[], object] = lambda: None,
) -> EvalResult:
    """Evaluate, show progress, and say in the log what came of it.

    A single step that takes longer than fabric.timeout_seconds is a hang; the evaluation may take as long as it likes.

    Args:
        rank: this rank.
        recorder: has the display.
        policy: what is evaluated.
        stream: see `rlexp.evaluate.STREAMS`.
        video_folder: where a video of the first episode is written; None: nowhere.
        beat: called now and then, so that ranks that wait do not give up.
    """
    config, display = rank.config, recorder.display
    episodes, wait = config.eval.episodes, config.fabric.timeout_seconds / 2
    shown = contextlib.nullcontext() if display is None else display.evaluating(episodes)
    beaten = time.monotonic()
    with rank.watch() as renew, shown:

        def progress(played: int, steps: int) -> None:
            nonlocal beaten
            renew()
            if display is not None:
                display.evaluated(played, steps)
            if time.monotonic() - beaten > wait:
                beat()
                beaten = time.monotonic()

        result = evaluate(
            config, policy, episodes, seed=config.seed, stream=stream, video_folder=video_folder,
            env_steps=recorder.env_steps, progress=progress,
        )  # fmt: skip
    values = result.as_dict()
    log.info(
        "%s evaluation after %d steps: mean return %.2f over %d episodes, seeds %s",
        stream, recorder.env_steps, result.mean_return, episodes, values["seeds"],
    )  # fmt: skip
    note = cut_note(values)
    if note is not None:
        log.warning("%s", note)
    return result


class Evaluator:
    """Evaluates the policy between updates; every rank asks `due`, rank 0 alone evaluates."""

    def __init__(self, rank: Rank, recorder: Recorder) -> None:
        self._rank, self._recorder = rank, recorder

    def due(self, updates: int) -> bool:
        """Return whether an evaluation follows this many updates: with `eval.every` also the last ones."""
        config = self._rank.config
        every = config.eval.every
        return every > 0 and (updates == config.updates or passes(every, config.steps_per_update, updates))

    def reached(self, policy: ActorCritic, beat: Callable[[], object] = lambda: None) -> bool:
        """Evaluate and record; return whether the mean return is `eval.stop_at` or more; for rank 0 only.

        `beat` is called now and then, so that ranks that wait do not give up.
        """
        begin = time.perf_counter()
        result = evaluate_watched(self._rank, self._recorder, policy, "selection", beat=beat)
        self._recorder.test(result)
        self._recorder.leave_out(time.perf_counter() - begin)
        return self._rank.config.eval.enough(result.mean_return)
