"""The jobs of a sweep: their overrides, names and directories."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rlexp.show.tables import short_names

LONGEST_VALUE = 24

LONGEST_NAME = 100


@dataclass(frozen=True)
class SweepJob:
    """A job of a sweep: its number, its overrides (key=value), and its directory."""

    number: int
    overrides: tuple[str, ...]
    directory: Path

    @property
    def values(self) -> dict[str, str]:
        """Return the overrides by their keys."""
        return values_of(self.overrides)


@dataclass
class Sweep:
    """A sweep that this process has started: its directory, and its jobs as far as they are known before they run.

    `compares`: whether its jobs are compared at the end; those of a search are not.
    """

    directory: Path
    jobs: list[SweepJob] = field(default_factory=list)
    compares: bool = True

    def all_jobs(self) -> list[SweepJob]:
        """Return the jobs, those that a sweeper made up on the way included, in the order of their numbers."""
        jobs: dict[Path, SweepJob] = {}
        for job in [*_recorded(self.directory), *self.jobs]:
            jobs.setdefault(job.directory, job)  # one that was continued keeps its number
        return sorted(jobs.values(), key=lambda job: job.number)


def values_of(overrides: Sequence[str]) -> dict[str, str]:
    """Return the values of overrides by their keys."""
    as_typed = {"True": "true", "False": "false", "None": "null"}  # Hydra's own words for them in the jobs of a sweep
    values = {key_of(word): word.partition("=")[2] for word in overrides}
    return {key: as_typed.get(value, value) for key, value in values.items()}


def key_of(word: str) -> str:
    """Return the key of an override."""
    return word.lstrip("+~").partition("=")[0]


def swept_keys(jobs: Sequence[SweepJob]) -> list[str]:
    """Return the keys in which jobs differ, in the order of the command line."""
    found: dict[str, set[str | None]] = {}
    for job in jobs:
        for key in job.values:
            if not key.startswith("sweep."):  # what a search tells its jobs
                found.setdefault(key, set())
    for job in jobs:
        for key, values in found.items():
            values.add(job.values.get(key))
    return [key for key, values in found.items() if len(values) > 1]


def job_name(number: int, overrides: Sequence[str], swept: Sequence[str]) -> str:
    """Return the name of a job's directory: its number, and the swept keys with their values."""
    values, names = values_of(overrides), short_names(swept)
    parts = [f"{_slug(names[key])}={_slug(values[key])}" for key in swept if key in values]
    return "-".join([str(number), ",".join(parts)] if parts else [str(number)])[:LONGEST_NAME]


def _slug(text: str) -> str:
    """Return a text as part of a file name; where it is cut, the job's number still distinguishes the names."""
    return re.sub(r"[^A-Za-z0-9.+-]+", "_", text).strip("_")[:LONGEST_VALUE] or "_"


def registry(directory: Path) -> Path:
    """Return the file that jobs of a sweep write themselves into where they are not known before they run."""
    return directory / ".jobs"


def _recorded(directory: Path) -> Iterator[SweepJob]:
    with contextlib.suppress(OSError, ValueError):
        for line in registry(directory).read_text().splitlines():
            values = json.loads(line)
            yield SweepJob(values["number"], tuple(values["overrides"]), Path(values["directory"]))
