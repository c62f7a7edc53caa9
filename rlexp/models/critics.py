"""Several critics of actions at once: their layers lie side by side, so that one batched product computes all."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from rlexp.models.encoders import Encoder
from rlexp.models.preprocessor import ACTIVATIONS
from rlexp.models.renorm import BatchRenorm


@dataclass(frozen=True)
class CriticSettings:
    """What critics are made of.

    Attributes:
        count: N.
        hidden_sizes: widths of the hidden layers.
        activation: of these; a key of `rlexp.models.preprocessor.ACTIVATIONS`.
        layer_norm: whether each is normalised before its activation (arXiv:1607.06450).
        dropout: share of each layer's outputs that is left out while learning (before the norm: arXiv:2110.02034).
        batch_norm: whether the inputs of every layer are batch-renormalised (arXiv:1902.05605).
    """

    count: int
    hidden_sizes: tuple[int, ...]
    activation: str
    layer_norm: bool
    dropout: float
    batch_norm: bool = False


class Ensemble(nn.Module):
    """N fully connected networks; each begins as torch's `nn.Linear` does."""

    def __init__(self, inputs: int, outputs: int, settings: CriticSettings) -> None:
        super().__init__()
        count, sizes = settings.count, [inputs, *settings.hidden_sizes, outputs]
        self.count, self._settings = count, settings
        self._activation = ACTIVATIONS[settings.activation]
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for before, after in itertools.pairwise(sizes):
            bound = 1 / math.sqrt(before)
            self.weights.append(nn.Parameter(torch.empty(count, before, after).uniform_(-bound, bound)))
            self.biases.append(nn.Parameter(torch.empty(count, 1, after).uniform_(-bound, bound)))
        normed: Sequence[int] = settings.hidden_sizes if settings.layer_norm else ()
        self.scales = nn.ParameterList(torch.ones(count, 1, size) for size in normed)
        self.shifts = nn.ParameterList(torch.zeros(count, 1, size) for size in normed)
        self.renorm = BatchRenorm(count, sizes[:-1]) if settings.batch_norm else None

    def forward(self, rows: Tensor) -> Tensor:
        """Return the outputs of all networks, [N, B, O] float32, for rows [B, I]."""
        renorm = self.renorm
        if renorm is None:
            return self._passed(rows, lambda number, features: features)
        return self._passed(rows, renorm.layer)

    def learned(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return the outputs as batches renormalise them, and the running statistics after this batch, flat."""
        renorm, found = self.renorm, list[Tensor]()
        assert renorm is not None

        def normal(number: int, features: Tensor) -> Tensor:
            features, own = renorm.learned(number, features)
            found.append(own)
            return features

        return self._passed(rows, normal), renorm.moved(found)

    def _passed(self, rows: Tensor, normal: Callable[[int, Tensor], Tensor]) -> Tensor:
        made = self._settings
        features = rows.expand(self.count, *rows.shape)
        last = len(self.weights) - 1
        for number, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            features = normal(number, features)
            features = torch.baddbmm(bias, features, weight)
            if number == last:
                break
            if made.dropout > 0:
                features = functional.dropout(features, made.dropout)
            if made.layer_norm:
                features = functional.layer_norm(features, features.shape[-1:])
                features = features * self.scales[number] + self.shifts[number]
            features = self._activation(features)
        return features.float()


class Critics(nn.Module):
    """Action values of N critics.

    Args:
        encoder: from what a preprocessor returns to features; None: the vector is what they see.
        features: width of these.
        actions: A, width of real actions, which the critics are given; 0: they value every choice instead.
        choices: K, number of choices; 1 for real actions.
        settings: of the critics.
    """

    def __init__(
        self, encoder: Encoder | None, features: int, actions: int, choices: int, settings: CriticSettings
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.ensemble = Ensemble(features + actions, choices, settings)

    def forward(self, vector: Tensor, images: list[Tensor], actions: Tensor | None = None) -> Tensor:
        """Return action values, [N, B] of real actions [B, A], or [N, B, K] of all choices."""
        values: Tensor = self.ensemble(self._rows(vector, images, actions))
        return values if actions is None else values.squeeze(-1)

    def learned(self, vector: Tensor, images: list[Tensor], actions: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return what `forward` does as batches renormalise it, and the running statistics after it, flat."""
        values, statistics = self.ensemble.learned(self._rows(vector, images, actions))
        return values if actions is None else values.squeeze(-1), statistics

    def _rows(self, vector: Tensor, images: list[Tensor], actions: Tensor | None) -> Tensor:
        features: Tensor = vector if self.encoder is None else self.encoder(vector, images)
        return features if actions is None else torch.cat([features, actions.to(features.dtype)], -1)
