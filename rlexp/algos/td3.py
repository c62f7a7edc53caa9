"""Twin Delayed Deep Deterministic policy gradients (TD3, arXiv:1802.09477)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from rlexp.algos.base import Inputs, Knobs, Loss, Objective, Target
from rlexp.algos.losses import mean
from rlexp.algos.off_policy import OffPolicy, ReplaySettings
from rlexp.algos.q_losses import bootstrapped, squared_error
from rlexp.algos.sac import ACTOR_LOSS, Q_LOSS, Q_MEAN
from rlexp.data.exploration import Exploration
from rlexp.data.scalars import Scalar
from rlexp.settings import setting

if TYPE_CHECKING:
    from rlexp.data.replay import ReplayBatch
    from rlexp.data.spaces import SpaceSpec
    from rlexp.models.actor_with_critics import ActorWithCritics


@dataclass
class TD3(OffPolicy):
    """TD3: a deterministic policy that learns later than its two critics, whose targets are smoothed."""

    scalars: ClassVar[tuple[Scalar, ...]] = (Q_LOSS, Q_MEAN, ACTOR_LOSS)
    kinds: ClassVar[tuple[str, ...]] = ("box",)

    target_every: int = setting(2, "Gradient steps from one step of the target networks to the next.", ge=1)
    num_critics: int = setting(2, "Number of critics, N.", ge=1, le=100)
    policy_every: int = setting(2, "Batches from one step of the policy to the next (d).", ge=1)
    exploration_noise: float = setting(
        0.1, "Standard deviation of the noise on actions, in units of half their range (sigma).", ge=0
    )
    target_noise: float = setting(0.2, "The same of the noise that smooths targets (sigma tilde).", ge=0)
    target_noise_limit: float = setting(0.5, "What that is clipped to (c).", ge=0)
    critic_layer_norm: bool = setting(False, "Normalise the layers of the critics, as model.layer_norm does all.")
    critic_dropout: float = setting(0.0, "Share of a critic's hidden units that is left out.", ge=0, lt=1)
    shared_encoder: bool = setting(True, "Actor and critics share the encoder of images; it learns from the critics.")

    def build(self, spec: SpaceSpec, inputs: Inputs) -> ActorWithCritics:
        """Return a policy with its critics; the weights come from torch's global generator."""
        from rlexp.models.actor_with_critics import ActorWithCritics  # not at the start: these import torch
        from rlexp.models.build import critic_architecture
        from rlexp.models.exploring import Deterministic

        made = critic_architecture(self, spec, inputs, target_actor=True)
        return ActorWithCritics(spec, Deterministic(len(spec.action.low)), made)

    def memory(self, agent: Any) -> ReplaySettings:
        """Return how it learns from its memory, with the noise that smooths targets."""
        return self.replay(agent.actor.low.shape[0])

    def objectives(self) -> tuple[Objective, ...]:
        """Return the losses of critics and policy (algorithm 1)."""
        return (
            Objective("critics", self._critic_loss, ("q_loss", "q_mean")),
            Objective("actor", self._actor_loss, ("actor_loss",), "actor_grad_norm", self.policy_every),
        )

    def targets(self) -> tuple[Target, ...]:
        """Return those of critics and policy."""
        return (Target("critics", self.tau, self.target_every), Target("actor", self.tau, self.target_every))

    def exploration(self, knobs: Knobs, env_steps: int) -> Exploration:
        """Return noise on actions; before learning starts they are uniform."""
        return Exploration(self.exploration_noise, env_steps < self.learning_starts)

    def _critic_loss(self, agent: ActorWithCritics, batch: ReplayBatch, knobs: Knobs) -> Loss:
        """Return the loss of the critics, whose targets are smoothed (equation 14)."""
        limit = self.target_noise_limit
        noise = (batch.noise * self.target_noise).clamp(-limit, limit)
        actions = (agent.target_action(batch.next_obs) + noise).clamp(-1, 1)
        values = agent.target_values(agent.seen(batch.next_obs), actions).amin(0)
        found = agent.critics(*agent.seen(batch.obs), batch.actions)
        errors = found - bootstrapped(batch.rewards, batch.discounts, values).detach()
        loss = squared_error(errors, batch.weight)
        return Loss(loss, {"q_loss": loss, "q_mean": found.mean()}, errors.detach().abs().mean(0))

    def _actor_loss(self, agent: ActorWithCritics, batch: ReplayBatch, knobs: Knobs) -> Loss:
        """Return minus the mean value of the policy's actions by the first critic."""
        actions = agent.actor.distribution.mode(agent.actor(batch.obs).float())
        loss = -mean(agent.critics(*agent.seen(batch.obs), actions)[0])
        return Loss(loss, {"actor_loss": loss})
