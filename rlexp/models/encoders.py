"""Encoders: from what a preprocessor returns to features. Derive from `Encoder` for a network of your own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from rlexp.data.spaces import ImageSpec, ObservationSpec
from rlexp.errors import ConfigError

SYMBOL_FEATURES = 16
"""Numbers that a symbol is turned into."""
NATURE = ((32, 8, 4), (64, 4, 2), (64, 3, 1))
"""Channels, kernel and stride of each layer of the DQN paper (Nature 2015)."""
NATURE_FROM = 36
"""Pixels a side from which these layers leave something."""
SMALL = ((16, 3, 1), (32, 3, 2))
"""The same for smaller images, which are padded by one."""


class Encoder(nn.Module, ABC):
    """From a preprocessed observation to features; fully connected layers (`algo.hidden_sizes`) follow it.

    A subclass takes the observation's parts and its own arguments (`model.kwargs`), and sets `features`. Actor and
    critic have one each, or share one with `algo.shared_torso=true`.

    Args:
        spec: what an observation is made of; `spec.images` has the images' sizes.
        vector_features: V, width of the vector.

    Attributes:
        features: F, width of what `forward` returns.
    """

    features: int

    def __init__(self, spec: ObservationSpec, vector_features: int) -> None:
        super().__init__()
        self.spec, self.vector_features = spec, vector_features

    @abstractmethod
    def forward(self, vector: Tensor, images: list[Tensor]) -> Tensor:
        """Return features, [B, F].

        Args:
            vector: real numbers, normalised and clipped where the settings say so, then choices as one-hot, [B, V].
            images: [B, C, H, W] each: float32 pixels in [0, 1], or int32 symbols from 0 to `levels` - 1.
        """


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


class ResidualBlock(nn.Module):
    """x + conv(relu(conv(relu(x)))), both 3 x 3."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return a map of the same size."""
        return x + self.second(self.first(x.relu()).relu())  # type: ignore[no-any-return]  # modules are not typed


class ImageEncoder(Encoder):
    """A convolutional network for each image; its flat map stands beside the vector.

    Without arguments: the layers of the DQN paper (Nature 2015) from 36 pixels a side on, two small ones below. Symbols
    become features of their own first.
    """

    def __init__(self, spec: ObservationSpec, vector_features: int, **kwargs: Any) -> None:
        super().__init__(spec, vector_features)
        self.convolutions = nn.ModuleList(self.network(image, **kwargs) for image in spec.images)
        self.features = vector_features
        with torch.no_grad():
            for image, network in zip(spec.images, self.convolutions, strict=True):
                dtype = torch.int32 if image.embedded else torch.float32
                shape = 1, image.channels, image.height, image.width
                self.features += network(torch.zeros(shape, dtype=dtype)).shape[1]

    def network(self, image: ImageSpec) -> nn.Module:
        """Return the network of one image, from [B, C, H, W] to a flat map [B, M]."""
        large = min(image.height, image.width) >= NATURE_FROM
        return _stacked(image, NATURE if large else SMALL, 0 if large else 1)

    def forward(self, vector: Tensor, images: list[Tensor]) -> Tensor:
        """Return the vector and the flat maps of all images side by side, [B, F]."""
        maps = [network(image) for network, image in zip(self.convolutions, images, strict=True)]
        return torch.cat([vector, *maps], -1)


def _stacked(image: ImageSpec, layers: Sequence[tuple[int, int, int]], padding: int) -> nn.Sequential:
    """Return convolutions with ReLU, each (channels, kernel, stride), after a table for symbols."""
    modules: list[nn.Module] = []
    channels = image.channels
    if image.embedded:
        modules.append(Symbols(channels, image.levels, SYMBOL_FEATURES))
        channels += SYMBOL_FEATURES
    for width, kernel, stride in layers:
        modules += [nn.Conv2d(channels, width, kernel, stride, padding), nn.ReLU()]
        channels = width
    return nn.Sequential(*modules, nn.Flatten())


