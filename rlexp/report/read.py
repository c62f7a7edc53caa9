"""Runs as a report reads them: whatever lies below some directories, completed or not, whole or damaged."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]  # a dependency of omegaconf

from rlexp.algos import ALGORITHMS
from rlexp.config.schema import Config
from rlexp.errors import ConfigError
from rlexp.files.summary import Summary
from rlexp.settings import fields_of

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast
COMPLETED = "completed"
LARGEST = sys.float_info.max
CONFIG = Path(".hydra", "config.yaml")


@dataclass(frozen=True)
class RunRecord:
    """A run, as its files say.

    Attributes:
        directory: of its files.
        state: of its summary; `unreadable` where there is none that can be read.
        error: why it failed, or what cannot be read.
        seed: of the experiment.
        env_id: of its environment.
        algo: name of its algorithm.
        settings: every setting of the experiment by its key, such as `algo.gamma`; defaults of those that rlexp did not
            have when the run was made; empty where none are saved.
        summary: the whole of summary.json.
    """

    directory: Path
    state: str
    error: str
    seed: int | None
    env_id: str
    algo: str
    settings: Mapping[str, Any]
    summary: Mapping[str, Any]

    @property
    def score(self) -> float | None:
        """The objective of a completed run: mean return of the evaluation after training, or of its last episodes."""
        return self.number("objective") if self.state == COMPLETED else None

    @property
    def evaluated(self) -> bool:
        """Whether the score is of an evaluation."""
        return self.summary.get("eval") is not None

    def number(self, key: str) -> float | None:
        """Return a finite number of the summary; None where it has none."""
        value = self.summary.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= LARGEST:
            return None
        return float(value)


def read_runs(paths: Sequence[str | Path]) -> list[RunRecord]:
    """Return the runs in and below some directories, each once, in the order of the directories and of their paths.

    Raises:
        ConfigError: one of them does not exist, or holds no run.
    """
    found: dict[Path, RunRecord] = {}
    for path in map(Path, paths):
        if not path.exists():
            raise ConfigError(f"{path} does not exist; give the directory of a run or of a sweep, such as outputs/runs")
        folder = path if path.is_dir() else path.parent
        own = [file.parent for file in sorted(folder.glob("**/summary.json"), key=_natural)]
        if not own:
            raise ConfigError(
                f"{path} holds no run (no summary.json in it or below it); give the directory of a run or of a sweep"
            )
        for directory in own:
            found.setdefault(directory.resolve(), record_of(directory))
    return list(found.values())


def record_of(directory: Path) -> RunRecord:
    """Return a run as its files say, damaged ones included."""
    summary = Summary(directory).peek()
    saved, problem = saved_settings(directory)
    settings = {**_defaults(str(summary.get("algo"))), **saved} if saved else {}
    state = str(summary.get("state", "unreadable"))
    error = str(summary.get("error") or "")
    if not summary:
        error = "summary.json cannot be read"
    seed = summary.get("seed", settings.get("seed"))
    return RunRecord(
        directory=directory,
        state=state,
        error=error or problem,
        seed=seed if isinstance(seed, int) else None,
        env_id=str(summary.get("env_id") or settings.get("env.id") or "unknown"),
        algo=str(summary.get("algo") or "unknown"),
        settings=settings,
        summary=summary,
    )


@functools.cache
def _defaults(algo: str) -> dict[str, Any]:
    """Return the defaults of all settings with an algorithm; without its own where it is none of rlexp's."""
    found = {key: value for key, value, _ in fields_of(Config())}
    found.pop("algo")
    if algo in ALGORITHMS:
        found |= {f"algo.{key}": value for key, value, _ in fields_of(ALGORITHMS[algo]())}
    return found


def saved_settings(run_dir: Path) -> tuple[dict[str, Any], str]:
    """Return the settings that a run has saved, by their keys, and what is wrong with the file."""
    path = run_dir / CONFIG
    try:
        values = yaml.load(path.read_text(), LOADER)  # a safe loader
    except FileNotFoundError:
        return {}, ""
    except (OSError, ValueError, yaml.YAMLError):
        return {}, f"{CONFIG} cannot be read"
    return (dict(_leaves(values)), "") if isinstance(values, dict) else ({}, f"{CONFIG} cannot be read")


def _leaves(values: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _natural(path: Path) -> list[tuple[int, str]]:
    """Return a key that sorts 2 before 10: jobs of a sweep begin with their number."""
    return [
        (int(head), part) if (head := part.partition("-")[0]).isdigit() and len(head) < 10 else (-1, part)
        for part in path.parts
    ]
