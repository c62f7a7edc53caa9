"""Networks on many rows: some thousand at a time, so that memory stays bounded."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

ROWS_AT_ONCE = 16_384
IMAGE_ROWS_AT_ONCE = 1_024


def in_chunks(function: Callable[..., Tensor], *rows: Tensor) -> Tensor:
    """Apply `function` to rows [B, *] some thousand at a time (images: one thousand), and join its results, [B]."""
    size = IMAGE_ROWS_AT_ONCE if rows[0].dtype == torch.uint8 else ROWS_AT_ONCE
    if rows[0].shape[0] <= size:
        return function(*rows)
    return torch.cat([function(*chunk) for chunk in zip(*(row.split(size) for row in rows), strict=True)])
