"""The actor-critic policy: preprocessing, torsos, heads and an action distribution."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from rlexp.data.batch import Evaluation
from rlexp.data.spaces import SpaceSpec
from rlexp.models.distributions import build_distribution
from rlexp.models.encoders import Preprocessor, Torso, orthogonal, transposed

if TYPE_CHECKING:
    from rlexp.config.schema import Config


class ActorCritic(nn.Module):
    """A stochastic policy and a value function over flat observation rows.

    Players call what `actor` returns; learners call `values`, `log_prob` and, for gradients, `forward`.
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
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        self.distribution = build_distribution(spec.action, squash)
        self.preprocessor = Preprocessor(spec.observation, normalize, clip, dtype)

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
        for parameter in self.parameters():  # not self.to(dtype): statistics keep their precision
            parameter.data = parameter.data.to(dtype)

    def _params(self, features: Tensor) -> Tensor:
        """Return the distribution's parameters, [B, P], for actor features [B, F]."""
        outputs = self.actor_head(features)
        if self.log_std is not None:
            outputs = torch.cat([outputs, self.log_std.expand(*outputs.shape[:-1], -1)], -1)
        return outputs  # type: ignore[no-any-return]  # nn.Module.__call__ is untyped

    def act(self, obs: Tensor) -> Tensor:
        """Return the parameters of the action distribution, [B, P], for rows [B, D]."""
        return self._params(self.actor_torso(*self.preprocessor(obs)))

    def actor_layers(self) -> list[tuple[Tensor, Tensor]]:
        """Return copies of weight [in, out] and bias of the actor's fully connected layers, the head last."""
        return [transposed(layer) for layer in (*self.actor_torso.linears(), self.actor_head)]

    def actor(self) -> Callable[[Tensor], Tensor]:
        """Return `act` for the weights of this moment, to be called many times on few rows.

        Weights of fully connected layers are laid out for small batches once (twice as fast for 4 rows), so the result
        goes stale when the weights change.
        """
        if self.actor_torso.convolutions:
            return self.act
        *hidden, (weight, bias) = self.actor_layers()
        log_std = None if self.log_std is None else self.log_std.detach()
        preprocess = None if self.preprocessor.identity else self.preprocessor
        activation = self.actor_torso.activation

        def act(rows: Tensor) -> Tensor:
            features = rows if preprocess is None else preprocess(rows)[0]
            for layer_weight, layer_bias in hidden:
                features = activation(torch.addmm(layer_bias, features, layer_weight))
            outputs = torch.addmm(bias, features, weight)
            return outputs if log_std is None else torch.cat([outputs, log_std.expand_as(outputs)], -1)

        return act

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
        log_prob, entropy = self.distribution.log_prob_and_entropy(params, actions)
        return Evaluation(
            log_prob=log_prob,
            entropy=entropy,
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
        clip=env.observation_limit,
        squash=env.action_bounds == "tanh",
        dtype=torch.bfloat16 if config.fabric.precision == "bf16-true" else torch.float32,
    )
