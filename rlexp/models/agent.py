"""What every algorithm's agent offers to the rest of the house."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from rlexp.models.actor import Actor


class Agent(nn.Module, ABC):
    """The networks of an algorithm.

    Attributes:
        actor: all that a player needs.
    """

    actor: Actor

    def targets(self) -> dict[str, nn.Module]:
        """Return the target networks by the part that they follow; none by default."""
        return {}

    def statistics(self) -> Tensor | None:
        """Return a buffer, flat, that a loss returns anew (`rlexp.algos.base.Loss`); None: there is none."""
        return None

    @abstractmethod
    def tried(self, rows: Tensor) -> dict[str, Tensor]:
        """Return what the networks make of rows [B, D], each [B], by what it is called; it shows whether they work."""

    @abstractmethod
    def parts(self) -> dict[str, nn.Module]:
        """Return the parts that learn by themselves: each becomes one flat vector with its own optimizer.

        The order of a part's parameters in the vector is that of `module.parameters()`.
        """
