"""What one rank does between launch and end: the loop of its topology, then the evaluation."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from rlexp.data.replay import Segment
from rlexp.data.rollout import Collected, Episode, Update
from rlexp.data.state import LearnerState, RankState, Start
from rlexp.errors import writing
from rlexp.files import checkpoint
from rlexp.files.segments import rank_states
from rlexp.files.summary import Summary
from rlexp.launch.rank import Rank
from rlexp.learn.compiler import missing
from rlexp.models.actor import Actor
from rlexp.run.calling import Calling
from rlexp.run.evaluator import Evaluator
from rlexp.run.recorder import Recorder
from rlexp.run.schedule import schedule_of
from rlexp.show.display import Display
from rlexp.topology import coupled, decoupled
from rlexp.topology.loop import Beat, Due
from rlexp.topology.transport import receive_state, send_state

log = logging.getLogger(__name__)


def run_rank(rank: Rank) -> None:
    """Train, and on rank 0 evaluate and write the results down."""
    config = rank.config
    if rank.index == 0 and config.compiled and missing(rank.device) is None:
        print(
            "compiling the train step: the first update takes longer (seconds, or a minute the first time)", flush=True
        )
    start = start_of(rank)
    train = (decoupled if config.topology.name == "decoupled" else coupled).run
    if rank.index != 0:
        other = Record(rank, start)
        train(rank, other, start)
        other.finish()
        return
    record = RecordOfRank0(rank, start)
    summary = Summary(rank.run_dir)
    try:
        actor = train(rank, record, start)
        record.finish()
        with writing(summary.path):
            summary.change(**record.progress())
        results = record.results(actor)
        with writing(summary.path):
            summary.change(**results)
    except BaseException as error:
        record.ended("failed" if isinstance(error, Exception) else "aborted")
        with contextlib.suppress(OSError):  # of a full disk; what was raised says more
            summary.change(**record.progress())
        raise
    finally:
        record.close()


def start_of(rank: Rank) -> Start | None:
    """Return what this rank resumes from; None for a run that begins. Every rank must make this call.

    Rank 0 reads the checkpoint and sends the others their parts, so that all resume from the same one.
    """
    resumes = torch.tensor([int(rank.resume is not None)])
    if rank.size > 1:
        dist.broadcast(resumes, 0)
    if not resumes:
        return None
    if rank.index != 0:
        return receive_state(Start, 0)
    assert rank.resume is not None
    saved = checkpoint.load(rank.resume.checkpoint)
    ranks = rank_states(saved, rank.resume.checkpoint)
    for index in range(1, rank.size):
        send_state(Start(saved.learner, ranks[index], saved.recorder), index)
    log.info("resuming from %s after %d updates", rank.resume.checkpoint.name, saved.recorder.updates)
    return Start(saved.learner, ranks[0], saved.recorder)


class Record:
    """What the loop asks of the run, on a rank that writes nothing; see `rlexp.topology.loop.Run`."""

    def __init__(self, rank: Rank, start: Start | None) -> None:
        config = rank.config
        self._schedule = schedule_of(config)
        self.planned = self.total = config.updates
        stopped = None if start is None else start.recorder.stopped
        if start is not None and (stopped is not None or config.eval.reached(start.recorder.evaluated)):
            self.total = start.recorder.updates
        self._calling = Calling(rank, self._log, self._video, stopped)
        if start is not None:
            self._calling.load_states(start.own.callbacks)
            self._calling.updates = start.recorder.updates
            self._calling.env_steps = self._calling.updates * config.steps_per_update

    def begin(self, actor: Actor) -> None:
        """Let callbacks begin."""
        self._calling.start(actor)

    def collected(self, collected: Collected) -> None:
        """Call callbacks."""
        self._calling.rollout(collected)

    def enough(self) -> bool | None:
        """Return whether a callback on this rank has ended training; None where there are none."""
        return self._calling.stopped is not None if self._calling.config.callbacks else None

    def callbacks(self) -> list[Any]:
        """Return the states of this rank's callbacks."""
        return self._calling.states()

    def due(self, updates: int) -> Due:
        """Return what is due after so many updates."""
        return self._schedule.due(updates)

    def record(self, number: int, update: Update, episodes: list[Episode], collect_seconds: float) -> None:
        """Call callbacks."""
        self._calling.updates = number
        self._calling.env_steps = number * self._calling.config.steps_per_update
        self._calling.update(update, episodes)

    def evaluate(self, actor: Actor, beat: Beat) -> bool:
        """Never called on such a rank."""
        raise NotImplementedError

    def save(self, learner: LearnerState, ranks: list[RankState | Segment]) -> None:
        """Do nothing."""

    def finish(self) -> None:
        """Let callbacks end."""
        self._calling.end()

    def _log(self, tag: str, value: float) -> None:
        """Do nothing: rank 0 logs."""

    def _video(self, actor: Actor, folder: str, seed: int) -> Path | None:
        """Never called on such a rank."""
        raise NotImplementedError


