"""The agent of SAC and TD3: an actor, critics of its actions, target networks, and a temperature."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rlexp.data.spaces import SpaceSpec
from rlexp.models.actor import Actor
from rlexp.models.agent import Agent
from rlexp.models.critics import Critics, CriticSettings
from rlexp.models.distributions import Distribution
from rlexp.models.exploring import SquashedGaussian
from rlexp.models.preprocessor import Preprocessor
from rlexp.models.torso import Torso, TorsoSettings


@dataclass(frozen=True)
class CriticArchitecture:
    """What the networks of an actor with critics are made of.

    Attributes:
        actor: the actor's torso; its encoder is the critics' too.
        critics: the critics.
        shared_encoder: whether actor and critics share the encoder, which then learns from the critics alone.
        normalize: whether observations are normalised.
        clip: what (normalised) observations are clipped to; None: not clipped.
        critic_keys: parts of the observation that the critics alone see.
        target_actor: whether there is a target network of the actor too.
        temperature: alpha at the start.
    """

    actor: TorsoSettings
    critics: CriticSettings
    shared_encoder: bool
    normalize: bool
    clip: float | None
    critic_keys: tuple[str, ...]
    target_actor: bool = False
    temperature: float = 1.0


class ActorWithCritics(Agent):
    """A policy, N critics, and the target networks of critics and, if asked for, actor."""

    def __init__(self, spec: SpaceSpec, distribution: Distribution, architecture: CriticArchitecture) -> None:
        super().__init__()
        made, action = architecture, spec.action
        preprocessor = Preprocessor(spec.observation, made.normalize, made.clip, torch.float32, made.critic_keys)
        torso = Torso(preprocessor.actor_spec, preprocessor.actor_features, made.actor)
        head = nn.Linear(torso.features, distribution.num_outputs)
        self.actor = Actor(preprocessor, torso, head, distribution, None, action, "scale")
        encoder, features = None, preprocessor.vector_features
        self.shared_encoder = torso.encoder is not None and made.shared_encoder and not made.critic_keys
        if made.actor.encoder is not None:
            encoder = made.actor.encoder(spec.observation, preprocessor.vector_features, **made.actor.kwargs)
            encoder = torso.encoder if self.shared_encoder else encoder
            assert encoder is not None
            features = encoder.features
        choices = action.sizes[0] if action.sizes else 1
        self.critics = Critics(encoder, features, len(action.low), choices, made.critics)
        self.target_critics = None
        if not made.critics.batch_norm:
            self.target_critics = copy.deepcopy(self.critics).requires_grad_(False)
        self.target_torso, self.target_head = None, None
        if made.target_actor:
            self.target_torso = copy.deepcopy(torso).requires_grad_(False)
            self.target_head = copy.deepcopy(head).requires_grad_(False)
        self.log_alpha = nn.Parameter(torch.tensor([math.log(made.temperature)]))

    def parts(self) -> dict[str, nn.Module]:
        """Return critics, actor and temperature; an encoder that is shared belongs to the critics."""
        torso = self.actor.torso
        layers: list[nn.Module] = [torso.layers, torso.norms, self.actor.head]
        if torso.encoder is not None and not self.shared_encoder:
            layers.insert(0, torso.encoder)
        return {
            "critics": self.critics,
            "actor": nn.ModuleList(layers),
            "temperature": nn.ParameterList([self.log_alpha]),
        }

    def targets(self) -> dict[str, nn.Module]:
        """Return the target networks by the part that they follow."""
        found: dict[str, nn.Module] = {}
        if self.target_critics is not None:
            found["critics"] = self.target_critics
        if self.target_torso is not None and self.target_head is not None:
            own = [self.target_torso.layers, self.target_torso.norms, self.target_head]
            if self.target_torso.encoder is not None and not self.shared_encoder:
                own.insert(0, self.target_torso.encoder)
            found["actor"] = nn.ModuleList(own)
        return found

    def statistics(self) -> Tensor | None:
        """Return the running statistics of critics that batch-renormalise, flat."""
        renorm = self.critics.ensemble.renorm
        return None if renorm is None else renorm.running

    def target_values(self, seen: tuple[Tensor, list[Tensor]], actions: Tensor | None = None) -> Tensor:
        """Return action values of the target critics; see `Critics`."""
        assert self.target_critics is not None
        values: Tensor = self.target_critics(*seen, actions)
        return values

    def values_with_next(
        self, rows: Tensor, actions: Tensor | None, next_rows: Tensor, next_actions: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return action values of two batches of B rows that go through the critics as one, and the statistics after.

        Without target networks, both must have the same distribution for batch normalisation (arXiv:1902.05605).
        """
        both = None if actions is None or next_actions is None else torch.cat([actions, next_actions])
        values, statistics = self.critics.learned(*self.seen(torch.cat([rows, next_rows])), both)
        now, following = values.chunk(2, 1)
        return now, following, statistics

    def seen(self, rows: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return what the critics see of rows [B, D]."""
        inputs: tuple[Tensor, list[Tensor]] = self.actor.preprocessor(rows)
        return inputs

    def sampled(self, params: Tensor, normal: Tensor) -> tuple[Tensor, Tensor]:
        """Return real actions, [B, A] in [-1, 1], and their log density, [B]; see `SquashedGaussian.sampled`."""
        distribution = self.actor.distribution
        assert isinstance(distribution, SquashedGaussian)
        return distribution.sampled(params, normal)

    def target_action(self, rows: Tensor) -> Tensor:
        """Return the actions of the target actor, [B, A] in [-1, 1]."""
        assert self.target_torso is not None and self.target_head is not None
        preprocessor = self.actor.preprocessor
        features = self.target_torso(*preprocessor.for_actor(*preprocessor(rows)))
        return self.actor.distribution.mode(self.target_head(features).float())

    def tried(self, rows: Tensor) -> dict[str, Tensor]:
        """Return the action values of the first critic, [B], of rows [B, D] and the actor's actions."""
        actions = self.actor.distribution.mode(self.actor(rows).float())
        if self.actor.low.numel() == 0:
            return {"action values": self.critics(*self.seen(rows))[0, :, 0]}
        return {"action values": self.critics(*self.seen(rows), actions)[0]}
