"""REINFORCE with a baseline (Williams 1992; Sutton & Barto, Reinforcement Learning, section 13.4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from rlexp.algos.base import Knobs, Loss
from rlexp.algos.losses import value_loss
from rlexp.algos.on_policy import POLICY_LOSS, OnPolicy
from rlexp.data.scalars import Scalar
from rlexp.settings import setting

if TYPE_CHECKING:
    from rlexp.data.batch import Batch, Prediction


@dataclass
class Reinforce(OnPolicy):
    """REINFORCE: a step along log-probabilities of actions, weighted by what their returns exceed the baseline by."""

    scalars: ClassVar[tuple[Scalar, ...]] = (
        POLICY_LOSS,
        Scalar("baseline_loss", "Loss/baseline_loss", "Mean squared error of the baseline.", finite=True),
    )

    update_epochs: int = setting(1, "Passes over each rollout.", ge=1)
    per_rank_batch_size: int | None = setting(None, "Minibatch size of one rank; null: the whole rollout.", ge=1)
    learning_rate: float = setting(3e-3, "Step size of the optimizer.", gt=0)
    gae_lambda: float = setting(1.0, "Lambda of GAE; 1: whole returns.", ge=0, le=1)
    baseline_coef: float = setting(0.5, "Weight of the baseline's loss.", ge=0)

    def loss(self, new: Prediction, batch: Batch, knobs: Knobs) -> Loss:
        """Return -log pi(a|s) (G - b(s)) + baseline_coef * (b(s) - G)^2, averaged over a minibatch."""
        policy = -(new.log_prob * batch.advantages).mean()
        baseline = value_loss(new.values, batch.returns)
        return Loss(policy + self.baseline_coef * baseline, {"policy_loss": policy, "baseline_loss": baseline})
