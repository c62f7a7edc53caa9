"""Batch renormalisation of several networks at once (arXiv:1702.03275), as CrossQ uses it (arXiv:1902.05605).

Its statistics are one flat vector, which a loss returns anew instead of changing it: so they pass through functions
that take gradients, and through compiled graphs.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

MOMENTUM, EPS = 0.01, 1e-3
WARM_UP = 100_000
"""Batches after which the statistics correct those of a batch; before, it is plain batch normalisation."""
MOST_SCALE, MOST_SHIFT = 3.0, 5.0
"""Bounds of these corrections (r and d)."""


class BatchRenorm(nn.Module):
    """Layers that normalise rows [N, B, F] by their batch while learning, and by running statistics otherwise.

    Args:
        count: N, networks.
        widths: F of each layer.
    """

    running: Tensor

    def __init__(self, count: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.scales = nn.ParameterList(torch.ones(count, 1, width) for width in widths)
        self.shifts = nn.ParameterList(torch.zeros(count, 1, width) for width in widths)
        self._shape, self._widths = (2, count, 1, sum(widths)), list(widths)
        start = torch.stack([torch.zeros(self._shape[1:]), torch.ones(self._shape[1:])])
        self.register_buffer("running", torch.cat([start.flatten(), torch.zeros(1)]))  # means, variances, batches

    def layer(self, number: int, rows: Tensor) -> Tensor:
        """Return rows of a layer, [N, B, F], normalised by the running statistics."""
        mean, variance = self._of(number)
        return self._affine(number, (rows.float() - mean) / (variance + EPS).sqrt())

    def learned(self, number: int, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return rows of a layer normalised by themselves, and their own statistics, [2, N, 1, F]."""
        rows, warm = rows.float(), self.running[-1] >= WARM_UP
        old_mean, old_variance = self._of(number)
        mean, variance = rows.mean(1, keepdim=True), rows.var(1, keepdim=True, unbiased=False)
        deviation, old_deviation = (variance + EPS).sqrt(), (old_variance + EPS).sqrt()
        scale = (deviation / old_deviation).detach().clamp(1 / MOST_SCALE, MOST_SCALE)
        shift = ((mean - old_mean) / old_deviation).detach().clamp(-MOST_SHIFT, MOST_SHIFT)
        scale, shift = scale.where(warm, torch.ones_like(scale)), shift.where(warm, torch.zeros_like(shift))
        normal = (rows - mean) / deviation * scale + shift
        return self._affine(number, normal), torch.stack([mean, variance]).detach()

    def _affine(self, number: int, normal: Tensor) -> Tensor:
        scale, shift = self.scales[number], self.shifts[number]
        return torch.addcmul(shift, normal, scale)

    def moved(self, statistics: Sequence[Tensor]) -> Tensor:
        """Return the running statistics after those of one batch in every layer, flat."""
        before, batches = self.running[:-1], self.running[-1:]
        return torch.cat([before.lerp(torch.cat(list(statistics), -1).flatten(), MOMENTUM), batches + 1])

    def _of(self, number: int) -> tuple[Tensor, Tensor]:
        """Return the running means and variances of a layer, [N, 1, F] each."""
        mean, variance = self.running[:-1].view(self._shape).split(self._widths, -1)[number].unbind(0)
        return mean, variance
