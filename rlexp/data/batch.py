"""What losses are functions of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """B transitions to learn from; for recurrent networks they are sequences of L steps, one after the other.

    Attributes:
        obs: observation rows, [B, D].
        actions: [B] or [B, A].
        log_prob: under the policy that acted, [B].
        advantages: [B].
        returns: targets of the value estimates, [B].
        values: estimates at the start of the update, [B].
        weight: how much each counts, [B]; None: all the same.
        first: where a step is the first of its episode, [B] bool; None without recurrent networks.
        states: recurrent states before each sequence, [B / L, S]; None without.
    """

    obs: Tensor
    actions: Tensor
    log_prob: Tensor
    advantages: Tensor
    returns: Tensor
    values: Tensor
    weight: Tensor | None = None
    first: Tensor | None = None
    states: Tensor | None = None

    @property
    def units(self) -> int:
        """Number of transitions, or of sequences, which stay whole."""
        return (self.returns if self.states is None else self.states).shape[0]

    def flat(self) -> Batch:
        """Return transitions [T, N, *] as [T * N, *]."""
        return Batch(**{name: value.flatten(0, 1) for name, value in vars(self).items() if value is not None})

    def sequences(self, states: Tensor, first: Tensor, valid: Tensor) -> Batch:
        """Return transitions [T, N, *] as sequences, environment by environment.

        Args:
            states: before each sequence, [N * T / L, S].
            first: where a step is the first of its episode, [T, N] bool.
            valid: False where a row is no transition, [T, N] bool: it has no weight.
        """
        weight = None if bool(valid.all()) else valid.float()
        values = {**vars(self), "first": first, "weight": weight, "states": None}
        parts = {name: None if value is None else value.transpose(0, 1).flatten(0, 1) for name, value in values.items()}
        return Batch(**{**parts, "states": states})  # type: ignore[arg-type]

    def rows(self, index: Tensor) -> Batch:
        """Return the transitions, or the sequences, at `index`, [b] int64."""
        if self.states is None:
            return Batch(*(_selected(getattr(self, item.name), index) for item in fields(self)))  # type: ignore[arg-type]
        count = self.states.shape[0]

        def of(values: Tensor | None) -> Tensor | None:
            if values is None or values.shape[0] == count:
                return _selected(values, index)
            chosen: Tensor = values.unflatten(0, (count, -1)).index_select(0, index)
            return chosen.flatten(0, 1)

        return Batch(*(of(getattr(self, item.name)) for item in fields(self)))  # type: ignore[arg-type]

    def split(self, parts: int) -> list[Batch]:
        """Return the transitions in batches that differ in size by one at most; sequences stay whole."""
        columns = [self._pieces(getattr(self, item.name), parts) for item in fields(self)]
        return [Batch(*pieces) for pieces in zip(*columns, strict=True)]

    def _pieces(self, values: Tensor | None, parts: int) -> Sequence[Any]:
        if values is None:
            return [None] * parts
        if self.states is None or values.shape[0] == self.states.shape[0]:
            return values.tensor_split(parts)
        by_sequence = values.unflatten(0, (self.states.shape[0], -1)).tensor_split(parts)
        return [piece.flatten(0, 1) for piece in by_sequence]


def _selected(values: Tensor | None, index: Tensor) -> Tensor | None:
    return None if values is None else values.index_select(0, index)


@dataclass(frozen=True)
class Prediction:
    """What the current weights say of B transitions: log-probabilities, entropies (nats) and values, each [B]."""

    log_prob: Tensor
    entropy: Tensor
    values: Tensor
