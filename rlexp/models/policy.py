"""The actor-critic policy: preprocessing, torsos, heads and an action distribution."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from rlexp.models.distributions import build_distribution
from rlexp.models.encoders import Preprocessor, Torso, orthogonal
from rlexp.types import Evaluation, SpaceSpec

if TYPE_CHECKING:
    from rlexp.config import Config


class ActorCritic(nn.Module):
    """A stochastic policy and a value function over flat observation rows.

    Players call `act`; learners call `values`, `log_prob` and, for gradients, `forward`.
    """

    def __init__(
        self,
        spec: SpaceSpec,
        *,
        hidden_sizes: list[int],
        activation: str,
        ortho_init: bool,
        shared_torso: bool,
        log_std_init: float,
        normalize: bool,
        clip: float | None,
        squash: bool,
    ) -> None:
        super().__init__()
        self.distribution = build_distribution(spec.action, squash)
        self.preprocessor = Preprocessor(spec.observation, normalize, clip)

        def torso() -> Torso:
            features = self.preprocessor.vector_features
            return Torso(spec.observation, features, hidden_sizes, activation, ortho_init)

        self.actor_torso = torso()
        self.critic_torso = self.actor_torso if shared_torso else torso()
        self.shared_torso = shared_torso
        self.actor_head = nn.Linear(self.actor_torso.features, self.distribution.num_outputs)
        self.critic_head = nn.Linear(self.critic_torso.features, 1)
        if ortho_init:
            orthogonal(self.actor_head, 0.01)
            orthogonal(self.critic_head, 1.0)
        free = self.distribution.num_params - self.distribution.num_outputs
        self.log_std = nn.Parameter(torch.full((free,), log_std_init)) if free else None

    def _params(self, features: Tensor) -> Tensor:
        """Return the distribution's parameters, [B, P], for actor features [B, F]."""
        outputs = self.actor_head(features)
        if self.log_std is not None:
            outputs = torch.cat([outputs, self.log_std.expand(*outputs.shape[:-1], -1)], -1)
        return outputs  # type: ignore[no-any-return]  # nn.Module.__call__ is untyped

    def act(self, obs: Tensor) -> Tensor:
        """Return the parameters of the action distribution, [B, P], for rows [B, D]."""
        return self._params(self.actor_torso(*self.preprocessor(obs)))

    def log_prob(self, obs: Tensor, actions: Tensor) -> Tensor:
        """Return the log-probability of each action, [B] float32."""
        return self.distribution.log_prob(self.act(obs).float(), actions)

    def values(self, obs: Tensor) -> Tensor:
        """Return the value of each observation, [B] float32."""
        return self.critic_head(self.critic_torso(*self.preprocessor(obs))).squeeze(-1).float()  # type: ignore[no-any-return]  # nn.Module.__call__ is untyped

    def forward(self, obs: Tensor, actions: Tensor) -> Evaluation:
        """Return log-probabilities, entropies and values of B transitions."""
        inputs = self.preprocessor(obs)
        actor_features = self.actor_torso(*inputs)
        critic_features = actor_features if self.shared_torso else self.critic_torso(*inputs)
        params = self._params(actor_features).float()
        return Evaluation(
            log_prob=self.distribution.log_prob(params, actions),
            entropy=self.distribution.entropy(params),
            values=self.critic_head(critic_features).squeeze(-1).float(),
        )


def build_policy(config: Config, spec: SpaceSpec) -> ActorCritic:
    """Build the policy that a config describes; its weights come from torch's global generator."""
    algo, env = config.algo, config.env
    return ActorCritic(
        spec,
        hidden_sizes=algo.hidden_sizes,
        activation=algo.activation_function,
        ortho_init=algo.ortho_init,
        shared_torso=algo.shared_torso,
        log_std_init=algo.log_std_init,
        normalize=env.normalize_observations,
        clip=env.clip_observations,
        squash=env.action_bounds == "tanh",
    )