class NatureCNN(ImageEncoder):
    """The convolutions of the DQN paper (Nature 2015): 32 of 8 x 8 by 4, 64 of 4 x 4 by 2, 64 of 3 x 3.

    Raises:
        ConfigError: there is no image, or one has less than 36 pixels a side.
    """

    def __init__(self, spec: ObservationSpec, vector_features: int) -> None:
        _check_images(spec, "nature_cnn")
        super().__init__(spec, vector_features)

    def network(self, image: ImageSpec) -> nn.Module:
        """Return its layers."""
        if min(image.height, image.width) < NATURE_FROM:
            raise ConfigError(
                f"model=nature_cnn needs images of {NATURE_FROM} pixels a side or more, but {image.name or 'this one'} "
                f"is {image.height} x {image.width}; give model=mlp or model=impala_cnn"
            )
        return _stacked(image, NATURE, 0)


class ImpalaCNN(ImageEncoder):
    """The residual network of IMPALA (arXiv:1802.01561, figure 3): per stage 3 x 3, max pooling, two residual blocks.

    Args:
        spec: see `Encoder`.
        vector_features: see `Encoder`.
        channels: of each stage.

    Raises:
        ConfigError: there is no image.
    """

    def __init__(self, spec: ObservationSpec, vector_features: int, channels: Sequence[int] = (16, 32, 32)) -> None:
        _check_images(spec, "impala_cnn")
        super().__init__(spec, vector_features, channels=channels)

    def network(self, image: ImageSpec, channels: Sequence[int] = (16, 32, 32)) -> nn.Module:
        """Return its stages."""
        modules: list[nn.Module] = []
        before = image.channels
        if image.embedded:
            modules.append(Symbols(before, image.levels, SYMBOL_FEATURES))
            before += SYMBOL_FEATURES
        for width in channels:
            stage = [nn.Conv2d(before, width, 3, padding=1), nn.MaxPool2d(3, stride=2, padding=1)]
            modules += [*stage, ResidualBlock(width), ResidualBlock(width)]
            before = width
        return nn.Sequential(*modules, nn.ReLU(), nn.Flatten())


class SymbolGrid(ImageEncoder):
    """Grids of symbols, such as MiniGrid's: each symbol is looked up in a table, then come 3 x 3 convolutions.

    Args:
        spec: see `Encoder`.
        vector_features: see `Encoder`.
        embedding: numbers that a symbol is turned into.
        channels: of each layer; all but the first halve the grid.

    Raises:
        ConfigError: there is no grid of symbols.
    """

    def __init__(
        self,
        spec: ObservationSpec,
        vector_features: int,
        embedding: int = SYMBOL_FEATURES,
        channels: Sequence[int] = (32, 64),
    ) -> None:
        if not any(image.embedded for image in spec.images):
            raise ConfigError(f"model=symbols needs a grid of symbols, but the observation is: {spec.description}")
        super().__init__(spec, vector_features, embedding=embedding, channels=channels)

    def network(self, image: ImageSpec, embedding: int = 0, channels: Sequence[int] = ()) -> nn.Module:
        """Return table and layers."""
        modules: list[nn.Module] = []
        before = image.channels
        if image.embedded:
            modules.append(Symbols(before, image.levels, embedding))
            before += embedding
        for number, width in enumerate(channels):
            modules += [nn.Conv2d(before, width, 3, 1 if number == 0 else 2, 1), nn.ReLU()]
            before = width
        return nn.Sequential(*modules, nn.Flatten())


def _check_images(spec: ObservationSpec, name: str) -> None:
    if not spec.images:
        raise ConfigError(f"model={name} needs an image, but the observation is: {spec.description}; give model=mlp")


ENCODERS: dict[str, type[Encoder]] = {
    "mlp": ImageEncoder, "nature_cnn": NatureCNN, "impala_cnn": ImpalaCNN, "symbols": SymbolGrid,
}  # fmt: skip
"""By their names, as `model=` takes them."""
