"""Advantage Actor-Critic: the synchronous form of A3C (arXiv:1602.01783)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rlexp.algos.base import Knobs, Loss
from rlexp.algos.losses import approximate_kl, mean, policy_gradient, value_loss
from rlexp.algos.on_policy import OnPolicy
from rlexp.settings import setting

if TYPE_CHECKING:
    from rlexp.data.batch import Batch, Prediction


@dataclass
class A2C(OnPolicy):
    """A2C: one policy-gradient step on each rollout.

    Transitions that an older policy collected are weighted by the ratio of the two policies' probabilities
    (`losses.policy_gradient`): with `topology.overlap`, with more than one epoch, and from the second minibatch of a
    rollout on. The states in them and the returns that follow remain those of the older policy.

    The defaults are close to those of OpenAI's baselines, which took n-step returns over t_max steps and RMSprop with
    decay 0.99 from the paper. `optimizer=rmsprop` is torch's: it divides by sqrt(g) + eps, where the paper, TensorFlow
    and so the baselines divide by sqrt(g + eps); its g starts at 0, TensorFlow's at 1. All ranks have one g, as in
    the paper's shared RMSprop, of the gradient averaged over them.
    """

    num_steps: int = setting(5, "Steps per environment in one rollout, t_max.", ge=1)
    update_epochs: int = setting(1, "Passes over each rollout; later ones are weighted by the policies' ratio.", ge=1)
    per_rank_batch_size: int | None = setting(
        None, "Minibatch size of one rank, in transitions; null: the whole rollout.", ge=1
    )
    learning_rate: float = setting(7e-4, "Step size of the optimizer.", gt=0)
    optimizer: str = setting("rmsprop", "Optimizer.", choices=("adam", "adamw", "rmsprop", "sgd"))
    gae_lambda: float = setting(1.0, "Lambda of GAE; 1: n-step returns, as in the paper.", ge=0, le=1)
    normalize_advantages: bool = setting(False, "Scale advantages of each minibatch to mean 0, standard deviation 1.")

    def loss(self, new: Prediction, batch: Batch, knobs: Knobs) -> Loss:
        """Return policy loss + vf_coef * value loss + ent_coef * entropy loss of a minibatch; see `OnPolicy.loss`."""
        policy = policy_gradient(new.log_prob, batch.log_prob, batch.advantages, batch.weight)
        value = value_loss(new.values, batch.returns, batch.weight)
        entropy = -mean(new.entropy, batch.weight)
        return Loss(
            policy + self.vf_coef * value + knobs["ent_coef"] * entropy,
            {
                "policy_loss": policy,
                "value_loss": value,
                "entropy_loss": entropy,
                "approx_kl": approximate_kl((new.log_prob - batch.log_prob).detach(), batch.weight),
            },
        )
