"""Torsos, from an algorithm's settings and those of the group `model`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from rlexp import plugins
from rlexp.data.network import Network
from rlexp.data.spaces import ObservationSpec, SpaceSpec
from rlexp.models.actor_with_critics import CriticArchitecture
from rlexp.models.critics import CriticSettings
from rlexp.models.encoders import ENCODERS, Encoder
from rlexp.models.torso import TorsoSettings


class FullyConnected(Protocol):
    """What an algorithm says of the fully connected layers."""

    hidden_sizes: list[int]
    activation_function: str
    ortho_init: bool


def torso_settings(
    algorithm: FullyConnected, network: Network, spec: ObservationSpec, sizes: Sequence[int] | None
) -> TorsoSettings:
    """Return what a torso is made of.

    Args:
        algorithm: says the fully connected layers.
        network: says the encoder.
        spec: what an observation is made of.
        sizes: widths of the fully connected layers, instead of the algorithm's; None: those.

    Raises:
        ConfigError: a path leads to no encoder.
    """
    made: type[Encoder] | None = ENCODERS.get(network.encoder)
    if made is None:
        made = plugins.imported(network.encoder, Encoder, "model.path")
    elif network.encoder == "mlp" and not spec.images and not network.kwargs:
        made = None
    return TorsoSettings(
        encoder=made,
        hidden_sizes=tuple(algorithm.hidden_sizes if sizes is None else sizes),
        activation=algorithm.activation_function,
        layer_norm=network.layer_norm,
        ortho_init=algorithm.ortho_init,
        kwargs=network.kwargs,
        memory=network.memory,
        memory_size=network.memory_size,
    )


class WithCritics(FullyConnected, Protocol):
    """What an algorithm says of its critics."""

    num_critics: int
    critic_layer_norm: bool
    critic_dropout: float
    shared_encoder: bool


class Given(Protocol):
    """What the rest of an experiment says of networks; see `rlexp.algos.base.Inputs`."""

    @property
    def normalize(self) -> bool:
        """Whether observations are normalised."""

    @property
    def clip(self) -> float | None:
        """What they are clipped to."""

    @property
    def network(self) -> Network:
        """What torsos are made of."""


def critic_architecture(
    algorithm: WithCritics,
    spec: SpaceSpec,
    inputs: Given,
    temperature: float = 1.0,
    target_actor: bool = False,
    batch_norm: bool = False,
) -> CriticArchitecture:
    """Return what an actor with critics is made of.

    Args:
        algorithm: says the fully connected layers and the critics.
        spec: the spaces.
        inputs: what the rest of the experiment says.
        temperature: alpha at the start.
        target_actor: whether there is a target network of the actor too.
        batch_norm: whether critics batch-renormalise, and have no target networks.
    """
    network = inputs.network
    sizes = network.critic_hidden_sizes or algorithm.hidden_sizes
    return CriticArchitecture(
        actor=torso_settings(algorithm, network, spec.observation, network.actor_hidden_sizes),
        critics=CriticSettings(
            count=algorithm.num_critics,
            hidden_sizes=tuple(sizes),
            activation=algorithm.activation_function,
            layer_norm=network.layer_norm or algorithm.critic_layer_norm,
            dropout=algorithm.critic_dropout,
            batch_norm=batch_norm,
        ),
        shared_encoder=algorithm.shared_encoder,
        normalize=inputs.normalize,
        clip=inputs.clip,
        critic_keys=tuple(network.critic_keys),
        target_actor=target_actor,
        temperature=temperature,
    )
