"""How far a player leaves its policy in order to explore."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Exploration:
    """What a rollout explores by.

    Attributes:
        amount: what the algorithm anneals: a probability (epsilon), or a standard deviation in units of half the range
            of an action. On-policy algorithms have none.
        uniform: whether actions are drawn uniformly from all that are possible, as before `algo.learning_starts`.
    """

    amount: float = 0.0
    uniform: bool = False


NONE = Exploration()
