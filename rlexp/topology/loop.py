"""The one training loop. Coupled and decoupled, with and without overlap, wire it with their own trainer.

    player.collect() -> Collected -> trainer.update(Collected) -> Update -> run.record
         ^                                                |
         +-------------------- weights -------------------+

With overlap the player collects while the trainer learns from the rollout before, so that it acts with the weights of
exactly one update ago. Where something is due after an update, the next rollout waits until it is done.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from rlexp.data.exploration import Exploration
from rlexp.data.random_state import random_state
from rlexp.data.replay import Segment
from rlexp.data.rollout import Collected, Episode, Rollout, Update
from rlexp.data.state import LearnerState, RankState
from rlexp.launch.stopping import stop_requested, stopped, stopping_between_updates
from rlexp.launch.watch import Watch
from rlexp.learn.learner import Progress
from rlexp.models.actor import Actor

States = tuple[LearnerState, list[RankState | Segment]]
"""What is equal on all ranks that learn, and what is each rank's own."""
ENOUGH = 1_000
"""What asks to stop where a callback does: a number that is no signal's, and larger than all of them."""
Beat = Callable[[], object]
"""Called now and then by what takes long, so that ranks that wait do not give up."""


class Player(Protocol):
    """What the loop asks of a player."""

    def collect(self, exploration: Exploration) -> Collected:
        """Step every environment T times."""

    def state(self) -> Any:
        """Return what the next rollouts depend on, except the weights."""

    def load_state(self, state: Any) -> list[int]:
        """Resume from `state`; return the environments that begin a new episode instead."""

    def close(self) -> None:
        """Close the environments."""


class Trainer(Protocol):
    """What the loop asks of whoever learns: a local learner, or other ranks.

    Attributes:
        overlap: whether it learns while the player collects.
    """

    overlap: bool

    def start(self, collected: Collected, progress: Progress) -> None:
        """Begin to learn from a rollout."""

    def result(self) -> Update:
        """Wait for the update under way; from now on the player acts with its weights."""

    def agree(self, episodes: list[Episode], signum: int) -> tuple[list[Episode], int]:
        """Return the episodes of all ranks that collect, and the signal that asked any of them to stop, or 0."""

    def decide(self, evaluate: Callable[[Beat], bool]) -> bool:
        """Let rank 0 evaluate, however long it takes; return its answer on all ranks that collect."""

    def states(self, own: RankState) -> States | None:
        """Gather the states of all ranks on rank 0; None on the others."""

    def end(self, signum: int) -> None:
        """Tell ranks that only train that training is over; `signum`: because of a signal, or 0."""


@dataclass(frozen=True)
class Due:
    """What is due after an update."""

    log: bool
    evaluate: bool
    save: bool


class Run(Protocol):
    """What the loop asks of the run that it is part of. On ranks other than 0 `record` and `save` do nothing.

    Attributes:
        planned: updates of the whole run.
        total: updates after which training ends: those planned, or fewer where a resumed run is good enough already.
    """

    planned: int
    total: int

    def begin(self, actor: Actor) -> None:
        """Take note that training begins; `actor` has the weights of now, at all times."""

    def collected(self, collected: Collected) -> None:
        """Take note of a rollout of this rank, before it is learned from."""

    def enough(self) -> bool | None:
        """Return whether a callback on this rank has ended training; None on all ranks where there are none."""

    def callbacks(self) -> list[Any]:
        """Return the states of this rank's callbacks."""

    def due(self, updates: int) -> Due:
        """Return what is due after so many updates."""

    def record(self, number: int, update: Update, episodes: list[Episode], collect_seconds: float) -> None:
        """Take note of update `number`, counted from 1."""

    def evaluate(self, actor: Actor, beat: Beat) -> bool:
        """Evaluate the weights of now; return whether training ends because they are good enough; for rank 0 only."""

    def save(self, learner: LearnerState, ranks: list[RankState | Segment]) -> None:
        """Write a checkpoint."""


