"""Calls the callbacks of a run, and is what they see of it."""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rlexp.config.schema import Config
from rlexp.data.rollout import Collected, Episode, Update
from rlexp.errors import ConfigError, Fault, described
from rlexp.launch.rank import Rank
from rlexp.learn.callbacks import Callback, Evaluation, build_callbacks
from rlexp.models.actor import Actor

log = logging.getLogger(__name__)

Log = Callable[[str, float], None]
"""Takes a tag and a value."""
Video = Callable[[Actor, str, int], Path | None]
"""Plays an episode of an actor; takes the folder of its video and a seed too."""


class Calling:
    """The callbacks of one rank, and the view of the run that they get; see `rlexp.learn.callbacks.RunView`.

    Args:
        rank: this rank.
        log: takes what they log.
        video: plays and records an episode.
        stopped: why an earlier part of the run was ended by one; None: it was not.
    """

    actor: Actor

    def __init__(self, rank: Rank, log: Log, video: Video, stopped: str | None = None) -> None:
        self.config: Config = rank.config
        self.run_dir, self.rank = rank.run_dir, rank.index
        self.env_steps = self.updates = 0
        self.seconds, self.mean_return = 0.0, math.nan
        self.stopped = stopped
        self._log, self._video = log, video
        built = build_callbacks(rank.config) if rank.index < rank.config.players else []
        self._callbacks: list[Callback] = [each for each in built if rank.index == 0 or each.all_ranks]

    # What callbacks may do

    def log(self, tag: str, value: float) -> None:
        """Log a scalar.

        Raises:
            Fault: no callback declares it.
        """
        if not any(tag in callback.scalars for callback in self._callbacks):
            raise Fault(f"callbacks: {tag} is logged, but no callback declares it; add it to `scalars` of the class")
        self._log(tag, float(value))

    def stop(self, reason: str) -> None:
        """End training after this update."""
        if self.stopped is None:
            self.stopped = reason
            log.info("a callback ends training after %d steps: %s", self.env_steps, reason)

    def video(self, folder: str, seed: int) -> Path | None:
        """Play one greedy episode and write its video."""
        return self._video(self.actor, folder, seed) if self.rank == 0 else None

    # What the run calls

    def start(self, actor: Actor) -> None:
        """Call them before the first rollout."""
        self.actor = actor
        self._each(lambda callback: callback.on_start(self))

    def rollout(self, collected: Collected) -> None:
        """Call them after a rollout."""
        self._each(lambda callback: callback.on_rollout(self, collected))

    def update(self, update: Update, episodes: Sequence[Episode]) -> None:
        """Call them after an update."""
        self._each(lambda callback: callback.on_update(self, update, episodes))

    def evaluation(self, result: Evaluation) -> None:
        """Call them after an evaluation."""
        self._each(lambda callback: callback.on_evaluation(self, result))

    def checkpoint(self, path: Path) -> None:
        """Call them after a checkpoint is written."""
        self._each(lambda callback: callback.on_checkpoint(self, path))

    def end(self) -> None:
        """Call them after training."""
        self._each(lambda callback: callback.on_end(self))

    def _each(self, call: Callable[[Callback], None]) -> None:
        for callback in self._callbacks:
            with _named(callback):
                call(callback)

    # What a checkpoint holds

    def states(self) -> list[Any]:
        """Return the state of each."""
        found = []
        for callback in self._callbacks:
            with _named(callback):
                found.append(callback.state())
        return found

    def load_states(self, states: Sequence[Any]) -> None:
        """Continue from what `states` returned.

        Raises:
            Fault: the run had other callbacks then.
        """
        if len(states) != len(self._callbacks):
            count = len(self._callbacks)
            raise Fault(f"the checkpoint holds the states of {len(states)} callbacks, but the run has {count}")
        for callback, state in zip(self._callbacks, states, strict=True):
            with _named(callback):
                callback.load_state(state)


@contextlib.contextmanager
def _named(callback: Callback) -> Iterator[None]:
    """Turn what a callback raises into one line with its name."""
    try:
        yield
    except (Fault, ConfigError):
        raise
    except Exception as error:
        raise Fault(f"callback {type(callback).__name__}: {described(error)}") from error
