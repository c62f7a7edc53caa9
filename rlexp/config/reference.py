"""docs/reference.md: every key and every scalar, from where they are declared.

usage: python -m rlexp.config.reference > docs/reference.md    (make reference)
"""

from __future__ import annotations

from typing import Any

from rlexp.algos import ALGORITHMS
from rlexp.config.schema import Config
from rlexp.data.scalars import AXES, OUTCOME, PROGRESS, SHAPED, TEST, Scalar
from rlexp.settings import as_yaml, fields_of, range_of


def code(value: Any) -> str:
    """Return a value as it is written on the command line, as code."""
    if value == "???":  # how OmegaConf says that it must be given
        return "required"
    return f"`{as_yaml(value).replace(', ', ',')}`"


def row(key: str, defaults: list[str], metadata: Any) -> str:
    """Return a key's line of a table."""
    bounded = any(metadata[bound] is not None for bound in ("ge", "gt", "le", "lt"))
    if metadata["choices"]:
        values = ", ".join(code(choice) for choice in metadata["choices"])
    else:
        values = range_of(metadata).replace("value", "x") if bounded else ""
    return f"| {' | '.join([f'`{key}`', *defaults, values, metadata['doc']])} |"


def general() -> str:
    """Return the table of all keys but the algorithms'."""
    keys = [field for field in fields_of(Config(algo=ALGORITHMS["ppo"]())) if not field[0].startswith("algo.")]
    rows = [row(key, [code(default)], metadata) for key, default, metadata in keys]
    return "\n".join(["| key | default | allowed | meaning |", "|---|---|---|---|", *rows])


def algorithms() -> str:
    """Return the table of the algorithms' keys, with each one's default."""
    settings = {name: {key: rest for key, *rest in fields_of(kind())} for name, kind in ALGORITHMS.items()}
    rows = []
    for key in dict.fromkeys(key for own in settings.values() for key in own):
        defaults = [code(own[key][0]) if key in own else "" for own in settings.values()]
        metadata = [own[key][1] for own in settings.values() if key in own][-1]
        rows.append(row(f"algo.{key}", defaults, metadata))
    heads = " | ".join(f"`algo={name}`" for name in settings)
    return "\n".join([f"| key | {heads} | allowed | meaning |", "|---" * (3 + len(settings)) + "|", *rows])


def all_scalars() -> list[Scalar]:
    """Return every scalar, those of algorithms in the order in which they first occur."""
    own = dict.fromkeys(scalar for kind in ALGORITHMS.values() for scalar in kind.all_scalars())
    return [*AXES, *PROGRESS, *own, SHAPED, TEST, *OUTCOME]


def _of(scalar: Scalar) -> str:
    """Return which algorithms report a scalar, where not all do."""
    owners = [name for name, kind in ALGORITHMS.items() if scalar in kind.all_scalars()]
    return "" if len(owners) in (0, len(ALGORITHMS)) else f" With {', '.join(f'`algo={name}`' for name in owners)}."


def page() -> str:
    """Return the whole page."""
    scalars = "\n".join(f"| `{scalar.tag}` | {scalar.meaning}{_of(scalar)} |" for scalar in all_scalars())
    return f"""# Every key and every scalar

Written by `make reference`. Groups and presets (`env=`, `algo=`, `experiment=`) set some of these keys; `--cfg job`
prints what a command comes to. x stands for the value.

{general()}

`eval.every` needs `eval.episodes`, and `eval.stop_at` needs `eval.every`. The precision `16-mixed` needs CUDA, and is
not compiled.

## Algorithms

{algorithms()}

## Scalars

In `metrics.csv` one row every `log.every` environment steps (the first update that passes a multiple of it), in
TensorBoard the same names. Losses are means over the minibatches of an update and over ranks, and over the updates
since the row before. An empty cell has no value: no episode ended since then, or every step was skipped.

| scalar | meaning |
|---|---|
{scalars}
"""


if __name__ == "__main__":
    print(page(), end="")
