"""What a row of a replay memory is, and rows in a file that is mapped into memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor


@dataclass(frozen=True)
class RowSpec:
    """What a row of one environment is.

    Attributes:
        width: elements of an observation row, D.
        obs_dtype: torch.float32 or torch.uint8.
        action_shape: () or (A,).
        action_dtype: torch.int64 or torch.float32.
    """

    width: int
    obs_dtype: torch.dtype
    action_shape: tuple[int, ...]
    action_dtype: torch.dtype

    @property
    def columns(self) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
        """Shape and type of each column, by name."""
        return {
            "obs": ((self.width,), self.obs_dtype),
            "actions": (self.action_shape, self.action_dtype),
            "rewards": ((), torch.float32),
            "terminated": ((), torch.bool),
            "truncated": ((), torch.bool),
            "valid": ((), torch.bool),
        }

    @property
    def bytes(self) -> int:
        """Bytes of one row."""
        return sum(_count(shape) * dtype.itemsize for shape, dtype in self.columns.values())


def _count(shape: tuple[int, ...]) -> int:
    return 1 if not shape else shape[0]


def mapped(file: Path, size: int) -> Callable[..., Tensor]:
    """Return what makes tensors of the bytes of a file, one after the other."""
    file.parent.mkdir(parents=True, exist_ok=True)
    storage = torch.UntypedStorage.from_file(str(file), True, size)
    file.unlink()
    start = 0

    def allocate(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        nonlocal start
        count = torch.Size(shape).numel()
        tensor = torch.empty(0, dtype=dtype)
        tensor.set_(storage, start // dtype.itemsize, shape)  # type: ignore[call-overload]
        start += count * dtype.itemsize
        return tensor

    return allocate
