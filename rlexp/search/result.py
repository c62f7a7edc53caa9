"""What a search has found: lines for the terminal, and a preset of the best settings."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml  # type: ignore[import-untyped]  # a dependency of omegaconf
from hydra.core.override_parser.overrides_parser import OverridesParser

from rlexp.search.space import shown_of, words_of
from rlexp.search.study import Search
from rlexp.show.lines import number, program, shown

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

BEST = "best.yaml"
OF_THE_SEARCH = (
    "hydra",
    "sweep.",
    "seed",
    "resume",
    "search",
    "eval.",
    "checkpoint.",
    "video.",
    "logger.",
    "capture_video",
)
"""Beginnings of keys that say how a search was made, not what it found."""


def result_lines(search: Search, fixed: Sequence[str], groups: Sequence[str], folder: Path, here: Path) -> list[str]:
    """Return what a search has found, and write its best settings as a preset into its directory.

    Args:
        search: it.
        fixed: words that all jobs have in common.
        groups: names of config groups.
        folder: of the sweep.
        here: the folder that the user stands in.
    """
    best = search.best()
    counts = {"completed": search.count("COMPLETE"), "pruned": search.count("PRUNED"), "failed": search.count("FAIL")}
    counts["unfinished"] = search.count("RUNNING")
    said = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    lines = ["", f"search: {said or 'no trial'} of {search.settings.trials} trials"]
    if best is None:
        return lines
    scores = best.user_attrs["scores"]
    lines.append(
        f"best: trial {best.number}, return {number(best.value)} ({len(scores)} seed{'s' * (len(scores) > 1)})"
    )
    lines += [f"  {word}" for word in shown_of(best.params)]
    path = folder / BEST
    write_preset(path, best, fixed, groups, len(search.study.trials))
    lines += ["its settings as a preset:", shown(path, here), "use it:"]
    return [*lines, f"cp {shlex.quote(shown(path, here))} conf/experiment/found.yaml", f"{program()} experiment=found"]


def write_preset(path: Path, best: FrozenTrial, fixed: Sequence[str], groups: Sequence[str], trials: int) -> None:
    """Write the settings of a trial as a preset, whole or not at all."""
    defaults: list[Any] = []
    values: dict[str, Any] = {}
    parser = OverridesParser.create()
    for override in parser.parse_overrides([*fixed, *words_of(best.params)]):
        key, value = override.key_or_group, override.value()
        if key == "experiment":
            defaults.insert(0, value)
        elif key in groups:
            defaults.append({f"override /{key}": value})
        elif not override.is_delete() and not key.startswith(OF_THE_SEARCH):
            _set(values, key.split("."), value)
    count = len(best.user_attrs["scores"])
    score = f"{best.value:.6g} ({count} seed{'s' * (count > 1)})"
    lines = ["# @package _global_", f"# The best of {trials} trials of a search: mean return {score}."]
    text = yaml.safe_dump({"defaults": defaults} if defaults else {}, sort_keys=False) if defaults else ""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    temporary.write_text("\n".join(lines) + "\n" + text + yaml.safe_dump(values, sort_keys=False))
    temporary.replace(path)


def _set(values: dict[str, Any], path: Sequence[str], value: Any) -> None:
    *parents, last = path
    for name in parents:
        values = values.setdefault(name, {})
        assert isinstance(values, Mapping)
    values[last] = value
