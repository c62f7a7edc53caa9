"""What a learner asks of the precision of its networks, and the simplest; `rlexp.launch.fabric` brings Lightning's."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import torch
from torch import Tensor


class Precision(Protocol):
    """A precision.

    Attributes:
        plain: whether all is float32, so that `autocast` does nothing.
        scaled: whether losses are scaled so that float16 gradients do not underflow.
    """

    plain: bool
    scaled: bool

    def autocast(self) -> AbstractContextManager[None]:
        """Return a context in which networks compute in this precision."""

    def backward(self, loss: Tensor) -> None:
        """Compute gradients of a loss, scaled where losses are."""

    def prepare(self, optimizer: torch.optim.Optimizer) -> Any:
        """Return what steps like `optimizer`, and skips steps whose scaled gradients overflow."""

    def unscale(self, optimizer: torch.optim.Optimizer) -> None:
        """Take the scale out of the gradients of an optimizer."""

    def state(self) -> dict[str, Any]:
        """Return the scale and its history in plain values; empty without one."""

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from what `state` returned."""


class Float32:
    """Single precision throughout, for learners without Fabric; see `Precision`."""

    plain, scaled = True, False

    def autocast(self) -> AbstractContextManager[None]:
        """Return a context that does nothing."""
        return nullcontext()

    def backward(self, loss: Tensor) -> None:
        """Compute gradients of a loss."""
        loss.backward()

    def prepare(self, optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
        """Return the optimizer."""
        return optimizer

    def unscale(self, optimizer: torch.optim.Optimizer) -> None:
        """Do nothing."""

    def state(self) -> dict[str, Any]:
        """Return nothing."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        """Do nothing."""
