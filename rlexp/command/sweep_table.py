"""What came of a sweep: a table of its jobs, a line for each setting over its seeds, and sweep.csv."""

from __future__ import annotations

import csv
import os
import re
import shlex
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlexp.command.sweep_jobs import Sweep, SweepJob, key_of, swept_keys
from rlexp.errors import ConfigError
from rlexp.files.summary import Summary
from rlexp.show.lines import PLAIN, hydra_quoted, number, program, shown
from rlexp.show.tables import aligned, short_names

NOT_STARTED = "not started"
LONG_NUMBER = re.compile(r"-?\d+\.\d{6,}(e-?\d+)?")
SHORTEST_REASON = 20
"""Characters of a reason that are shown in the table however narrow the terminal is."""


@dataclass(frozen=True)
class Outcome:
    """What came of a job."""

    job: SweepJob
    summary: dict[str, Any]

    @property
    def state(self) -> str:
        """Return the state of its run."""
        return str(self.summary.get("state", NOT_STARTED))

    @property
    def score(self) -> float | None:
        """Return the objective of its run."""
        value = self.summary.get("objective")
        return None if value is None else float(value)

    @property
    def error(self) -> str:
        """Return why it failed, was interrupted, or ended early."""
        return str(self.summary.get("error") or self.summary.get("stopped") or "")


def outcomes(sweep: Sweep) -> list[Outcome]:
    """Read what came of each job."""
    return [Outcome(job, Summary(job.directory).peek()) for job in sweep.all_jobs()]


def table(found: Sequence[Outcome], width: int) -> list[str]:
    """Return a row for each job, the reasons cut to the width; below it, in full, those that were cut."""
    keys = short_names(swept_keys([outcome.job for outcome in found]))
    rows = [["job", *keys.values(), "state", "return", "steps/s"]]
    for outcome in found:
        values, summary = outcome.job.values, outcome.summary
        row = [str(outcome.job.number), *(shortened(values.get(key, "")) for key in keys), outcome.state]
        rows.append([*row, number(summary.get("objective")), number(summary.get("steps_per_second"), 0)])
    lines = aligned(rows, right={0, len(rows[0]) - 1, len(rows[0]) - 2})
    if not any(outcome.error for outcome in found):
        return lines
    room = max(SHORTEST_REASON, width - len(lines[0]) - 2)
    lines = [f"{lines[0]}  why"] + [
        f"{line}  {_short(outcome.error, room)}".rstrip() for line, outcome in zip(lines[1:], found, strict=True)
    ]
    reasons = [f"job {o.job.number}: {o.error}" for o in found if _short(o.error, room) != o.error]
    return [*lines, "", *reasons] if reasons else lines


def shortened(value: str) -> str:
    """Return a number of many digits with four that count; any other text as it is."""
    return f"{float(value):.4g}" if LONG_NUMBER.fullmatch(value) else value


def _short(text: str, room: int) -> str:
    return text if len(text) <= room else f"{text[: room - 3]}..."


def compared(found: Sequence[Outcome], width: int) -> list[str]:
    """Return the comparison of the settings over their seeds, and what weakens it; nothing where no job has a score."""
    from rlexp.report.groups import grouped  # numpy, which the start of a run need not wait for
    from rlexp.report.read import record_of
    from rlexp.report.table import table as comparison
    from rlexp.report.table import warnings

    groups = grouped([record_of(outcome.job.directory) for outcome in found if outcome.summary])
    if not any(group.counted for group in groups):
        return []
    return ["", *comparison(groups, width), *(f"warning: {line}" for line in warnings(groups))]


def page_lines(folder: Path, found: Sequence[Outcome], here: Path) -> list[str]:
    """Write a page of the sweep into its directory, and return where it is; nothing where no job has a score."""
    if not any(outcome.state == "completed" for outcome in found):
        return []
    from rlexp.report.page import Wanted, write  # numpy and jinja2, which the start of a run need not wait for

    try:
        written = write(Wanted((str(folder),), folder / "report.html", "", False, 0))
    except ConfigError as error:
        return [f"warning: no page is written: {error}"]
    return ["as a page:", shown(written.path, here)]


def write_csv(path: Path, found: Sequence[Outcome]) -> None:
    """Write a row for each job, with full keys and values, whole or not at all."""
    keys = swept_keys([outcome.job for outcome in found])
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    with temporary.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["job", *keys, "state", "return", "return_std", "env_steps", "steps_per_second", "wall_seconds",
                       "error", "directory"])  # fmt: skip
        for outcome in found:
            values, summary = outcome.job.values, outcome.summary
            spread = (summary.get("eval") or {}).get("std_return")
            numbers = [summary.get("objective"), spread]
            numbers += [summary.get(name) for name in ("env_steps", "steps_per_second", "wall_seconds")]
            rows.writerow(
                [outcome.job.number, *(values.get(key, "") for key in keys), outcome.state]
                + ["" if value is None else value for value in numbers]
                + [outcome.error, str(outcome.job.directory)]
            )
    temporary.replace(path)


def continue_command(sweep_dir: Path, here: Path, typed: Sequence[str]) -> str:
    """Return the command that continues a sweep, as a shell takes it: the one typed, with its directory."""
    own = ("hydra.sweep.dir", "sweep.skip_completed")
    words = [word for word in typed if key_of(word) not in own]
    words += [f"hydra.sweep.dir={hydra_quoted_where_needed(shown(sweep_dir, here))}", "sweep.skip_completed=true"]
    return " ".join([program(), *map(shlex.quote, words)])


def hydra_quoted_where_needed(text: str) -> str:
    """Return a text as Hydra's grammar takes it."""
    return text if PLAIN.fullmatch(text) else hydra_quoted(text)


def sweep_lines(sweep: Sweep, here: Path, typed: Sequence[str]) -> tuple[list[str], bool]:
    """Return what is printed at the end of a sweep, and whether all its jobs are completed; write sweep.csv.

    Args:
        sweep: the sweep.
        here: the folder that the user stands in.
        typed: the words of the command line.
    """
    found = outcomes(sweep)
    if not found:
        return [], True
    good = all(outcome.state == "completed" for outcome in found)
    width = shutil.get_terminal_size((120, 24)).columns if sys.stdout.isatty() else 200
    lines = ["", "sweep:", shown(sweep.directory, here), "", *table(found, width)]
    lines += compared(found, width) if sweep.compares else []
    path = sweep.directory / "sweep.csv"
    try:
        write_csv(path, found)
        lines += ["", "as a table of full values:", shown(path, here)]
    except OSError as error:
        lines += ["", f"warning: cannot write {path}: {error.strerror or error}"]
    lines += page_lines(sweep.directory, found, here)
    lines += ["see the curves:", f"tensorboard --logdir {shlex.quote(shown(sweep.directory, here))}"]
    if not good:
        lines += ["continue with the jobs that are not completed:", continue_command(sweep.directory, here, typed)]
    return lines, good
