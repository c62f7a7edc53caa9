"""What every algorithm offers to the rest of the house, whatever it learns from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from rlexp.data.network import Network
from rlexp.data.scalars import UPDATE, Scalar

if TYPE_CHECKING:
    from torch import Tensor

    from rlexp.data.spaces import SpaceSpec
    from rlexp.models.agent import Agent

Knobs = dict[str, Any]
"""Annealed scalars by name: numbers as `Algorithm.knobs` returns them, tensors of shape [] as a loss gets them."""


class Loss(NamedTuple):
    """What a loss function returns: the loss to minimise, and the scalars that are reported of it (all shape [])."""

    loss: Tensor
    scalars: dict[str, Tensor]


@dataclass(frozen=True)
class Objective:
    """A loss, and the part of the agent that it trains.

    Attributes:
        part: a key of `Agent.parts`.
        loss: of an agent, a batch and the knobs.
        scalars: names of the scalars that the loss reports.
        norm: name of the scalar that is the norm of its gradient.
        every: batches from one step of this objective to the next.
    """

    part: str
    loss: Callable[[Any, Any, Knobs], Loss]
    scalars: tuple[str, ...]
    norm: str = "grad_norm"
    every: int = 1


@dataclass(frozen=True)
class Descent:
    """How weights follow a gradient; the settings of an algorithm (see `rlexp.algos.on_policy.OnPolicy`).

    Attributes:
        optimizer: adam, adamw, rmsprop or sgd.
        learning_rate: before it is annealed.
        eps: added to the denominator of adam, adamw and rmsprop.
        weight_decay: of the optimizer.
        max_norm: gradient norm above which gradients are scaled; 0: off.
        skips: whether a step whose gradient is not finite is left out.
    """

    optimizer: str
    learning_rate: float
    eps: float
    weight_decay: float
    max_norm: float
    skips: bool

    @property
    def adam(self) -> bool:
        """Whether the optimizer is a form of Adam."""
        return self.optimizer in ("adam", "adamw")


@dataclass(frozen=True)
class Sizes:
    """What the rest of an experiment makes of an algorithm's sizes.

    Attributes:
        steps_per_update: environment steps between two updates, over all ranks.
        least_rows: transitions of one update of the rank that has the fewest of them.
        most_rows: transitions of one update of the rank that has the most of them.
        num_envs: environments of a rank that collects.
        ranks: number of ranks that learn.
    """

    steps_per_update: int
    least_rows: int
    most_rows: int
    num_envs: int
    ranks: int


@dataclass(frozen=True)
class Inputs:
    """What the rest of an experiment decides about an agent's networks.

    Attributes:
        normalize: whether observations are normalised.
        clip: what (normalised) observations are clipped to; None: not clipped.
        squash: whether real actions are squashed into their bounds by tanh.
        network: what its torsos are made of.
        bfloat16: whether weights are of that type rather than float32.
    """

    normalize: bool
    clip: float | None
    squash: bool
    network: Network = field(default_factory=Network)
    bfloat16: bool = False


@dataclass
class Algorithm(ABC):
    """A dataclass of hyperparameters with stateless methods."""

    scalars: ClassVar[tuple[Scalar, ...]]
    """What its losses report."""
    of_memory: ClassVar[tuple[Scalar, ...]] = ()
    """What its memory reports."""

    @classmethod
    def all_scalars(cls) -> tuple[Scalar, ...]:
        """Return every scalar of an update, in the order of the columns of metrics.csv."""
        return (*cls.scalars, *cls.of_memory, *UPDATE)

    @abstractmethod
    def build(self, spec: SpaceSpec, inputs: Inputs) -> Agent:
        """Return an agent; its weights come from torch's global generator."""

    @abstractmethod
    def memory(self) -> Any:
        """Return the settings of the memory that it learns from."""

    @abstractmethod
    def objectives(self) -> tuple[Objective, ...]:
        """Return its losses, in the order in which a batch goes through them."""

    @abstractmethod
    def knobs(self, left: float) -> Knobs:
        """Return the annealed scalars, `learning_rate` among them, when `left` (1 to 0) of the run is left."""

    @abstractmethod
    def descent(self) -> Descent:
        """Return how weights follow gradients."""

    def after_step(self, agent: Agent, step: int) -> None:  # noqa: B027  # optional
        """Do what follows an optimizer step, such as moving target networks; nothing by default."""

    def check(self, sizes: Sizes) -> None:  # noqa: B027  # optional
        """Check the rules that cross settings.

        Raises:
            ConfigError: names the first key that is wrong.
        """
