"""Torsos: from a flat observation row to features."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from rlexp.data.spaces import ImageSpec, ObservationSpec
from rlexp.models.normalizer import ObservationNormalizer


def tanh(x: Tensor) -> Tensor:
    """Return the hyperbolic tangent.

    Code compiled for the CPU takes it from the sigmoid: several times as fast there, with an error below 1e-6.
    """
    if torch.compiler.is_compiling() and x.device.type == "cpu" and x.dtype == torch.float32:
        return 2 * (2 * x).sigmoid() - 1
    return x.tanh()


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": tanh, "relu": torch.relu, "elu": functional.elu, "gelu": functional.gelu, "silu": functional.silu,
}  # fmt: skip


SYMBOL_FEATURES = 16
"""Numbers that a symbol is turned into."""


def orthogonal(layer: nn.Linear | nn.Conv2d, gain: float) -> None:
    """Initialise a layer's weight orthogonally (arXiv:1312.6120) and its bias with 0."""
    nn.init.orthogonal_(layer.weight, gain)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


class Symbols(nn.Module):
    """Looks up each symbol in a table of its channel, and adds up what is found for the channels of a place.

    The symbols themselves, as numbers from 0 to 1, stand beside the sums: where neighbours are alike after all (the
    pixels of a small picture, a count) that is learnt much faster. The table begins such that sums have variance 1.
    """

    first: Tensor

    def __init__(self, channels: int, symbols: int, features: int) -> None:
        super().__init__()
        self.symbols = symbols
        self.table = nn.Parameter(torch.empty(channels * symbols, features))
        nn.init.normal_(self.table, std=channels**-0.5)
        # Follows from the sizes, so that no checkpoint holds it.
        self.register_buffer("first", symbols * torch.arange(channels, dtype=torch.int32), persistent=False)

    def forward(self, symbols: Tensor) -> Tensor:
        """Return features [B, F + C, H, W] of symbols [B, C, H, W] int32."""
        rows = symbols.permute(0, 2, 3, 1) + self.first  # [B, H, W, C]
        sums = functional.embedding(rows, self.table).sum(-2).permute(0, 3, 1, 2)
        return torch.cat([sums, symbols.to(sums.dtype) / (self.symbols - 1)], 1)


def convolutions(image: ImageSpec) -> nn.Sequential:
    """Return a convolutional torso: of the DQN paper (Nature 2015) from 36 pixels a side on, a small one below.

    Symbols become features of their own before it.
    """
    if min(image.height, image.width) >= 36:
        layers = [(32, 8, 4), (64, 4, 2), (64, 3, 1)]
        padding = 0
    else:
        layers = [(16, 3, 1), (32, 3, 2)]
        padding = 1
    modules: list[nn.Module] = []
    channels = image.channels
    if image.embedded:
        modules.append(Symbols(channels, image.levels, SYMBOL_FEATURES))
        channels += SYMBOL_FEATURES
    for width, kernel, stride in layers:
        modules += [nn.Conv2d(channels, width, kernel, stride, padding), nn.ReLU()]
        channels = width
    return nn.Sequential(*modules, nn.Flatten())


