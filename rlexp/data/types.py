"""Frozen data that crosses rooms, and the one interface that learners need of other ranks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from rlexp.data.rollout import Episode, Rollout

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class Metrics:
    """Scalars of one update, means over its minibatches and ranks (explained variance and value mean: over rows).

    Steps that were skipped count in `skipped_steps` alone; the means are NaN where all were.
    """

    policy_loss: float
    value_loss: float
    entropy_loss: float
    approx_kl: float
    clip_fraction: float
    grad_norm: float
    skipped_steps: float
    explained_variance: float
    value_mean: float
    learning_rate: float


@dataclass(frozen=True)
class UpdateReport:
    """What one update left to be told.

    Attributes:
        number: updates done so far.
        metrics: of the update.
        episodes: that ended in its rollout, of all ranks.
        collect_seconds: wall time of the rollout on this rank.
        update_seconds: wall time of learning on this rank, transport included.
    """

    number: int
    metrics: Metrics
    episodes: list[Episode]
    collect_seconds: float
    update_seconds: float


class Collector(Protocol):
    """What a topology asks of a player.

    Attributes:
        episodes: that ended in the last rollout, in order.
    """

    episodes: list[Episode]

    def collect(self) -> Rollout:
        """Step every environment T times."""

    def state(self) -> dict[str, Any]:
        """Return what the next rollouts depend on, but for the weights, in plain types and tensors."""

    def load_state(self, state: dict[str, Any]) -> list[int]:
        """Go on from `state`; return the environments that began a new episode instead."""

    def close(self) -> None:
        """Close the environments."""