class RecordOfRank0(Record):
    """The same on rank 0, which writes."""

    def __init__(self, rank: Rank, start: Start | None) -> None:
        super().__init__(rank, start)
        config = rank.config
        self._rank = rank
        display = Display(config.updates * config.steps_per_update)
        self._recorder = Recorder(config, rank.run_dir, display, start.recorder if start else None)
        self._evaluator = Evaluator(config, rank.watch, self._recorder, self._calling.evaluation)

    def record(self, number: int, update: Update, episodes: list[Episode], collect_seconds: float) -> None:
        """Write update `number` down, and call callbacks."""
        recorder, calling = self._recorder, self._calling
        recorder.update(number, update, episodes, collect_seconds)
        calling.seconds, calling.mean_return = recorder.seconds, recorder.mean_return()
        super().record(number, update, episodes, collect_seconds)
        recorder.stopped = calling.stopped
        recorder.write(self._schedule.due(number).log)

    def evaluate(self, actor: Actor, beat: Beat) -> bool:
        """Evaluate the weights of now; return whether training ends because of it."""
        reached = self._evaluator.reached_target(actor, beat)
        self._recorder.stopped = self._calling.stopped
        return reached or self._calling.stopped is not None

    def save(self, learner: LearnerState, ranks: list[RankState | Segment]) -> None:
        """Write a checkpoint."""
        self._calling.checkpoint(self._recorder.checkpoint(learner, ranks))

    def _log(self, tag: str, value: float) -> None:
        self._recorder.add(tag, value)

    def _video(self, actor: Actor, folder: str, seed: int) -> Path | None:
        return self._evaluator.video(actor, self._rank.run_dir / "videos" / folder, seed)

    def finish(self) -> None:
        """Write what no row of metrics.csv tells yet."""
        super().finish()
        self._recorder.finish()

    def progress(self) -> dict[str, Any]:
        """Return how far the run came; steps per second are those of the loop, without start-up and evaluation."""
        recorder = self._recorder
        early = {"stopped": recorder.stopped} if recorder.stopped is not None else {}
        return early | {
            "world_size": self._rank.size,
            "env_steps": recorder.env_steps,
            "updates": recorder.updates,
            "steps_per_second": recorder.env_steps / recorder.seconds if recorder.seconds > 0 else None,
            "objective": recorder.mean_return(),
        }

    def results(self, actor: Actor) -> dict[str, Any]:
        """Evaluate the trained actor; the objective is its mean return (without evaluation: of the last episodes)."""
        config = self._rank.config
        if config.eval.episodes == 0:
            return {}
        folder = self._rank.run_dir / "videos" / "test" if config.capture_video else None
        beat: Callable[[], object] = self._rank.beat
        result = self._evaluator.evaluate(actor, "final", folder, beat)
        self._recorder.display.close()
        return {"objective": result.mean_return, "eval": result.as_dict()}

    def ended(self, status: str) -> None:
        """Take note of how the run ended, where it did not succeed: failed or aborted."""
        self._recorder.status = status

    def close(self) -> None:
        """Close the files and the display."""
        self._recorder.close()
