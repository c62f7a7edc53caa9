"""Torsos: an encoder, then fully connected layers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from rlexp.data.spaces import ObservationSpec
from rlexp.models.encoders import Encoder, ImageEncoder
from rlexp.models.preprocessor import ACTIVATIONS, orthogonal
from rlexp.models.recurrent import MEMORIES, Sequences


@dataclass(frozen=True)
class TorsoSettings:
    """What a torso is made of.

    Attributes:
        encoder: makes features of an observation; observations without images need none.
        kwargs: its arguments.
        memory: a recurrent layer that follows it; none: there is none.
        memory_size: width of that.
        hidden_sizes: widths of the fully connected layers.
        activation: of these layers; a key of `rlexp.models.preprocessor.ACTIVATIONS`.
        layer_norm: whether each of these layers is normalised before its activation (arXiv:1607.06450).
        ortho_init: whether weights begin orthogonal, with gain sqrt 2.
    """

    encoder: type[Encoder] | None
    hidden_sizes: tuple[int, ...]
    activation: str
    layer_norm: bool
    ortho_init: bool
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    memory: str = "none"
    memory_size: int = 0


class Torso(nn.Module):
    """Images through an encoder, then everything through fully connected layers.

    Attributes:
        plain: whether there is nothing but fully connected layers and activations.
    """

    def __init__(self, spec: ObservationSpec, vector_features: int, settings: TorsoSettings) -> None:
        super().__init__()
        made = settings.encoder
        self.encoder = None if made is None else made(spec, vector_features, **settings.kwargs)
        width = vector_features if self.encoder is None else self.encoder.features
        if settings.ortho_init and isinstance(self.encoder, ImageEncoder):  # others begin as they say
            for layer in self.encoder.modules():
                if isinstance(layer, nn.Conv2d):
                    orthogonal(layer, math.sqrt(2))
        made_memory = MEMORIES.get(settings.memory)
        self.memory = None if made_memory is None else made_memory(width, settings.memory_size)
        width = width if self.memory is None else self.memory.size
        self.activation: Callable[[Tensor], Tensor] = ACTIVATIONS[settings.activation]
        self.layers = nn.ModuleList()
        for size in settings.hidden_sizes:
            linear = nn.Linear(width, size)
            if settings.ortho_init:
                orthogonal(linear, math.sqrt(2))
            self.layers.append(linear)
            width = size
        self.norms = nn.ModuleList(nn.LayerNorm(size) for size in settings.hidden_sizes if settings.layer_norm)
        self.features = width
        self.plain = self.encoder is None and not settings.layer_norm and self.memory is None

    @property
    def state_size(self) -> int:
        """Width of the recurrent state; 0 without one."""
        return 0 if self.memory is None else self.memory.state_size

    def forward(
        self, vector: Tensor, images: list[Tensor], sequences: Sequences | None = None, column: int = 0
    ) -> Tensor:
        """Return features [B, hidden_sizes[-1]] of what a `Preprocessor` returned.

        Args:
            vector: [B, V].
            images: [B, C, H, W] each.
            sequences: what a recurrent layer needs beside them.
            column: where its state begins in that of `sequences`.
        """
        features = self.encoded(vector, images)
        if self.memory is not None:
            assert sequences is not None, "a recurrent network takes sequences"
            features = sequences.scanned(self.memory, features, column)
        return self.connected(features)

    def encoded(self, vector: Tensor, images: list[Tensor]) -> Tensor:
        """Return what the encoder makes of a batch, [B, F]."""
        if self.encoder is None:
            return vector
        features: Tensor = self.encoder(vector, images)
        return features

    def connected(self, vector: Tensor) -> Tensor:
        """Return what the fully connected layers make of features [B, F]."""
        if self.memory is not None:
            vector = vector.to(self.linears()[0].weight.dtype)  # states are float32 whatever the weights are
        if not self.norms:
            for layer in self.linears():
                vector = self.activation(functional.linear(vector, layer.weight, layer.bias))  # skips Module.__call__
            return vector
        for layer, norm in zip(self.linears(), self.norms, strict=True):
            vector = self.activation(norm(functional.linear(vector, layer.weight, layer.bias)))
        return vector

    def linears(self) -> list[nn.Linear]:
        """Return the fully connected layers, in order."""
        return list(self.layers)  # type: ignore[arg-type]  # nothing else is appended to it


def transposed(layer: nn.Linear) -> tuple[Tensor, Tensor]:
    """Return copies of a layer's weight as contiguous [in, out], and of its bias: twice as fast for a few rows."""
    return layer.weight.detach().t().contiguous(), layer.bias.detach().clone()
