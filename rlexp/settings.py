"""How a setting is declared once: type, default, range and one line of documentation.

The dataclasses of `rlexp.config.schema` and `rlexp.algos` declare their fields with `setting`; `check` walks them and
reports the first value out of range. Neither imports more than the standard library, so that a config error
costs no import of torch.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

from rlexp.errors import ConfigError


def setting(
    default: Any,
    doc: str,
    *,
    ge: float | None = None,
    gt: float | None = None,
    le: float | None = None,
    lt: float | None = None,
    choices: tuple[Any, ...] = (),
) -> Any:
    """Declare a dataclass field with a default, documentation and bounds.

    Args:
        default: the default value; a list or dict is copied for each instance.
        doc: one line: meaning, symbol, unit or range, source.
        ge: lower bound, included.
        gt: lower bound, excluded.
        le: upper bound, included.
        lt: upper bound, excluded.
        choices: the allowed values; empty means any.

    Returns:
        A `dataclasses.field` (typed as Any, as `dataclasses.field` itself is).
    """
    metadata = {"doc": doc, "ge": ge, "gt": gt, "le": le, "lt": lt, "choices": choices}
    if isinstance(default, list | dict):
        return dataclasses.field(default_factory=lambda: default.copy(), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def range_of(metadata: Any) -> str:
    """Return the allowed range in words, such as '0 <= value <= 1'."""
    low = next((f"{metadata[k]} {s} " for k, s in (("ge", "<="), ("gt", "<")) if metadata[k] is not None), "")
    high = next((f" {s} {metadata[k]}" for k, s in (("le", "<="), ("lt", "<")) if metadata[k] is not None), "")
    return f"{low}value{high}"


def _in_range(value: float, metadata: Any) -> bool:
    if not math.isfinite(value):
        return False
    return (
        (metadata["ge"] is None or value >= metadata["ge"])
        and (metadata["gt"] is None or value > metadata["gt"])
        and (metadata["le"] is None or value <= metadata["le"])
        and (metadata["lt"] is None or value < metadata["lt"])
    )


def as_yaml(value: Any) -> str:
    """Return a value as it is written in YAML and on the command line."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def fields_of(node: Any, prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield (dotted key, value, field metadata) of each leaf below a settings dataclass instance."""
    for field in dataclasses.fields(node):
        value = getattr(node, field.name)
        key = f"{prefix}{field.name}"
        if dataclasses.is_dataclass(value):
            yield from fields_of(value, key + ".")
        else:
            yield key, value, field.metadata


def check(node: Any) -> None:
    """Check each setting below `node` against its declared range and choices.

    Raises:
        ConfigError: names the first key whose value is not allowed.
    """
    for key, value, metadata in fields_of(node):
        if not metadata:
            continue
        choices = metadata["choices"]
        if choices and value not in choices:
            allowed = ", ".join(as_yaml(choice) for choice in choices)
            raise ConfigError(f"{key}={value} is not a choice; allowed: {allowed}")
        for number in value if isinstance(value, list) else [value]:
            if isinstance(number, int | float) and not isinstance(number, bool) and not _in_range(number, metadata):
                raise ConfigError(f"{key}={number} is out of range; allowed: {range_of(metadata)}")
