"""Proximal Policy Optimization (arXiv:1707.06347) with the details that made its published results."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from rlexp.algos.base import Knobs, Loss
from rlexp.algos.losses import approximate_kl, clipped_surrogate, clipped_value_loss, mean, value_loss
from rlexp.algos.on_policy import FreshSettings, OnPolicy
from rlexp.data.scalars import Scalar
from rlexp.settings import setting

if TYPE_CHECKING:
    from rlexp.data.batch import Batch, Prediction

MAX_LOG_RATIO = 20.0
"""Limit of the log ratio, far beyond any clip range: e^89 is infinite in float32, and its gradient not a number."""


@dataclass
class PPO(OnPolicy):
    """PPO: several epochs of minibatch steps on a clipped surrogate objective."""

    scalars: ClassVar[tuple[Scalar, ...]] = (
        *OnPolicy.scalars,
        Scalar(
            "clip_fraction",
            "Loss/clip_fraction",
            "Share of transitions whose probability ratio lies outside the clip range.",
        ),
    )

    clip_coef: float = setting(0.2, "Clip range of the probability ratio, epsilon (equation 7).", gt=0)
    anneal_clip_coef: bool = setting(False, "Anneal the clip range linearly to 0 over the run.")
    clip_vloss: bool = setting(True, "Clip the value loss around the old values with the same range.")
    target_kl: float | None = setting(None, "End an update when an epoch's mean KL exceeds this; null: never.", gt=0)

    def knobs(self, left: float) -> Knobs:
        """Return the learning rate, the weight of the entropy bonus and the clip range."""
        clip_coef = self.clip_coef * left if self.anneal_clip_coef else self.clip_coef
        return {**super().knobs(left), "clip_coef": clip_coef}

    def memory(self, agent: Any) -> FreshSettings:
        """Return how it learns from a rollout."""
        return replace(super().memory(agent), target_kl=self.target_kl)

    def loss(self, new: Prediction, batch: Batch, knobs: Knobs) -> Loss:
        """Return policy loss + vf_coef * value loss + ent_coef * entropy loss of a minibatch; see `OnPolicy.loss`."""
        clip_coef = knobs["clip_coef"]
        log_ratio = new.log_prob - batch.log_prob  # [B]
        ratio = log_ratio.clamp(max=MAX_LOG_RATIO).exp()
        policy = clipped_surrogate(ratio, batch.advantages, clip_coef, batch.weight)
        if self.clip_vloss:
            value = clipped_value_loss(new.values, batch.values, batch.returns, clip_coef, batch.weight)
        else:
            value = value_loss(new.values, batch.returns, batch.weight)
        entropy = -mean(new.entropy, batch.weight)
        return Loss(
            policy + self.vf_coef * value + knobs["ent_coef"] * entropy,
            {
                "policy_loss": policy,
                "value_loss": value,
                "entropy_loss": entropy,
                "approx_kl": approximate_kl(log_ratio.detach(), batch.weight),
                "clip_fraction": mean(((ratio.detach() - 1).abs() > clip_coef).float(), batch.weight),
            },
        )
