"""Evaluations during training: every `eval.every` steps, on rank 0, with the option to stop when good enough."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from rlexp.config import passes
from rlexp.evaluate import evaluate

if TYPE_CHECKING:
    from rlexp.launch import Rank
    from rlexp.logger import Recorder
    from rlexp.models import ActorCritic

log = logging.getLogger(__name__)


class Evaluator:
    """Evaluates the policy between updates; every rank asks `due`, rank 0 alone evaluates."""

    def __init__(self, rank: Rank, recorder: Recorder) -> None:
        self._rank, self._recorder = rank, recorder

    def due(self, updates: int) -> bool:
        """Return whether an evaluation follows this many updates: with `eval.every` also the last ones."""
        config = self._rank.config
        every = config.eval.every
        return every > 0 and (updates == config.updates or passes(every, config.steps_per_update, updates))

    def reached(self, policy: ActorCritic) -> bool:
        """Evaluate and record; return whether the mean return is `eval.stop_at` or more; on other ranks than 0, no."""
        if self._rank.index != 0:
            return False
        config, begin = self._rank.config, time.perf_counter()
        with self._rank.watch():
            result = evaluate(config, policy, config.eval.episodes, seed=config.seed)
        mean = result.mean_return
        self._recorder.test(result)
        self._recorder.leave_out(time.perf_counter() - begin)
        log.info("evaluation after %d steps: mean return %.2f", self._recorder.env_steps, mean)
        return config.eval.enough(mean)
