"""What a learner asks of a memory: on-policy ones are emptied after each update, replay memories are not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from rlexp.data.replay import ReplayRows, ReplayState, Segment
from rlexp.data.rollout import Rollout
from rlexp.data.state import MemoryState

Kept = ReplayRows | Segment
"""Rows as a checkpoint holds them: in it, or in a file beside it."""


@dataclass(frozen=True)
class Keep:
    """How a checkpoint keeps the rows of a replay memory.

    Attributes:
        part: writes rows that will not change any more into a file of their own, where that can be done.
        replay: whether it keeps them at all.
    """

    part: Callable[[ReplayRows], Kept]
    replay: bool = True


class Memory(Protocol):
    """Where transitions lie until they are learned from.

    Attributes:
        minibatches: batches of one pass over what was added.
    """

    minibatches: int

    def add(self, rollout: Rollout) -> None:
        """Take a rollout in."""

    def batches(self, left: float) -> Iterator[Any]:
        """Yield the batches of one update, when `left` (1 to 0) of the run is left."""

    def learned(self, terms: Tensor, errors: Tensor | None) -> bool:
        """Take note of what the step on the last batch reported; return whether the update continues.

        Args:
            terms: in the order of `Stepper.names`.
            errors: of its transitions, [B], where a loss reports them.
        """

    def report(self) -> Tensor:
        """Return the scalars that `Algorithm.of_memory` declares, of the last rollout, in their order."""

    def state(self, keep: Keep) -> MemoryState | ReplayState:
        """Return what this rank needs to continue."""

    def load_state(self, state: Any, read: Callable[[Segment], ReplayRows]) -> None:
        """Continue from what `state` returned; `read` reads what `Keep.part` wrote."""
