"""Soft Actor-Critic (arXiv:1812.05905), of real actions and of choices (arXiv:1910.07207).

DroQ (arXiv:2110.02034), REDQ (arXiv:2101.05982) and CrossQ (arXiv:1902.05605) are settings of it: see conf/algo/.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from rlexp.algos.base import Inputs, Knobs, Loss, Objective, Sizes, Target
from rlexp.algos.losses import mean
from rlexp.algos.off_policy import OffPolicy, ReplaySettings
from rlexp.algos.q_losses import bootstrapped, expected_soft_value, soft_value, squared_error
from rlexp.data.scalars import Scalar
from rlexp.errors import ConfigError
from rlexp.settings import setting

if TYPE_CHECKING:
    from torch import Tensor

    from rlexp.data.replay import ReplayBatch
    from rlexp.data.spaces import SpaceSpec
    from rlexp.models.actor_with_critics import ActorWithCritics

Q_LOSS = Scalar("q_loss", "Loss/q_loss", "Loss of the action values.", finite=True)
Q_MEAN = Scalar("q_mean", "Info/q_mean", "Mean action value of the batches.")
ACTOR_LOSS = Scalar("actor_loss", "Loss/actor_loss", "Loss of the policy.", finite=True)


@dataclass
class SAC(OffPolicy):
    """SAC: a stochastic policy, two or more critics, and a temperature that follows a target entropy."""

    scalars: ClassVar[tuple[Scalar, ...]] = (
        Q_LOSS,
        Q_MEAN,
        ACTOR_LOSS,
        Scalar("entropy", "Info/entropy", "Mean entropy of the policy in the batches, in nats."),
        Scalar("alpha_loss", "Loss/alpha_loss", "Loss of the temperature."),
        Scalar("alpha", "Info/alpha", "Temperature, alpha: the weight of the entropy."),
    )

    critic_learning_rate: float | None = setting(None, "Step size of the critics; null: learning_rate.", gt=0)
    num_critics: int = setting(2, "Number of critics, N.", ge=1, le=100)
    target_critics: int | None = setting(
        None, "Critics, drawn anew for each batch, whose least value is the target (REDQ's M); null: all.", ge=1
    )
    policy_critics: str = setting(
        "min", "What the policy maximises: the least value of the critics, or their mean.", choices=("min", "mean")
    )
    policy_every: int = setting(1, "Batches from one step of policy and temperature to the next.", ge=1)
    alpha: float = setting(1.0, "Temperature at the start.", gt=0)
    tune_alpha: bool = setting(True, "Let the temperature follow the target entropy (equation 18).")
    target_entropy: float | None = setting(
        None, "Entropy that the temperature aims at, in nats; null: minus the number of real actions, or "
        "0.5 log K of K choices."
    )  # fmt: skip
    critic_layer_norm: bool = setting(False, "Normalise the layers of the critics, as model.layer_norm does all.")
    critic_batch_norm: bool = setting(
        False, "Batch-renormalise the layers of the critics, which then need no target networks (CrossQ)."
    )
    critic_dropout: float = setting(0.0, "Share of a critic's hidden units that is left out (DroQ).", ge=0, lt=1)
    shared_encoder: bool = setting(True, "Actor and critics share the encoder of images; it learns from the critics.")

    def build(self, spec: SpaceSpec, inputs: Inputs) -> ActorWithCritics:
        """Return a policy with its critics; the weights come from torch's global generator."""
        from rlexp.models.actor_with_critics import ActorWithCritics  # not at the start: these import torch
        from rlexp.models.build import critic_architecture
        from rlexp.models.exploring import SoftChoice, SquashedGaussian

        made = critic_architecture(self, spec, inputs, self.alpha, batch_norm=self.critic_batch_norm)
        if spec.action.kind == "discrete":
            return ActorWithCritics(spec, SoftChoice(spec.action.sizes[0]), made)
        return ActorWithCritics(spec, SquashedGaussian(len(spec.action.low)), made)

    kinds: ClassVar[tuple[str, ...]] = ("box", "discrete")

    def memory(self, agent: Any) -> ReplaySettings:
        """Return how it learns from its memory: noise of the actions there and after them, and of the critics drawn."""
        return self.replay(2 * agent.actor.low.shape[0] + (self.target_critics is not None))

    def objectives(self) -> tuple[Objective, ...]:
        """Return the losses of critics, policy and temperature, in this order (algorithm 1)."""
        rate = "critic_learning_rate"
        found = [
            Objective("critics", self._critic_loss, ("q_loss", "q_mean"), rate=rate),
            Objective("actor", self._actor_loss, ("actor_loss", "entropy"), "actor_grad_norm", self.policy_every),
        ]
        if self.tune_alpha:
            names, norm = ("alpha_loss", "alpha"), "alpha_grad_norm"
            found.append(Objective("temperature", self._alpha_loss, names, norm, self.policy_every))
        return tuple(found)

    def targets(self) -> tuple[Target, ...]:
        """Return that of the critics."""
        return () if self.critic_batch_norm else (Target("critics", self.tau, self.target_every),)

    def knobs(self, left: float) -> Knobs:
        """Return the learning rates."""
        annealed = left if self.anneal_lr else 1.0
        critic = self.learning_rate if self.critic_learning_rate is None else self.critic_learning_rate
        return {**super().knobs(left), "critic_learning_rate": critic * annealed}

    def _critic_loss(self, agent: ActorWithCritics, batch: ReplayBatch, knobs: Knobs) -> Loss:
        """Return the loss of the critics (equation 5), with targets of the policy and the temperature of now."""
        alpha, size = agent.log_alpha.exp().squeeze(0).detach(), agent.actor.low.shape[0]
        params = agent.actor(batch.next_obs).float()
        actions, log_prob, own = None, None, None
        if size:
            actions, log_prob = agent.sampled(params, batch.noise[:, :size])
            own = batch.actions
        statistics = None
        if self.critic_batch_norm:
            found, following, statistics = agent.values_with_next(batch.obs, own, batch.next_obs, actions)
        else:
            found = agent.critics(*agent.seen(batch.obs), own)
            following = agent.target_values(agent.seen(batch.next_obs), actions)
        least = self._least(following, batch)
        if log_prob is not None:
            values = soft_value(least, log_prob, alpha)
        else:
            values = expected_soft_value(least, params.log_softmax(-1), alpha)
            found = found.gather(-1, batch.actions.view(1, -1, 1).expand(self.num_critics, -1, 1)).squeeze(-1)
        errors = found - bootstrapped(batch.rewards, batch.discounts, values).detach()
        loss = 0.5 * squared_error(errors, batch.weight)
        return Loss(loss, {"q_loss": loss, "q_mean": found.mean()}, errors.detach().abs().mean(0), statistics)

    def _least(self, values: Tensor, batch: ReplayBatch) -> Tensor:
        """Return the least value, [B, *], of all critics, [N, B, *], or of those drawn (REDQ, algorithm 1)."""
        if self.target_critics is not None:  # N normal numbers put N critics in a random order
            values = values[batch.noise[: self.num_critics, -1].argsort()[: self.target_critics]]
        return values.amin(0)

    def _actor_loss(self, agent: ActorWithCritics, batch: ReplayBatch, knobs: Knobs) -> Loss:
        """Return the loss of the policy (equation 7)."""
        alpha, size = agent.log_alpha.exp().squeeze(0).detach(), agent.actor.low.shape[0]
        params, seen = agent.actor(batch.obs).float(), agent.seen(batch.obs)
        if size:
            actions, log_prob = agent.sampled(params, batch.noise[:, size : 2 * size])
            values, entropy = self._of_critics(agent.critics(*seen, actions)), -log_prob
            loss = -mean(soft_value(values, log_prob, alpha))
        else:
            log_probs = params.log_softmax(-1)
            loss = -mean(expected_soft_value(self._of_critics(agent.critics(*seen)).detach(), log_probs, alpha))
            entropy = -(log_probs.exp() * log_probs).sum(-1)
        return Loss(loss, {"actor_loss": loss, "entropy": entropy.mean()})

    def _of_critics(self, values: Tensor) -> Tensor:
        return values.amin(0) if self.policy_critics == "min" else values.mean(0)

    def _alpha_loss(self, agent: ActorWithCritics, batch: ReplayBatch, knobs: Knobs) -> Loss:
        """Return the loss of the temperature: log alpha (entropy - target), as the authors' code has equation 18."""
        actor, goal = agent.actor, self.target_entropy
        if goal is None:
            size = actor.low.shape[0]
            goal = -float(size) if size else 0.5 * math.log(actor.distribution.num_outputs)
        loss = (agent.log_alpha * (knobs["entropy"] - goal)).sum()
        return Loss(loss, {"alpha_loss": loss, "alpha": agent.log_alpha.exp().sum()})

    def check(self, sizes: Sizes) -> None:
        """Check its own sizes beside those of all off-policy algorithms.

        Raises:
            ConfigError: names the first key that is wrong.
        """
        super().check(sizes)
        rows = self.per_rank_batch_size or 0
        if self.target_critics is not None and self.target_critics > self.num_critics:
            raise ConfigError(
                f"algo.target_critics={self.target_critics} is more than algo.num_critics={self.num_critics}"
            )
        if self.target_critics is not None and rows < self.num_critics:
            raise ConfigError(
                f"algo.per_rank_batch_size={rows} is less than algo.num_critics={self.num_critics}, which are drawn by "
                "a number for each transition; raise it"
            )
