"""What networks are made of, as settings say it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Network:
    """What the torsos of actor and critic are made of; see the settings of the group `model`.

    Attributes:
        encoder: a name of `rlexp.models.encoders.ENCODERS`, or a path package.module:Class.
        kwargs: arguments of the encoder.
        layer_norm: whether fully connected layers are normalised.
        actor_hidden_sizes: widths of the actor's; None: the algorithm's.
        critic_hidden_sizes: widths of the critic's; None: the algorithm's.
        critic_keys: parts of the observation that the critic alone sees.
        memory: a recurrent layer after the encoder: gru or lstm; none: there is none.
        memory_size: its width.
        sequence_length: steps of the sequences that it learns from.
    """

    encoder: str = "mlp"
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    layer_norm: bool = False
    actor_hidden_sizes: tuple[int, ...] | None = None
    critic_hidden_sizes: tuple[int, ...] | None = None
    critic_keys: tuple[str, ...] = ()
    memory: str = "none"
    memory_size: int = 64
    sequence_length: int = 16
