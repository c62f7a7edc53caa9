"""What a checkpoint holds, and where a run resumes: frozen, typed, and made of tensors and plain values.

`rlexp.files.codec` turns these dataclasses into bytes and back; it knows those of STATES.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from rlexp.data.replay import ReplayRows, ReplayState, Segment
from rlexp.data.rollout import Collected, Episode, Rollout


@dataclass(frozen=True)
class GlobalGenerators:
    """The states of the global random generators of one process.

    Attributes:
        python: version, numbers and position of Python's generator, [626] int64.
        python_gauss: its second normal number, if there is one.
        numpy: numbers of numpy's generator, [624] int64.
        numpy_position: where it is among them.
        numpy_has_gauss: whether it holds a second normal number (0 or 1).
        numpy_gauss: that number.
        torch: of torch's generator on the CPU, uint8.
        cuda: of torch's generator on this rank's GPU, uint8; None on the CPU.
    """

    python: Tensor
    python_gauss: float | None
    numpy: Tensor
    numpy_position: int
    numpy_has_gauss: int
    numpy_gauss: float
    torch: Tensor
    cuda: Tensor | None


@dataclass(frozen=True)
class PlayerState:
    """A player between two rollouts.

    Attributes:
        next_obs: rows that are acted on next, [N, D].
        returns: of the episodes under way, [N] float64.
        lengths: of the episodes under way, [N] int64.
        generator: of the noise of actions, uint8.
        environments: what each environment recorded to play its episode again (`rlexp.envs.restore`); empty where that
            cannot be done.
        state: of recurrent networks, [N, S] float32; S = 0 without any.
    """

    next_obs: Tensor
    returns: Tensor
    lengths: Tensor
    generator: Tensor
    environments: list[Any]
    state: Tensor


@dataclass(frozen=True)
class TensorPlayerState:
    """A player of tensor environments between two rollouts.

    Attributes:
        next_obs: rows that are acted on next, [N, D] float32.
        returns: of the episodes under way, [N] float64.
        lengths: of the episodes under way, [N] int64.
        generator: of all noise, uint8.
        states: of the environments, [N, S] float64.
        elapsed: steps since the episodes began, [N] int64.
        memory: state of recurrent networks, [N, S] float32; S = 0 without any.
    """

    next_obs: Tensor
    returns: Tensor
    lengths: Tensor
    generator: Tensor
    states: Tensor
    elapsed: Tensor
    memory: Tensor


@dataclass(frozen=True)
class MemoryState:
    """What one rank's memory needs to continue.

    Attributes:
        discounted: discounted returns of the episodes under way, [N] float32.
        generator: of the order of minibatches, uint8.
        critic: the critic's own recurrent state of each environment, [N, *] float32; empty without one.
    """

    discounted: Tensor
    generator: Tensor
    critic: Tensor


@dataclass(frozen=True)
class LearnerState:
    """What is equal on all ranks that learn.

    Attributes:
        agent: weights and statistics by name.
        optimizers: the state of each part's optimizer, as torch returns it.
        steps: batches that the stepper has taken.
        precision: the scale of losses; empty without one.
        reward_moments: statistics of discounted returns by name.
    """

    agent: dict[str, Tensor]
    optimizers: dict[str, Any]
    steps: int
    precision: dict[str, Any]
    reward_moments: dict[str, Tensor]


@dataclass(frozen=True)
class RankState:
    """What is one rank's own.

    Attributes:
        generators: its global random generators.
        player: its environments; None on a rank without any.
        memory: what it learns from; None on a rank that does not learn.
        collected: collected, but not learned from yet (with `topology.overlap`).
        callbacks: the states of this rank's callbacks.
    """

    generators: GlobalGenerators
    player: PlayerState | TensorPlayerState | None
    memory: MemoryState | ReplayState | None
    collected: Collected | None
    callbacks: list[Any]


@dataclass(frozen=True)
class Window:
    """What happened since the last row of metrics.csv.

    Attributes:
        updates: how many.
        sums: of each scalar of an update, over the updates that have one.
        counts: of these updates.
        episodes: that ended.
        collect_seconds: of all rollouts.
        update_seconds: of all updates.
        seconds: wall time of training at the last row.
    """

    updates: int
    sums: list[float]
    counts: list[int]
    episodes: list[Episode]
    collect_seconds: float
    update_seconds: float
    seconds: float


@dataclass(frozen=True)
class RecorderState:
    """What the files of a run hold, and what the next rows of them depend on.

    Attributes:
        updates: done.
        rows: of metrics.csv.
        seconds: wall time of training.
        recent: the last 100 training episodes.
        best: the best mean return so far; -inf before the first.
        best_by: which returns it is a mean of.
        evaluated: the mean return of an evaluation of these weights; None if there was none.
        window: what no row tells yet.
        stopped: why a callback has ended training; None: none has.
        loggers: names of the runs that this one is logged as, by logger.
    """

    updates: int
    rows: int
    seconds: float
    recent: list[Episode]
    best: float
    best_by: str
    evaluated: float | None
    window: Window
    stopped: str | None
    loggers: dict[str, str]


@dataclass(frozen=True)
class Saved:
    """All that a checkpoint holds.

    Attributes:
        algo: name of the algorithm, as `algo=` takes it.
        config: the experiment in plain values.
        env_steps: environment steps so far, over all ranks.
        learner: what is equal on all ranks that learn.
        ranks: what is each rank's own, in the order of ranks; large ones in segments.
        recorder: what the files of the run hold.
        versions: of Python and of the packages that decide a result.
        commit: of the code; None where it lies in no git repository.
    """

    algo: str
    config: dict[str, Any]
    env_steps: int
    learner: LearnerState
    ranks: list[RankState | Segment]
    recorder: RecorderState
    versions: dict[str, str]
    commit: str | None


@dataclass(frozen=True)
class Start:
    """What one rank resumes from: its part of a checkpoint."""

    learner: LearnerState
    own: RankState
    recorder: RecorderState


STATES = (
    Collected, Episode, GlobalGenerators, LearnerState, MemoryState, PlayerState, RankState, RecorderState, ReplayRows,
    ReplayState, Rollout, Saved, Segment, Start, TensorPlayerState, Window,
)  # fmt: skip
"""The dataclasses of states, and those within them."""
