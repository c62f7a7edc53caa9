"""Torsos, from an algorithm's settings and those of the group `model`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from rlexp import plugins
from rlexp.data.network import Network
from rlexp.data.spaces import ObservationSpec
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
