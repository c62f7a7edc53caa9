"""The callbacks that rlexp brings; `rlexp.plugins` has their names."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from rlexp import plugins
from rlexp.algos.base import Knobs
from rlexp.config.schema import Config
from rlexp.data.rollout import Episode, Update
from rlexp.errors import ConfigError, Fault
from rlexp.learn.callbacks import Callback, Evaluation, RunView


class EarlyStop(Callback):
    """Ends training when the return has not improved for a while.

    With `eval.every` the return is that of evaluations, else the mean of the last 100 training episodes.

    Args:
        patience: environment steps without improvement.
        min_improvement: by which a return must exceed the best so far to count.
        after: environment steps before which training is not ended.
    """

    def __init__(self, patience: int, min_improvement: float = 0.0, after: int = 0) -> None:
        if patience < 1 or min_improvement < 0 or after < 0:
            raise ConfigError(
                f"early_stop: patience={patience}, min_improvement={min_improvement:g}, after={after}; allowed: "
                "patience from 1 on, the others from 0 on"
            )
        self._patience, self._least, self._after = patience, min_improvement, after
        self._best, self._best_at = -math.inf, 0

    def on_update(self, run: RunView, update: Update, episodes: Sequence[Episode]) -> None:
        """Look at the training episodes, where nothing is evaluated."""
        if not run.config.eval.every:
            self._look(run, run.mean_return)

    def on_evaluation(self, run: RunView, result: Evaluation) -> None:
        """Look at an evaluation."""
        if run.config.eval.every:
            self._look(run, result.mean_return)

    def _look(self, run: RunView, value: float) -> None:
        if value > self._best + (self._least if math.isfinite(self._best) else 0.0):
            self._best, self._best_at = value, run.env_steps
        elif run.env_steps - self._best_at >= self._patience and run.env_steps >= self._after:
            run.stop(f"no return above {self._best:g} for {run.env_steps - self._best_at:,} steps")

    def state(self) -> dict[str, Any]:
        """Return the best return and when it was."""
        return {"best": self._best, "best_at": self._best_at}

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        self._best, self._best_at = state["best"], state["best_at"]


FUNCTIONS: dict[str, Callable[[float], float]] = {
    "constant": lambda progress: 1.0,
    "linear": lambda progress: 1.0 - progress,
    "cosine": lambda progress: 0.5 * (1.0 + math.cos(math.pi * progress)),
    "exponential": lambda progress: 0.01**progress,
}
"""From progress (0 to 1) to a factor (1 to 0; exponential: to 0.01)."""


class Schedule(Callback):
    """Changes a knob over the run: final + (setting - final) * function(progress).

    Args:
        key: the knob: learning_rate, clip_coef or ent_coef.
        function: constant, linear, cosine, exponential, or the path package.module:function of a function of progress.
        final: the value where the function is 0.
        until: progress at which the function has come to its end.
    """

    def __init__(self, key: str, function: str = "linear", final: float = 0.0, until: float = 1.0) -> None:
        if function not in FUNCTIONS and not plugins.is_path(function):
            raise ConfigError(
                f"schedule: function={function} is not known; known: {', '.join(FUNCTIONS)}, or a path "
                "package.module:function"
            )
        if not 0 < until <= 1:
            raise ConfigError(f"schedule: until={until:g} is out of range; allowed: 0 < until <= 1")
        self._key, self._final, self._until = key, final, until
        known = FUNCTIONS.get(function)
        self._function = known or plugins.imported_function(function, "callbacks")

    def knobs(self, config: Config, knobs: Knobs, progress: float) -> Knobs:
        """Return the knobs with the one that is scheduled.

        Raises:
            Fault: the algorithm has no such knob.
        """
        if self._key not in knobs:
            raise Fault(f"callbacks: schedule: {self._key} is no knob; knobs of this algorithm: {', '.join(knobs)}")
        start = float(getattr(config.algo, self._key))
        factor = float(self._function(min(1.0, progress / self._until)))
        return {**knobs, self._key: self._final + (start - self._final) * factor}


class MilestoneVideos(Callback):
    """Records a greedy episode the first time that the mean return of training passes each of some values.

    Args:
        returns: these values.
    """

    def __init__(self, returns: Sequence[float]) -> None:
        self._left = sorted(map(float, returns))

    def on_update(self, run: RunView, update: Update, episodes: Sequence[Episode]) -> None:
        """Record what is due."""
        passed = [value for value in self._left if run.mean_return >= value]
        if passed:
            self._left = self._left[len(passed) :]
            run.video("milestones", len(self._left))

    def state(self) -> dict[str, Any]:
        """Return the values that are left."""
        return {"left": self._left}

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        self._left = list(state["left"])
