"""Which runs belong together: those that differ in their seed alone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rlexp.report.read import RunRecord
from rlexp.report.statistics import Array, Interval, interquartile_mean, interval
from rlexp.show.tables import short_names

IGNORED = (
    "seed", "resume", "plugins", "capture_video", "sweep.", "checkpoint.", "eval.", "video.", "log.", "logger.",
    "fabric.timeout_seconds",
)  # fmt: skip
"""Settings that change no result; one that ends in a point stands for all below it."""
ENV, ALGO = "env.id", "algo"


@dataclass(frozen=True)
class Group:
    """Runs of equal settings.

    Attributes:
        settings: what distinguishes it from the other groups, by key.
        label: the same in words.
        env_id: of its environment.
        runs: all of them.
        counted: those that are completed, one of each seed.
    """

    settings: Mapping[str, Any]
    label: str
    env_id: str
    runs: tuple[RunRecord, ...]
    counted: tuple[RunRecord, ...]

    @property
    def method(self) -> str:
        """What distinguishes it, the environment aside: groups of several environments may share it."""
        return self.label.removeprefix(f"env={self.env_id}").strip() or self.runs[0].algo

    @property
    def scores(self) -> Array:
        """Scores of the runs that count, [R]."""
        return np.array([run.score for run in self.counted], dtype=np.float64)

    @property
    def mean(self) -> float | None:
        """Mean of the scores."""
        return float(self.scores.mean()) if self.counted else None

    @property
    def interquartile_mean(self) -> float | None:
        """Interquartile mean of the scores."""
        return float(interquartile_mean([self.scores])) if self.counted else None

    @property
    def interval(self) -> Interval | None:
        """95 % interval of the interquartile mean; None of fewer than two runs."""
        return interval(interquartile_mean, [self.scores]) if len(self.counted) > 1 else None

    def average(self, key: str) -> float | None:
        """Return the mean of a number of the summaries of the runs that count."""
        values = [value for run in self.counted if (value := run.number(key)) is not None]
        return sum(values) / len(values) if values else None


def grouped(runs: Sequence[RunRecord]) -> list[Group]:
    """Return the runs in groups of equal settings, in the order of the runs."""
    kinds: dict[tuple[str, str], list[RunRecord]] = {}
    for run in runs:
        kinds.setdefault((run.env_id, run.algo), []).append(run)
    general = [key for key in (ENV, ALGO) if len({value_of(run, key) for run in runs}) > 1]
    varied = {kind: _varied(own) for kind, own in kinds.items()}
    keys = [*general, *dict.fromkeys(key for own in varied.values() for key in own)]
    names = {ENV: "env", ALGO: "algo"} | short_names([key for key in keys if key not in (ENV, ALGO)])
    found: dict[str, list[RunRecord]] = {}
    for run in runs:
        found.setdefault(as_typed([run.env_id, run.algo, *(value_of(run, key) for key in keys)]), []).append(run)
    groups = []
    for own in found.values():
        first = own[0]
        words = [
            f"{names[key]}={as_typed(value_of(first, key))}" for key in (*general, *varied[first.env_id, first.algo])
        ]
        label = " ".join(words) or f"{first.algo} {first.env_id}"
        settings = {key: value_of(first, key) for key in keys}
        groups.append(Group(settings, label, first.env_id, tuple(own), tuple(_one_of_each_seed(own))))
    return groups


def _varied(runs: Sequence[RunRecord]) -> list[str]:
    """Return the settings in which runs of one environment and algorithm differ, seeds aside.

    What follows from the environment or the algorithm, as most settings of a preset do, distinguishes nothing more.
    """
    saved = [run for run in runs if run.settings]
    keys = dict.fromkeys(key for run in saved for key in run.settings if not ignored(key))
    return [key for key in keys if len({as_typed(run.settings.get(key)) for run in saved}) > 1]


def value_of(run: RunRecord, key: str) -> Any:
    """Return the value of a setting; the environment's id and the algorithm are those of the summary."""
    return {ENV: run.env_id, ALGO: run.algo}.get(key, run.settings.get(key))


def ignored(key: str) -> bool:
    """Return whether a setting changes no result, or is compared by another name."""
    return key == ENV or any(key.startswith(one) if one.endswith(".") else key == one for one in IGNORED)


def _one_of_each_seed(runs: Sequence[RunRecord]) -> list[RunRecord]:
    """Return the completed runs; of several with the same seed the last."""
    scored = [run for run in runs if run.score is not None]
    return list({run.seed if run.seed is not None else number: run for number, run in enumerate(scored)}.values())


def as_typed(value: Any) -> str:
    """Return a value as one would type it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), default=str)
