"""What a learner asks of a memory: on-policy ones are emptied after each update, replay memories are not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from torch import Tensor

from rlexp.data.rollout import Rollout
from rlexp.data.state import MemoryState


class Memory(Protocol):
    """Where transitions lie until they are learned from.

    Attributes:
        minibatches: batches of one pass over what was added.
    """

    minibatches: int

    def add(self, rollout: Rollout) -> None:
        """Take a rollout in."""

    def batches(self) -> Iterator[Any]:
        """Yield the batches of one update."""

    def learned(self, terms: Tensor) -> bool:
        """Take note of what the step on the last batch reported; return whether the update continues.

        Args:
            terms: in the order of `Stepper.names`.
        """

    def report(self) -> Tensor:
        """Return the scalars that `Algorithm.of_memory` declares, of the last rollout, in their order."""

    def state(self) -> MemoryState:
        """Return what this rank needs to continue."""

    def load_state(self, state: MemoryState) -> None:
        """Continue from what `state` returned."""