class Preprocessor(nn.Module):
    """Splits an observation row: normalised and clipped numbers with one-hot choices, and images.

    Images are pixels in [0, 1], or symbols as int32. Numbers are of type `dtype`, that of the weights. `identity` says
    that rows come out as they went in.
    """

    def __init__(
        self, spec: ObservationSpec, normalize: bool, clip: float | None, dtype: torch.dtype = torch.float32
    ) -> None:
        super().__init__()
        self.dtype = dtype
        self.spec = spec
        self.clip = clip
        self.normalizer = ObservationNormalizer(spec.vector_size) if normalize and spec.vector_size else None
        plain = not spec.discrete and not spec.images and dtype == torch.float32
        self.identity = plain and clip is None and self.normalizer is None
        self.vector_features = spec.vector_size + sum(spec.discrete)
        self.floats, self.choices = spec.floats, len(spec.discrete)
        first = torch.tensor([0, *spec.discrete[:-1]], dtype=torch.int64).cumsum(0)
        self.first: Tensor  # column of the first option of each choice
        self.register_buffer("first", first, persistent=False)

    def raw_vector(self, rows: Tensor) -> Tensor:
        """Return the real numbers of rows [B, D], not normalised: [B, vector_size] float32."""
        return self._real(rows)[..., : self.spec.vector_size]

    def _real(self, rows: Tensor) -> Tensor:
        """Return the float32 part of rows [*, D]."""
        return rows[..., : 4 * self.floats].view(torch.float32) if self.spec.images else rows

    def forward(self, rows: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return features [B, vector_features] and images, each [B, C, H, W], of rows [B, D]."""
        floats = self._real(rows)
        vector = floats[..., : self.spec.vector_size]
        if self.normalizer is not None:
            vector = self.normalizer(vector)
        if self.clip is not None:
            vector = vector.clamp(-self.clip, self.clip)
        if self.spec.discrete:
            start = self.spec.vector_size
            options = floats[..., start : start + self.choices].long() + self.first
            one_hot = floats.new_zeros((*floats.shape[:-1], sum(self.spec.discrete))).scatter(-1, options, 1.0)
            vector = torch.cat([vector, one_hot], -1)
        return vector.to(self.dtype), self._images(rows, floats)

    def _images(self, rows: Tensor, floats: Tensor) -> list[Tensor]:
        images = []
        real, start = self.spec.vector_size + self.choices, 4 * self.floats
        for image in self.spec.images:
            shape = (-1, image.channels, image.height, image.width)
            if image.levels == 0:
                images.append(floats[:, real : real + image.size].reshape(shape).to(self.dtype))
                real += image.size
                continue
            stored = rows[:, start : start + image.size].view(shape)
            start += image.size
            if image.embedded:
                images.append(stored.to(torch.int32))
            else:
                images.append(stored.to(self.dtype) / max(1, image.levels - 1))
        return images


class Torso(nn.Module):
    """Images through convolutions, then everything through fully connected layers."""

    def __init__(
        self,
        spec: ObservationSpec,
        vector_features: int,
        hidden_sizes: Sequence[int],
        activation: str,
        ortho_init: bool,
    ) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(convolutions(image) for image in spec.images)
        if ortho_init:
            for layer in self.convolutions.modules():
                if isinstance(layer, nn.Conv2d):
                    orthogonal(layer, math.sqrt(2))
        width = vector_features
        with torch.no_grad():
            for image, network in zip(spec.images, self.convolutions, strict=True):
                dtype = torch.int32 if image.embedded else torch.float32
                width += network(torch.zeros(1, image.channels, image.height, image.width, dtype=dtype)).shape[1]
        self.activation = ACTIVATIONS[activation]
        self.layers = nn.ModuleList()
        for size in hidden_sizes:
            linear = nn.Linear(width, size)
            if ortho_init:
                orthogonal(linear, math.sqrt(2))
            self.layers.append(linear)
            width = size
        self.features = width

    def forward(self, vector: Tensor, images: list[Tensor]) -> Tensor:
        """Return features [B, hidden_sizes[-1]] of what a `Preprocessor` returned."""
        if images:
            maps = [network(image) for network, image in zip(self.convolutions, images, strict=True)]
            vector = torch.cat([vector, *maps], -1)
        for layer in self.linears():
            vector = self.activation(functional.linear(vector, layer.weight, layer.bias))  # skips Module.__call__
        return vector

    def linears(self) -> list[nn.Linear]:
        """Return the fully connected layers, in order."""
        return list(self.layers)  # type: ignore[arg-type]  # nothing else is appended to it


def transposed(layer: nn.Linear) -> tuple[Tensor, Tensor]:
    """Return copies of a layer's weight as contiguous [in, out], and of its bias: twice as fast for a few rows."""
    return layer.weight.detach().t().contiguous(), layer.bias.detach().clone()
