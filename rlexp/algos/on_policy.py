"""What every on-policy algorithm shares: its hyperparameters, its agent and its memory."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from rlexp.algos.base import ACTIVATIONS, Algorithm, Inputs, Knobs, Loss, Objective, Sizes
from rlexp.algos.losses import normalized
from rlexp.data.scalars import FRESH, Scalar
from rlexp.errors import ConfigError
from rlexp.settings import setting

if TYPE_CHECKING:
    from rlexp.data.batch import Batch, Prediction
    from rlexp.data.spaces import SpaceSpec
    from rlexp.models.actor_critic import ActorCritic

POLICY_LOSS = Scalar("policy_loss", "Loss/policy_loss", "Policy loss.", finite=True)
VALUE_LOSS = Scalar("value_loss", "Loss/value_loss", "Value loss, before `algo.vf_coef`.", finite=True)
ENTROPY_LOSS = Scalar(
    "entropy_loss", "Loss/entropy_loss", "Minus the mean entropy of the policy, before `algo.ent_coef`.", finite=True
)
APPROX_KL = Scalar("approx_kl", "Loss/approx_kl", "Approximate KL divergence from the policy that acted.")
"""It may overflow where the policy has moved far."""


@dataclass(frozen=True)
class FreshSettings:
    """How an algorithm learns from the rollout just collected; see the settings of `OnPolicy`.

    Attributes:
        epochs: passes over a rollout.
        rows: most transitions of one minibatch of one rank; None: all.
        gamma: discount factor.
        gae_lambda: lambda.
        target_kl: mean approximate KL (nats) of an epoch beyond which an update ends; None: never.
    """

    epochs: int
    rows: int | None
    gamma: float
    gae_lambda: float
    target_kl: float | None


@dataclass
class OnPolicy(Algorithm):
    """Hyperparameters of actor-critic algorithms that learn from the rollout just collected.

    Subclasses add their own and implement `loss`; they hold no state.
    """

    scalars: ClassVar[tuple[Scalar, ...]] = (POLICY_LOSS, VALUE_LOSS, ENTROPY_LOSS, APPROX_KL)
    of_memory: ClassVar[tuple[Scalar, ...]] = FRESH
    recurrent: ClassVar[bool] = True
    of_rollout: ClassVar[bool] = True

    num_steps: int = setting(128, "Steps per environment in one rollout, T.", ge=1)
    update_epochs: int = setting(4, "Passes over each rollout, K (PPO, arXiv:1707.06347, algorithm 1).", ge=1)
    per_rank_batch_size: int | None = setting(
        128, "Minibatch size of one rank, in transitions; null: the whole rollout.", ge=1
    )
    num_minibatches: int | None = setting(None, "Minibatches of one epoch, instead of a size.", ge=1)
    learning_rate: float = setting(2.5e-4, "Step size of the optimizer.", gt=0)
    anneal_lr: bool = setting(True, "Anneal the learning rate linearly to 0 over the run.")
    optimizer_eps: float = setting(
        1e-5, "Term added to the denominator of adam, adamw and rmsprop, outside the root.", gt=0
    )
    gae_lambda: float = setting(0.95, "Lambda of GAE (arXiv:1506.02438, equation 16).", ge=0, le=1)
    normalize_advantages: bool = setting(True, "Scale advantages of each minibatch to mean 0, standard deviation 1.")
    ent_coef: float = setting(0.01, "Weight of the entropy bonus.", ge=0)
    vf_coef: float = setting(0.5, "Weight of the value loss (mean squared error).", ge=0)
    max_grad_norm: float = setting(0.5, "Global gradient norm above which gradients are scaled; 0: off.", ge=0)
    hidden_sizes: list[int] = setting([64, 64], "Widths of the hidden layers of actor and critic.", ge=1)
    activation_function: str = setting("tanh", "Activation of the hidden layers.", choices=ACTIVATIONS)
    ortho_init: bool = setting(True, "Orthogonal initialisation (gain sqrt 2; policy head 0.01, value head 1).")
    shared_torso: bool = setting(False, "One torso for actor and critic instead of one each.")
    log_std_init: float = setting(0.0, "Initial log standard deviation of Gaussian policies.", ge=-20, le=2)

    @abstractmethod
    def loss(self, new: Prediction, batch: Batch, knobs: Knobs) -> Loss:
        """Return the loss of one minibatch of B transitions, and the scalars that `scalars` declares.

        Args:
            new: log-probabilities, entropies and values under the current weights, each [B].
            batch: the minibatch, its advantages normalised where the settings say so.
            knobs: the annealed scalars now.
        """

    def build(self, spec: SpaceSpec, inputs: Inputs) -> ActorCritic:
        """Return an actor and a critic; their weights come from torch's global generator."""
        import torch  # not at the start: a config error need not wait for it

        from rlexp.models.actor_critic import ActorCritic, Architecture
        from rlexp.models.build import torso_settings

        return ActorCritic(
            spec,
            Architecture(
                actor=torso_settings(self, inputs.network, spec.observation, inputs.network.actor_hidden_sizes),
                critic=torso_settings(self, inputs.network, spec.observation, inputs.network.critic_hidden_sizes),
                ortho_init=self.ortho_init,
                shared_torso=self.shared_torso,
                log_std_init=self.log_std_init,
                normalize=inputs.normalize,
                clip=inputs.clip,
                bounds=inputs.bounds,
                critic_keys=tuple(inputs.network.critic_keys),
                sequence_length=inputs.network.sequence_length,
                dtype=torch.bfloat16 if inputs.bfloat16 else torch.float32,
            ),
        )

    def memory(self, agent: Any) -> FreshSettings:
        """Return how it learns from a rollout."""
        return FreshSettings(self.update_epochs, self.per_rank_batch_size, self.gamma, self.gae_lambda, None)

    def objectives(self) -> tuple[Objective, ...]:
        """Return one: actor and critic learn together."""
        return (Objective("policy", self._minibatch_loss, tuple(scalar.name for scalar in self.scalars)),)

    def _minibatch_loss(self, agent: ActorCritic, batch: Batch, knobs: Knobs) -> Loss:
        if self.normalize_advantages and batch.advantages.shape[0] > 1:
            batch = replace(batch, advantages=normalized(batch.advantages, batch.weight))
        return self.loss(agent(batch.obs, batch.actions, batch.states, batch.first), batch, knobs)

    def knobs(self, left: float) -> Knobs:
        """Return the learning rate and the weight of the entropy bonus."""
        return {**super().knobs(left), "ent_coef": self.ent_coef}

    def optimizer_steps(self, sizes: Sizes) -> int:
        """Return the minibatches of all epochs and updates."""
        return sizes.updates * self.update_epochs * -(-sizes.most_rows // (self.per_rank_batch_size or sizes.most_rows))

    @property
    def one_torso(self) -> bool:
        """Whether actor and critic share all but their heads."""
        return self.shared_torso

    def check(self, sizes: Sizes) -> None:
        """Check the sizes of networks and minibatches.

        Raises:
            ConfigError: names the first key that is wrong.
        """
        super().check(sizes)
        rows, least, most = self.per_rank_batch_size, sizes.least_rows, sizes.most_rows
        if rows is not None and rows > least:
            raise ConfigError(
                f"algo.per_rank_batch_size={rows} is larger than the {least} transitions that a rank "
                f"gets of a rollout (env.num_envs={sizes.num_envs}, algo.num_steps={self.num_steps}); "
                f"allowed: 1 to {least}, or null for all of them"
            )
        if rows is not None and -(-most // rows) > least:
            raise ConfigError(
                f"algo.per_rank_batch_size={rows} makes {-(-most // rows)} minibatches of the {most} transitions of "
                f"one rank, but another has only {least}; give a larger algo.per_rank_batch_size"
            )
