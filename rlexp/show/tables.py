"""Tables of text, and names that are short enough for them."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Sequence

GAP = "  "


def aligned(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> list[str]:
    """Return a line for each row, its columns below each other.

    Args:
        rows: of equally many cells.
        right: columns that are aligned on the right.
    """
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        GAP.join(
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]


def folded(rows: Sequence[Sequence[str]], width: int, right: Collection[int] = ()) -> list[str]:
    """Return `aligned` rows, the first column folded between its words so that a line fits the width if it can."""
    others = [max(len(row[column]) for row in rows) for column in range(1, len(rows[0]))]
    room = max(20, width - sum(others) - len(GAP) * len(others))
    lines: list[list[str]] = []
    for first, *rest in rows:
        pieces = textwrap.wrap(first, room, break_on_hyphens=False) or [""]
        lines.append([pieces[0], *rest])
        lines += [[f"  {piece}", *[""] * len(rest)] for piece in pieces[1:]]
    return [line.rstrip() for line in aligned(lines, right)]


def short_names(keys: Sequence[str]) -> dict[str, str]:
    """Return the last part of each key, with as many parts before it as it takes to distinguish the keys."""
    names = {}
    for key in keys:
        parts = key.split(".")
        tails = (".".join(parts[-count:]) for count in range(1, len(parts) + 1))
        names[key] = next(
            tail for tail in tails
            if tail == key or not any(other != key and f".{other}".endswith(f".{tail}") for other in keys)
        )  # fmt: skip
    return names
