"""Running mean and variance, merged in batches."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class RunningMoments(nn.Module):
    """Mean and variance of all rows seen so far, merged batch by batch (Chan, Golub & LeVeque 1979, equation 2.1).

    The statistics are float64 buffers: they are saved with the weights, and no gradient reaches them. Before the first
    row they say mean 0, variance 1.
    """

    count: Tensor
    mean: Tensor
    squares: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))
        self.register_buffer("mean", torch.zeros(size, dtype=torch.float64))
        self.register_buffer("squares", torch.zeros(size, dtype=torch.float64))

    @torch.no_grad()
    def merge(self, moments: Tensor) -> None:
        """Merge batches of rows, in order.

        Args:
            moments: [R, 1 + 2 * size] float64, for each batch what `moments_of` returned.
        """
        size = self.mean.shape[0]
        for batch in moments:
            count, mean, squares = batch[0], batch[1 : 1 + size], batch[1 + size :]
            if count == 0:
                continue
            total = self.count + count
            delta = mean - self.mean
            self.squares += squares + delta.square() * (self.count * count / total)
            self.mean += delta * (count / total)
            self.count += count

    def variance(self) -> Tensor:
        """Return the population variance, [size] float64; 1 before the first row."""
        if self.count == 0:
            return torch.ones_like(self.squares)
        return self.squares / self.count

    def scale_around_mean(self) -> Tensor:
        """Return what to divide deviations from the mean by, [size] float64: sqrt(variance + 1e-8).

        A number that has been constant so far has no spread to divide by, and is divided by 1: when it changes at last,
        it enters by as much as it changed, not by 10,000 times that. Constant is what varies by less than float32 can
        show around its mean.
        """
        variance = self.variance()
        constant = variance <= (torch.finfo(torch.float32).eps * self.mean).square()
        return (variance + 1e-8).sqrt().masked_fill(constant, 1.0)

    def scale_around_zero(self) -> Tensor:
        """Return what to divide values by whose mean is not subtracted, [size] float64: sqrt(variance + 1e-8).

        The standard deviation counts as a tenth of the root mean square at least: values that hardly differ come out
        as 10 at most, where they would be 10,000 times as large.
        """
        variance = self.variance()
        return (variance.maximum(0.01 * (variance + self.mean.square())) + 1e-8).sqrt()


def moments_of(rows: Tensor) -> Tensor:
    """Return count, mean and sum of squared deviations of rows [B, size] as one vector, [1 + 2 * size] float64."""
    rows = rows.double()
    count = torch.tensor([rows.shape[0]], dtype=torch.float64, device=rows.device)
    if rows.shape[0] == 0:
        return torch.cat([count, rows.new_zeros(2 * rows.shape[1])])
    mean = rows.mean(0)
    return torch.cat([count, mean, (rows - mean).square().sum(0)])


class ObservationNormalizer(nn.Module):
    """Scales observations to mean 0 and standard deviation 1 by statistics that stay fixed until `merge` is called.

    Before the first call observations pass as they are. `rlexp.models.encoders.Preprocessor` clips the results, by
    default to +-10 (`env.clip_observations`): that bounds the first rollout, and a number that was nearly constant.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.moments = RunningMoments(size)
        self.register_buffer("shift", torch.zeros(size))
        self.register_buffer("scale", torch.ones(size))

    def forward(self, rows: Tensor) -> Tensor:
        """Return (rows - mean) / scale, [*, size]; the scale is that of `RunningMoments.scale_around_mean`."""
        return (rows - self.shift) * self.scale

    @torch.no_grad()
    def merge(self, moments: Tensor) -> None:
        """Merge batches (see `RunningMoments.merge`) and normalise by the new statistics from now on."""
        self.moments.merge(moments)
        self.shift.copy_(self.moments.mean)
        self.scale.copy_(self.moments.scale_around_mean().reciprocal())
