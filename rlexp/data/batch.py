"""What losses are functions of."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """B transitions to learn from.

    Attributes:
        obs: observation rows, [B, D].
        actions: [B] or [B, A].
        log_prob: under the policy that acted, [B].
        advantages: [B].
        returns: targets of the value estimates, [B].
        values: estimates at the start of the update, [B].
    """

    obs: Tensor
    actions: Tensor
    log_prob: Tensor
    advantages: Tensor
    returns: Tensor
    values: Tensor

    def rows(self, index: Tensor) -> Batch:
        """Return the transitions at `index`, [b] int64."""
        return Batch(*(getattr(self, item.name).index_select(0, index) for item in fields(self)))


@dataclass(frozen=True)
class Prediction:
    """What the current weights say of B transitions: log-probabilities, entropies (nats) and values, each [B]."""

    log_prob: Tensor
    entropy: Tensor
    values: Tensor
