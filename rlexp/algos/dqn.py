"""Deep Q-learning (DQN, Nature 2015) and its parts: all of them together are Rainbow (arXiv:1710.02298)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from rlexp.algos.base import Inputs, Knobs, Loss, Objective, Sizes, Target
from rlexp.algos.off_policy import OffPolicy, ReplaySettings
from rlexp.algos.q_losses import bootstrapped, corrected_mean, huber, projected
from rlexp.algos.sac import Q_LOSS, Q_MEAN
from rlexp.data.exploration import Exploration
from rlexp.data.scalars import Scalar
from rlexp.errors import ConfigError
from rlexp.settings import setting

if TYPE_CHECKING:
    from torch import Tensor

    from rlexp.data.replay import ReplayBatch
    from rlexp.data.spaces import SpaceSpec
    from rlexp.models.q_network import QAgent


@dataclass
class DQN(OffPolicy):
    """DQN: the value of every choice; double, duelling, noisy, categorical, prioritised and n-step as asked for."""

    scalars: ClassVar[tuple[Scalar, ...]] = (
        Q_LOSS,
        Q_MEAN,
        Scalar("epsilon", "Info/epsilon", "Probability of a random action."),
    )
    kinds: ClassVar[tuple[str, ...]] = ("discrete",)

    per_rank_batch_size: int | None = setting(128, "Minibatch size of one rank, in transitions.", ge=1)
    replay_ratio: float = setting(
        0.25, "Gradient steps for each environment step over all ranks; 0.25: one for every four.", gt=0, le=1_000
    )
    learning_rate: float = setting(5e-4, "Step size of the optimizer.", gt=0)
    tau: float = setting(1.0, "Share by which target networks move towards the networks; 1: copies.", gt=0, le=1)
    target_every: int = setting(250, "Gradient steps from one step of the target networks to the next.", ge=1)
    max_grad_norm: float = setting(10.0, "Global gradient norm above which gradients are scaled; 0: off.", ge=0)
    epsilon_start: float = setting(1.0, "Probability of a random action at the start.", ge=0, le=1)
    epsilon_end: float = setting(0.05, "The same after `epsilon_fraction` of the run.", ge=0, le=1)
    epsilon_fraction: float = setting(0.2, "Share of the run over which epsilon falls linearly.", gt=0, le=1)
    double: bool = setting(True, "Choose the next action by the network, value it by its target (arXiv:1509.06461).")
    dueling: bool = setting(False, "A stream for the state's value and one for advantages (arXiv:1511.06581).")
    noisy: bool = setting(False, "Explore by noise on the last layers (arXiv:1706.10295), beside epsilon.")
    noisy_sigma: float = setting(0.5, "That noise at the start (sigma_0).", gt=0)
    atoms: int = setting(1, "Atoms of a distribution of returns (C51, arXiv:1707.06887); 1: the mean alone.", ge=1)
    value_min: float = setting(-10.0, "The lowest atom.")
    value_max: float = setting(10.0, "The highest atom.")

    def build(self, spec: SpaceSpec, inputs: Inputs) -> QAgent:
        """Return action values and their target network; the weights come from torch's global generator."""
        from rlexp.models.build import torso_settings  # not at the start: these import torch
        from rlexp.models.q_network import QAgent, QSettings

        if inputs.network.critic_keys:
            raise ConfigError("model.critic_keys: DQN has no critic beside its policy; leave it out")
        made = QSettings(
            torso=torso_settings(self, inputs.network, spec.observation, inputs.network.actor_hidden_sizes),
            dueling=self.dueling,
            noisy=self.noisy,
            sigma=self.noisy_sigma,
            atoms=self.atoms,
            low=self.value_min,
            high=self.value_max,
            normalize=inputs.normalize,
            clip=inputs.clip,
        )
        return QAgent(spec, made)

    def memory(self, agent: Any) -> ReplaySettings:
        """Return how it learns from its memory; noisy layers need noise for three passes."""
        size = 3 * agent.actor.noise_size if self.noisy else 0
        return self.replay(-(-size // (self.per_rank_batch_size or 1)))

    def objectives(self) -> tuple[Objective, ...]:
        """Return one."""
        return (Objective("q", self._loss, ("q_loss", "q_mean")),)

    def targets(self) -> tuple[Target, ...]:
        """Return that of the action values."""
        return (Target("q", self.tau, self.target_every),)

    def knobs(self, left: float) -> Knobs:
        """Return the learning rate and epsilon."""
        share = min(1.0, (1 - left) / self.epsilon_fraction)
        return {**super().knobs(left), "epsilon": self.epsilon_start + share * (self.epsilon_end - self.epsilon_start)}

    def exploration(self, knobs: Knobs, env_steps: int) -> Exploration:
        """Return epsilon; before learning starts choices are uniform."""
        return Exploration(knobs["epsilon"], env_steps < self.learning_starts)

    def _loss(self, agent: QAgent, batch: ReplayBatch, knobs: Knobs) -> Loss:
        """Return Huber's loss of the temporal differences, or the divergence of distributions of returns."""
        actor, noise = agent.actor, self._noise(agent, batch)
        chosen = batch.actions.view(-1, 1, 1)
        outputs = actor.outputs(batch.obs, noise[0])
        following = agent.target_outputs(batch.next_obs, noise[1])
        judge = actor.outputs(batch.next_obs, noise[2]) if self.double else following
        best = actor.masked(batch.next_obs, actor.values_of(judge)).argmax(-1).view(-1, 1, 1)
        count = outputs.shape[-1]
        found = outputs.gather(1, chosen.expand(-1, 1, count)).squeeze(1)  # [B, Z]
        after = following.gather(1, best.expand(-1, 1, count)).squeeze(1).detach()
        mean_value = actor.values_of(outputs.detach()).gather(1, chosen[..., 0]).mean()
        if count == 1:
            errors = (found - bootstrapped(batch.rewards, batch.discounts, after.squeeze(1)).unsqueeze(1)).squeeze(1)
            loss = huber(errors, batch.weight)
            return Loss(loss, {"q_loss": loss, "q_mean": mean_value}, errors.detach().abs())
        goal = projected(after.softmax(-1), batch.rewards, batch.discounts, actor.support)
        divergence = (goal.xlogy(goal) - goal * found.log_softmax(-1)).sum(-1)
        loss = corrected_mean(divergence, batch.weight)
        return Loss(loss, {"q_loss": loss, "q_mean": mean_value}, divergence.detach())

    def _noise(self, agent: QAgent, batch: ReplayBatch) -> list[Tensor | None]:
        """Return the noise of three passes through noisy layers."""
        if not self.noisy:
            return [None, None, None]
        size = agent.actor.noise_size
        return list(batch.noise.flatten()[: 3 * size].split(size))

    def check(self, sizes: Sizes) -> None:
        """Check the atoms beside what all off-policy algorithms check.

        Raises:
            ConfigError: names the first key that is wrong.
        """
        super().check(sizes)
        if self.atoms > 1 and self.value_min >= self.value_max:
            raise ConfigError(
                f"algo.value_min={self.value_min} is not below algo.value_max={self.value_max}: the atoms lie between"
            )
