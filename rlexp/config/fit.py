"""The size of minibatches: one of three settings says it, and a preset's is fitted to what a rank has.

A preset is written for one rank. With more ranks each has fewer transitions, and a minibatch size that comes from a
preset or a default is lowered to them; one that the user typed is not.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rlexp.errors import ConfigError

if TYPE_CHECKING:
    from rlexp.algos import Algorithm
    from rlexp.algos.base import Sizes

SIZES = ("per_rank_batch_size", "batch_size", "num_minibatches")
"""The settings of an algorithm that each say the size of minibatches."""


def fitted(algo: Algorithm, sizes: Sizes, typed: Collection[str]) -> tuple[Algorithm, str | None]:
    """Return an algorithm whose `per_rank_batch_size` is what the three settings come to, and a line on it.

    Args:
        algo: as composed.
        sizes: what the rest of the experiment makes of its sizes.
        typed: the keys that the user typed, such as algo.batch_size.

    Returns:
        The algorithm, the other two settings unset, and one line where a size was lowered; None where it was not.

    Raises:
        ConfigError: the user typed two of the three, or a size that ranks cannot have.
    """
    names = [name for name in SIZES if hasattr(algo, name)]
    given = [name for name in names if f"algo.{name}" in typed and getattr(algo, name) is not None]
    if len(given) > 1:
        words = " and ".join(f"algo.{name}={getattr(algo, name)}" for name in given)
        raise ConfigError(f"{words} both say the size of a minibatch; give one of them")
    derived = [name for name in reversed(names[1:]) if getattr(algo, name) is not None]
    chosen = given[0] if given else derived[0] if derived else SIZES[0]
    if f"algo.{SIZES[0]}" in typed and not given:
        chosen = SIZES[0]  # which the user set to null: the whole rollout
    rows = _rows(algo, chosen, sizes)
    note = None
    if algo.of_rollout and rows is not None and rows > sizes.least_rows and f"algo.{chosen}" not in typed:
        note = (
            f"algo.per_rank_batch_size={sizes.least_rows} instead of {rows}: "
            "a rank gets no more transitions of a rollout"
        )
        rows = sizes.least_rows
    others: dict[str, Any] = dict.fromkeys(names[1:])
    return replace(algo, per_rank_batch_size=rows, **others), note


def _rows(algo: Algorithm, chosen: str, sizes: Sizes) -> int | None:
    """Return the minibatch size of one rank that a setting comes to; None: all transitions.

    Raises:
        ConfigError: it comes to none.
    """
    if chosen == "num_minibatches":
        count = getattr(algo, chosen)
        if count > sizes.least_rows:
            raise ConfigError(
                f"algo.num_minibatches={count} is more than the {sizes.least_rows} transitions that a "
                f"rank gets of a rollout; allowed: 1 to {sizes.least_rows}"
            )
        return -(-sizes.most_rows // int(count))
    if chosen == "batch_size" and algo.batch_size is not None:
        if algo.batch_size % sizes.ranks:
            near = max(1, round(algo.batch_size / sizes.ranks)) * sizes.ranks
            raise ConfigError(
                f"algo.batch_size={algo.batch_size} cannot be divided between {sizes.ranks} ranks that learn; allowed: "
                f"multiples of {sizes.ranks}, such as algo.batch_size={near}"
            )
        return algo.batch_size // sizes.ranks
    return algo.per_rank_batch_size
