"""Frozen data that crosses rooms, and the one interface that learners need of other ranks."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import torch
    from torch import Tensor

ACTION_KINDS = ("discrete", "multidiscrete", "box")


@dataclass(frozen=True)
class ImageSpec:
    """One image, or one grid of symbols, of an observation, stored channels first.

    Attributes:
        name: of the part of the observation.
        channels: channels of one frame, times the number of frames.
        height: rows.
        width: columns.
        levels: values that an element can take, stored as a byte from 0 to levels - 1; 0: a float32 from 0 to 1.
        symbols: whether a value is a symbol, which says nothing of its neighbours, rather than a brightness.
    """

    name: str
    channels: int
    height: int
    width: int
    levels: int = 256
    symbols: bool = False

    @property
    def size(self) -> int:
        """Number of elements."""
        return self.channels * self.height * self.width

    @property
    def embedded(self) -> bool:
        """Whether a network looks each symbol up in a table; of two symbols, 0 and 1, it needs none."""
        return self.symbols and self.levels > 2


@dataclass(frozen=True)
class ObservationSpec:
    """How an observation lies in one flat row.

    A row holds the real numbers first (`vector_size` float32), then the discrete values (one float32 each), then
    images of real numbers (float32), then images of bytes (uint8). Without images a row is float32 of shape
    [vector_size + len(discrete)]; with images it is uint8, and the float32 part takes four bytes a number. One tensor
    holds any observation, so rollouts, minibatches and transport need not know what it is made of.

    Attributes:
        vector_size: real numbers.
        discrete: number of options of each discrete value.
        images: those of real numbers first.
        description: what was made of each part of the observation, in words.
        note: what was left out, in words; None: nothing.
    """

    vector_size: int
    discrete: tuple[int, ...]
    images: tuple[ImageSpec, ...]
    description: str = field(default="", compare=False)
    note: str | None = field(default=None, compare=False)

    @property
    def floats(self) -> int:
        """Number of float32 in a row."""
        real = sum(image.size for image in self.images if image.levels == 0)
        return self.vector_size + len(self.discrete) + real

    @property
    def row_size(self) -> int:
        """Number of elements in a row; a multiple of four where a row is bytes, so that floats stay aligned."""
        if not self.images:
            return self.floats
        pixels = sum(image.size for image in self.images if image.levels > 0)
        return 4 * self.floats + -(-pixels // 4) * 4


@dataclass(frozen=True)
class ActionSpec:
    """What an action is.

    Attributes:
        kind: 'discrete' (one choice), 'multidiscrete' (several choices) or 'box' (real numbers).
        sizes: number of options of each choice; empty for 'box'.
        shape: shape of one action in the environment.
        start: first value of each choice.
        low: lower bounds, flat; empty for choices.
        high: upper bounds, flat; empty for choices.
        dtype: numpy's name of the type that the environment takes; '' for the type that a network gives.
    """

    kind: str
    sizes: tuple[int, ...]
    shape: tuple[int, ...]
    start: tuple[int, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    dtype: str = field(default="", compare=False)


@dataclass(frozen=True)
class SpaceSpec:
    """The spaces of an environment, as networks and buffers need them."""

    observation: ObservationSpec
    action: ActionSpec


@dataclass(frozen=True)
class Rollout:
    """T steps of N environments, as the player saw them.

    Attributes:
        obs: raw observation rows, [T+1, N, D] float32 or uint8; the last is what the next rollout starts with.
        actions: as sampled, before bounds are applied; [T, N] int64, or [T, N, A] int64 or float32.
        rewards: raw, [T, N] float32.
        terminated: [T, N] bool.
        truncated: [T, N] bool.
        log_prob: log-probability of each action under the policy that acted, [T, N] float32.
        final_obs: true last observation of each truncated step, in the order of truncated.nonzero(), [M, D].
        valid: False where a row is no transition (an environment that resets on the next step), [T, N] bool.
        initial_state: recurrent state before the first step, [N, S] float32; S = 0 without one.
    """

    obs: Tensor
    actions: Tensor
    rewards: Tensor
    terminated: Tensor
    truncated: Tensor
    log_prob: Tensor
    final_obs: Tensor
    valid: Tensor
    initial_state: Tensor

    def to(self, device: torch.device | str) -> Rollout:
        """Return the rollout on a device."""
        return Rollout(*(getattr(self, item.name).to(device) for item in fields(self)))


@dataclass(frozen=True)
class Batch:
    """B transitions to learn from.

    Attributes:
        obs: observation rows, [B, D].
        actions: [B] or [B, A].
        log_prob: under the policy that acted, [B].
        advantages: [B].
        returns: targets of the value estimates, [B].
        values: estimates at the start of the update, [B].
    """

    obs: Tensor
    actions: Tensor
    log_prob: Tensor
    advantages: Tensor
    returns: Tensor
    values: Tensor

    def rows(self, index: Tensor) -> Batch:
        """Return the transitions at `index`, [b] int64."""
        return Batch(*(getattr(self, item.name).index_select(0, index) for item in fields(self)))


@dataclass(frozen=True)
class Evaluation:
    """What the current weights say of B transitions: log-probabilities, entropies (nats) and values, each [B]."""

    log_prob: Tensor
    entropy: Tensor
    values: Tensor


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
class Episode:
    """A finished episode.

    Attributes:
        episode_return: undiscounted sum of raw rewards.
        length: in steps.
        infos: the values that `log.infos` names, from the info of its last step; NaN where one is missing.
    """

    episode_return: float
    length: int
    infos: tuple[float, ...] = ()


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


class Collective(Protocol):
    """What a learner asks of the ranks that learn with it; every rank must make the same calls in the same order."""

    rank: int
    size: int

    def mean_(self, tensor: Tensor) -> None:
        """Replace `tensor` by its mean over the ranks."""

    def gather(self, tensor: Tensor) -> Tensor:
        """Return the tensors of all ranks, equal in shape, stacked in the order of ranks: [size, *]."""

    def lent(self, tensor: Tensor) -> Tensor:
        """Return what `gather` does, flat: [size, numel]; to be used before the next call of any of these."""


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
