"""What every algorithm offers to the rest of the house, whatever it learns from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from rlexp.data.exploration import NONE, Exploration
from rlexp.data.network import Network
from rlexp.data.scalars import UPDATE, Scalar
from rlexp.errors import ConfigError
from rlexp.settings import setting

if TYPE_CHECKING:
    from torch import Tensor

    from rlexp.data.spaces import ActionSpec, SpaceSpec
    from rlexp.models.agent import Agent

ACTIVATIONS = ("tanh", "relu", "elu", "gelu", "silu")
Knobs = dict[str, Any]
"""Annealed scalars by name: numbers as `Algorithm.knobs` returns them, tensors of shape [] as a loss gets them."""


class Loss(NamedTuple):
    """What a loss function returns.

    Attributes:
        loss: to be minimised, [].
        scalars: what is reported of it, each [].
        errors: of each transition, [B], where they may serve as priorities.
        statistics: what `Agent.statistics` holds from now on; None: it stays as it is.
    """

    loss: Tensor
    scalars: dict[str, Tensor]
    errors: Tensor | None = None
    statistics: Tensor | None = None


@dataclass(frozen=True)
class Objective:
    """A loss, and the part of the agent that it trains.

    Among the knobs its loss finds the scalars that objectives before it have reported of the same batch.

    Attributes:
        part: a key of `Agent.parts`.
        loss: of an agent, a batch and the knobs.
        scalars: names of the scalars that the loss reports.
        norm: name of the scalar that is the norm of its gradient.
        every: batches from one step of this objective to the next.
        rate: the knob that is its learning rate.
    """

    part: str
    loss: Callable[[Any, Any, Knobs], Loss]
    scalars: tuple[str, ...]
    norm: str = "grad_norm"
    every: int = 1
    rate: str = "learning_rate"


@dataclass(frozen=True)
class Target:
    """A target network, which follows a part of the agent: target <- target + tau (part - target).

    Attributes:
        part: a key of `Agent.parts` and of `Agent.targets`.
        tau: 1 copies the part.
        every: batches from one step to the next.
    """

    part: str
    tau: float
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
        updates: of the whole run.
    """

    steps_per_update: int
    least_rows: int
    most_rows: int
    num_envs: int
    ranks: int
    updates: int = 1


@dataclass(frozen=True)
class Inputs:
    """What the rest of an experiment decides about an agent's networks.

    Attributes:
        normalize: whether observations are normalised.
        clip: what (normalised) observations are clipped to; None: not clipped.
        bounds: how on-policy algorithms keep the bounds of real actions: clip, or tanh.
        network: what its torsos are made of.
        bfloat16: whether weights are of that type rather than float32.
    """

    normalize: bool
    clip: float | None
    bounds: str
    network: Network = field(default_factory=Network)
    bfloat16: bool = False


@dataclass
class Algorithm(ABC):
    """A dataclass of hyperparameters with stateless methods."""

    num_steps: int = setting(1, "Steps per environment in one rollout, T.", ge=1)
    per_rank_batch_size: int | None = setting(256, "Minibatch size of one rank, in transitions.", ge=1)
    batch_size: int | None = setting(
        None, "Minibatch size over all ranks that learn, instead of per_rank_batch_size.", ge=1
    )
    hidden_sizes: list[int] = setting([256, 256], "Widths of the hidden layers of actor and critic.", ge=1)
    activation_function: str = setting("relu", "Activation of the hidden layers.", choices=ACTIVATIONS)
    ortho_init: bool = setting(False, "Orthogonal initialisation of the actor's hidden layers (gain sqrt 2).")
    learning_rate: float = setting(3e-4, "Step size of the optimizer.", gt=0)
    anneal_lr: bool = setting(False, "Anneal the learning rate linearly to 0 over the run.")
    optimizer: str = setting("adam", "Optimizer.", choices=("adam", "adamw", "rmsprop", "sgd"))
    optimizer_eps: float = setting(
        1e-8, "Term added to the denominator of adam, adamw and rmsprop, outside the root.", gt=0
    )
    weight_decay: float = setting(0.0, "Weight decay of the optimizer.", ge=0)
    gamma: float = setting(0.99, "Discount factor, gamma.", ge=0, le=1)
    max_grad_norm: float = setting(0.0, "Global gradient norm above which gradients are scaled; 0: off.", ge=0)
    skip_nonfinite_gradients: bool = setting(
        False, "Leave out a step whose gradient is not finite and count it, instead of ending the run."
    )

    scalars: ClassVar[tuple[Scalar, ...]]
    """What its losses report."""
    of_memory: ClassVar[tuple[Scalar, ...]] = ()
    """What its memory reports."""
    recurrent: ClassVar[bool] = False
    """Whether it learns from sequences, as recurrent networks need."""
    of_rollout: ClassVar[bool] = False
    """Whether a minibatch is part of one rollout."""

    @classmethod
    def all_scalars(cls) -> tuple[Scalar, ...]:
        """Return every scalar of an update, in the order of the columns of metrics.csv."""
        return (*cls.scalars, *cls.of_memory, *UPDATE)

    @abstractmethod
    def build(self, spec: SpaceSpec, inputs: Inputs) -> Agent:
        """Return an agent; its weights come from torch's global generator."""

    @abstractmethod
    def memory(self, agent: Any) -> Any:
        """Return the settings of the memory that an agent of it learns from."""

    @abstractmethod
    def objectives(self) -> tuple[Objective, ...]:
        """Return its losses, in the order in which a batch goes through them."""

    def knobs(self, left: float) -> Knobs:
        """Return the annealed scalars, `learning_rate` among them, when `left` (1 to 0) of the run is left."""
        return {"learning_rate": self.learning_rate * (left if self.anneal_lr else 1.0)}

    def descent(self) -> Descent:
        """Return how weights follow gradients."""
        return Descent(
            optimizer=self.optimizer,
            learning_rate=self.learning_rate,
            eps=self.optimizer_eps,
            weight_decay=self.weight_decay,
            max_norm=self.max_grad_norm,
            skips=self.skip_nonfinite_gradients,
        )

    @abstractmethod
    def optimizer_steps(self, sizes: Sizes) -> int:
        """Return the optimizer steps of a whole run; fewer where it stops early."""

    def targets(self) -> tuple[Target, ...]:
        """Return its target networks; none by default."""
        return ()

    def exploration(self, knobs: Knobs, env_steps: int) -> Exploration:
        """Return how players explore after so many environment steps; on-policy ones only sample."""
        return NONE

    def check_space(self, action: ActionSpec) -> None:  # noqa: B027  # optional
        """Check that it can learn such actions.

        Raises:
            ConfigError: it cannot.
        """

    @property
    def one_torso(self) -> bool:
        """Whether actor and critic share all but their heads."""
        return False

    def check(self, sizes: Sizes) -> None:
        """Check the rules that cross settings.

        Raises:
            ConfigError: names the first key that is wrong.
        """
        if not self.hidden_sizes:
            raise ConfigError(
                "algo.hidden_sizes=[] is empty; give at least one width, such as algo.hidden_sizes=[64,64]"
            )
