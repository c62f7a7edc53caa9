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


@dataclass(frozen=True)
class TorsoSettings:
    """What a torso is made of.

    Attributes:
        encoder: makes features of an observation; observations without images need none.
        kwargs: its arguments.
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
        self.plain = self.encoder is None and not settings.layer_norm

    def forward(self, vector: Tensor, images: list[Tensor]) -> Tensor:
        """Return features [B, hidden_sizes[-1]] of what a `Preprocessor` returned."""
        if self.encoder is not None:
            vector = self.encoder(vector, images)
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
