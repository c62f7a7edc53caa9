"""The agent of on-policy algorithms: an actor, and a critic that estimates values."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rlexp.data.batch import Prediction
from rlexp.data.spaces import SpaceSpec
from rlexp.models.actor import Actor
from rlexp.models.agent import Agent
from rlexp.models.mixed import build_distribution
from rlexp.models.preprocessor import Preprocessor, orthogonal
from rlexp.models.torso import Torso, TorsoSettings


@dataclass(frozen=True)
class Architecture:
    """What an agent's networks are made of.

    Attributes:
        actor: the actor's torso.
        critic: the critic's; the same where they share one.
        ortho_init: whether the heads begin orthogonal (gain 0.01 of the actor's, 1 of the critic's).
        shared_torso: whether actor and critic share their torso.
        log_std_init: first log standard deviation of Gaussian policies.
        normalize: whether observations are normalised.
        clip: what (normalised) observations are clipped to; None: not clipped.
        squash: whether real actions are squashed into their bounds by tanh.
        critic_keys: parts of the observation that the critic alone sees.
        dtype: of the weights.
    """

    actor: TorsoSettings
    critic: TorsoSettings
    ortho_init: bool
    shared_torso: bool
    log_std_init: float
    normalize: bool
    clip: float | None
    squash: bool
    critic_keys: tuple[str, ...] = ()
    dtype: torch.dtype = torch.float32


class Critic(nn.Module):
    """Values of observations, from the inputs that the actor's preprocessor returns."""

    def __init__(self, torso: Torso, head: nn.Linear) -> None:
        super().__init__()
        self.torso, self.head = torso, head

    def forward(self, vector: Tensor, images: list[Tensor]) -> Tensor:
        """Return the value of each observation, [B] float32."""
        return self.of_features(self.torso(vector, images))

    def of_features(self, features: Tensor) -> Tensor:
        """Return values, [B] float32, of features [B, F] of the torso."""
        values: Tensor = self.head(features)
        return values.squeeze(-1).float()


class ActorCritic(Agent):
    """A stochastic policy and a value function over flat observation rows.

    Players use `actor`; learners call `values` and, for gradients, `forward`.
    """

    def __init__(self, spec: SpaceSpec, architecture: Architecture) -> None:
        super().__init__()
        made = architecture
        distribution = build_distribution(spec.action, made.squash)
        preprocessor = Preprocessor(spec.observation, made.normalize, made.clip, made.dtype, made.critic_keys)
        actor_torso = Torso(preprocessor.actor_spec, preprocessor.actor_features, made.actor)
        critic_torso = actor_torso
        if not made.shared_torso:
            critic_torso = Torso(spec.observation, preprocessor.vector_features, made.critic)
        actor_head = nn.Linear(actor_torso.features, distribution.num_outputs)
        critic_head = nn.Linear(critic_torso.features, 1)
        if made.ortho_init:
            orthogonal(actor_head, 0.01)
            orthogonal(critic_head, 1.0)
        free = distribution.num_params - distribution.num_outputs
        log_std = nn.Parameter(torch.full((free,), made.log_std_init)) if free else None
        self.actor = Actor(preprocessor, actor_torso, actor_head, distribution, log_std, spec.action, made.squash)
        self.critic = Critic(critic_torso, critic_head)
        self.shared_torso = made.shared_torso
        for parameter in self.parameters():  # not self.to(dtype): statistics keep their precision
            parameter.data = parameter.data.to(made.dtype)

    def parts(self) -> dict[str, nn.Module]:
        """Return one part, of actor and critic; equal layers of both lie side by side."""
        actor, critic = self.actor, self.critic
        free = [] if actor.log_std is None else [nn.ParameterList([actor.log_std])]
        return {"policy": nn.ModuleList([*free, actor.torso, critic.torso, actor.head, critic.head])}

    def values(self, rows: Tensor) -> Tensor:
        """Return the value of each observation row, [B] float32."""
        values: Tensor = self.critic(*self.actor.preprocessor(rows))
        return values

    def forward(self, rows: Tensor, actions: Tensor) -> Prediction:
        """Return log-probabilities, entropies and values of B transitions."""
        preprocessor = self.actor.preprocessor
        inputs = preprocessor(rows)
        actor_features = self.actor.torso(*preprocessor.for_actor(*inputs))
        critic_features = actor_features if self.shared_torso else self.critic.torso(*inputs)
        params = self.actor.masked(rows, self.actor.parameters_of(actor_features)).float()
        log_prob, entropy = self.actor.distribution.log_prob_and_entropy(params, actions)
        return Prediction(log_prob=log_prob, entropy=entropy, values=self.critic.of_features(critic_features))