class Loop:
    """Trains until the run's updates are done.

    Args:
        player: of this rank.
        actor: what it acts by.
        trainer: learns from what it collects.
        run: what is recorded, and what is due when.
        watch: ends a rank that hangs.
        check: checks a rollout, collected after so many updates.
        explore: how a rollout explores, after so many updates.
        device: of this rank.
    """

    def __init__(
        self,
        player: Player,
        actor: Actor,
        trainer: Trainer,
        run: Run,
        watch: Watch,
        check: Callable[[Rollout, int], None],
        explore: Callable[[int], Exploration],
        device: torch.device,
    ) -> None:
        self._player = player
        self._actor = actor
        self._trainer = trainer
        self._run = run
        self._watch = watch
        self._check, self._explore = check, explore
        self._device = device

    def train(self, done: int = 0, collected: Collected | None = None) -> None:
        """Train.

        Args:
            done: updates that are done already.
            collected: a rollout that a checkpoint holds because it was not learned from yet.

        Raises:
            Interrupted: a stop was asked for; a checkpoint is written.
        """
        self._run.begin(self._actor)
        with stopping_between_updates():
            self._train(done, collected if done < self._run.total else None)
        self._trainer.end(0)

    def _train(self, done: int, learning: Collected | None) -> None:
        """Train; `learning` is what the trainer learns from while the player collects the next rollout."""
        if learning is not None:
            self._start(learning, done)
        while done + (learning is not None) < self._run.total:
            collected = self._collect(done + (learning is not None))
            if learning is not None and self._pauses(done + 1):
                done, _ = self._finish(done, learning)
                learning = None
                if self._follow_up(done, self._asked(), collected):
                    return
            self._start(collected, done + (learning is not None))
            if learning is not None:  # the trainer finds its next rollout while this update is recorded
                done, _ = self._finish(done, learning)
            learning = collected
            if not self._trainer.overlap:
                done, signum = self._finish(done, learning)
                learning = None
                if self._follow_up(done, signum, None):
                    return
        if learning is not None:
            done, _ = self._finish(done, learning)
            self._follow_up(done, self._asked(), None)

    def _collect(self, updates: int) -> Collected:
        with self._watch():
            collected = self._player.collect(self._explore(updates))
        self._check(collected.rollout, updates)
        self._run.collected(collected)
        return collected

    def _start(self, collected: Collected, updates: int) -> None:
        self._trainer.start(collected, Progress(updates, self._run.planned))

    def _finish(self, done: int, learned: Collected) -> tuple[int, int]:
        """Wait for the update under way and record it; return the updates done, and what asks to stop, or 0."""
        update = self._trainer.result()
        episodes, asked = self._trainer.agree(learned.episodes, self._asked())
        self._run.record(done + 1, update, episodes, learned.seconds)
        if self._run.enough() is not None:  # what a callback has just decided holds for all ranks
            asked = self._trainer.agree([], max(asked, self._asked()))[1]
        return done + 1, asked

    def _asked(self) -> int:
        """Return the signal that asks to stop, ENOUGH where a callback does, or 0."""
        return stop_requested() or (ENOUGH if self._run.enough() else 0)

    def _pauses(self, updates: int) -> bool:
        """Return whether the trainer gets nothing more to learn from after so many updates until that is done."""
        due = self._run.due(updates)
        return bool(self._asked()) or due.save or due.evaluate

    def _follow_up(self, updates: int, asked: int, ahead: Collected | None) -> bool:
        """Do what is due after an update, while the trainer waits; return whether training is over.

        `ahead` is collected but not learned from yet.

        Raises:
            Interrupted: a stop was asked for.
        """
        due = self._run.due(updates)
        over = due.evaluate and self._trainer.decide(lambda beat: self._run.evaluate(self._actor, beat))
        if asked or due.save:
            own = RankState(random_state(self._device), self._player.state(), None, ahead, self._run.callbacks())
            states = self._trainer.states(own)
            if states is not None:
                self._run.save(*states)
        if asked and asked != ENOUGH:
            self._trainer.end(asked)
            raise stopped(asked)
        return over or asked == ENOUGH
