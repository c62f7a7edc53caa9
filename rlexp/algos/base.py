"""What every on-policy algorithm shares: its hyperparameters and the interface of its loss."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from rlexp.settings import setting

if TYPE_CHECKING:
    from torch import Tensor

    from rlexp.data.batch import Batch, Evaluation


class LossTerms(NamedTuple):
    """The scalar terms of one minibatch: the loss to minimise, and what is reported of it (all shape [])."""

    loss: Tensor
    policy_loss: Tensor
    value_loss: Tensor
    entropy_loss: Tensor
    approx_kl: Tensor
    clip_fraction: Tensor


@dataclass
class OnPolicy(ABC):
    """Hyperparameters of actor-critic algorithms that learn from the rollout just collected.

    Subclasses add their own and implement `loss`; they hold no state.
    """

    num_steps: int = setting(128, "Steps per environment in one rollout, T.", ge=1)
    update_epochs: int = setting(4, "Passes over each rollout, K (PPO, arXiv:1707.06347, algorithm 1).", ge=1)
    per_rank_batch_size: int | None = setting(
        128, "Minibatch size of one rank, in transitions; null: the whole rollout.", ge=1
    )
    learning_rate: float = setting(2.5e-4, "Step size of the optimizer.", gt=0)
    anneal_lr: bool = setting(True, "Anneal the learning rate linearly to 0 over the run.")
    optimizer: str = setting("adam", "Optimizer.", choices=("adam", "adamw", "rmsprop", "sgd"))
    optimizer_eps: float = setting(
        1e-5, "Term added to the denominator of adam, adamw and rmsprop, outside the root.", gt=0
    )
    weight_decay: float = setting(0.0, "Weight decay of the optimizer.", ge=0)
    gamma: float = setting(0.99, "Discount factor, gamma.", ge=0, le=1)
    gae_lambda: float = setting(0.95, "Lambda of GAE (arXiv:1506.02438, equation 16).", ge=0, le=1)
    normalize_advantages: bool = setting(True, "Scale advantages of each minibatch to mean 0, deviation 1.")
    ent_coef: float = setting(0.01, "Weight of the entropy bonus.", ge=0)
    vf_coef: float = setting(0.5, "Weight of the value loss (mean squared error).", ge=0)
    max_grad_norm: float = setting(0.5, "Global gradient norm above which gradients are scaled; 0: off.", ge=0)
    skip_nonfinite_gradients: bool = setting(
        False, "Leave out a step whose gradient is not finite and count it, instead of ending the run."
    )
    hidden_sizes: list[int] = setting([64, 64], "Widths of the hidden layers of actor and critic.", ge=1)
    activation_function: str = setting(
        "tanh", "Activation of the hidden layers.", choices=("tanh", "relu", "elu", "gelu", "silu")
    )
    ortho_init: bool = setting(True, "Orthogonal initialisation (gain sqrt 2; policy head 0.01, value head 1).")
    shared_torso: bool = setting(False, "One torso for actor and critic instead of one each.")
    log_std_init: float = setting(0.0, "Initial log standard deviation of Gaussian policies.", ge=-20, le=2)

    def clip_coef_at(self, fraction_left: float) -> float:
        """Return the clip range when `fraction_left` (1 to 0) of the run is left; 0 for algorithms without one."""
        return 0.0

    def kl_limit(self) -> float | None:
        """Return the mean approximate KL (nats) of an epoch beyond which an update ends early; None: never ends."""
        return None

    @abstractmethod
    def loss(self, new: Evaluation, batch: Batch, clip_coef: Tensor) -> LossTerms:
        """Return the loss terms of one minibatch of B transitions.

        Args:
            new: log-probabilities, entropies and values under the current weights, each [B].
            batch: the minibatch, its advantages normalised by the caller where the settings say so.
            clip_coef: the clip range now.
        """
