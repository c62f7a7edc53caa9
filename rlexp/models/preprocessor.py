"""From a flat observation row to what networks take: activations, initialisation, and the preprocessor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from rlexp.data.spaces import ObservationSpec
from rlexp.errors import ConfigError
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


def orthogonal(layer: nn.Linear | nn.Conv2d, gain: float) -> None:
    """Initialise a layer's weight orthogonally (arXiv:1312.6120) and its bias with 0."""
    nn.init.orthogonal_(layer.weight, gain)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


class Preprocessor(nn.Module):
    """Splits an observation row: normalised and clipped numbers with one-hot choices, and images.

    Images are pixels in [0, 1], or symbols as int32. Numbers are of type `dtype`, that of the weights. `identity` says
    that rows come out as they went in.

    Args:
        spec: what an observation is made of.
        normalize: whether real numbers are normalised.
        clip: what they are clipped to afterwards; None: not clipped.
        dtype: of the numbers.
        critic_keys: parts of the observation, by name, that only a critic sees.

    Raises:
        ConfigError: there is no part of such a name, or nothing is left for the actor.
    """

    def __init__(
        self,
        spec: ObservationSpec,
        normalize: bool,
        clip: float | None,
        dtype: torch.dtype = torch.float32,
        critic_keys: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.actor_spec, columns, self.actor_images = seen_by_actor(spec, critic_keys)
        self.actor_features = len(columns)
        self.asymmetric = bool(critic_keys)
        self.actor_columns: Tensor
        self.register_buffer("actor_columns", torch.tensor(columns, dtype=torch.int64), persistent=False)
        self.dtype = dtype
        self.spec = spec
        self.clip = clip
        self.normalizer = ObservationNormalizer(spec.vector_size) if normalize and spec.vector_size else None
        plain = not spec.discrete and not spec.images and not spec.mask and dtype == torch.float32
        self.identity = plain and clip is None and self.normalizer is None and not critic_keys
        self.vector_features = spec.vector_size + sum(spec.discrete)
        self.floats, self.choices = spec.floats, len(spec.discrete)
        first = torch.tensor([0, *spec.discrete[:-1]], dtype=torch.int64).cumsum(0)
        self.first: Tensor  # column of the first option of each choice
        self.register_buffer("first", first, persistent=False)

    def for_actor(self, vector: Tensor, images: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Return what the actor sees of what `forward` returned."""
        if not self.asymmetric:
            return vector, images
        return vector.index_select(-1, self.actor_columns), [images[number] for number in self.actor_images]

    def raw_vector(self, rows: Tensor) -> Tensor:
        """Return the real numbers of rows [B, D], not normalised: [B, vector_size] float32."""
        return self._real(rows)[..., : self.spec.vector_size]

    def mask(self, rows: Tensor) -> Tensor:
        """Return the action masks of rows [B, D]: [B, mask] float32."""
        return self._real(rows)[..., self.floats - self.spec.mask : self.floats]

    def _real(self, rows: Tensor) -> Tensor:
        """Return the float32 part of rows [*, D]."""
        return rows[..., : 4 * self.floats].view(torch.float32) if self.spec.images else rows

    def forward(self, rows: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return features [B, vector_features] and images, each [B, C, H, W], of rows [B, D]."""
        return self.assembled(self._real(rows), rows[..., 4 * self.floats :] if self.spec.images else rows)

    def assembled(self, floats: Tensor, stored: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return what `forward` returns, of the two parts of rows.

        Args:
            floats: [B, F] float32.
            stored: images of bytes, [B, *] uint8; not looked at where there are none.
        """
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
        return vector.to(self.dtype), self._images(floats, stored)

    def _images(self, floats: Tensor, stored: Tensor) -> list[Tensor]:
        images = []
        real, start = self.spec.vector_size + self.choices, 0
        for image in self.spec.images:
            shape = (-1, image.channels, image.height, image.width)
            if image.levels == 0:
                images.append(floats[:, real : real + image.size].reshape(shape).to(self.dtype))
                real += image.size
                continue
            pixels = stored[:, start : start + image.size].view(shape)
            start += image.size
            if image.embedded:
                images.append(pixels.to(torch.int32))
            else:
                images.append(pixels.to(self.dtype) / max(1, image.levels - 1))
        return images


def seen_by_actor(spec: ObservationSpec, critic_keys: Sequence[str]) -> tuple[ObservationSpec, list[int], list[int]]:
    """Return what an actor sees of an observation without the parts that are for the critic alone.

    Returns:
        The observation that is left, and the columns of the vector and the numbers of the images that it is made of.

    Raises:
        ConfigError: there is no part of such a name, or nothing is left.
    """
    names = [*(name for name, _ in (*spec.number_parts, *spec.choice_parts)), *(image.name for image in spec.images)]
    for key in critic_keys:
        if not any(_is_part(name, key) for name in names):
            known = ", ".join(dict.fromkeys(filter(None, names))) or "none: the observation is no Dict or Tuple"
            raise ConfigError(f"model.critic_keys names {key}, but the parts of the observation are: {known}")

    def shown(name: str) -> bool:
        return not any(_is_part(name, key) for key in critic_keys)

    numbers = [shown(name) for name, count in spec.number_parts for _ in range(count)] or [True] * spec.vector_size
    chosen = [shown(name) for name, count in spec.choice_parts for _ in range(count)] or [True] * len(spec.discrete)
    one_hot = [seen for seen, options in zip(chosen, spec.discrete, strict=True) for _ in range(options)]
    columns = [number for number, seen in enumerate([*numbers, *one_hot]) if seen]
    images = [number for number, image in enumerate(spec.images) if shown(image.name)]
    if not columns and not images:
        raise ConfigError(f"model.critic_keys={list(critic_keys)} leaves nothing for the actor to see")
    left = replace(
        spec,
        vector_size=sum(numbers),
        discrete=tuple(options for options, seen in zip(spec.discrete, chosen, strict=True) if seen),
        images=tuple(spec.images[number] for number in images),
    )
    return left, columns, images


def _is_part(name: str, key: str) -> bool:
    return name == key or name.startswith(f"{key}.")
