"""How a failure is reported: one line in summary.json, its traceback in main.log, causes before consequences."""

from __future__ import annotations

import contextlib
import csv
import logging
import re
from collections.abc import Iterator
from pathlib import Path

from rlexp.errors import Fault
from rlexp.files.log import log_to
from rlexp.files.summary import Summary

log = logging.getLogger(__name__)

LOST_PEER = re.compile("(closed|reset) by peer|broken pipe|timed out|DistBackendError|DistNetworkError", re.IGNORECASE)
"""What a rank says when another one is gone: a consequence, not a cause."""


LONGEST_LINE, LONGEST_TRACE = 1_000, 10_000
"""Characters that are reported; what is longer would fill the pipe to the parent, and nobody would read it."""


def one_line(error: BaseException, rank: int) -> str:
    """Return an exception of a rank as one line."""
    text = shortened(" ".join(str(error).split()), LONGEST_LINE)
    if isinstance(error, Fault):
        return text
    return f"rank {rank}: {type(error).__name__}: {text}" if text else f"rank {rank}: {type(error).__name__}"


def shortened(text: str, length: int) -> str:
    """Return a text of at most about `length` characters, with most of its beginning and some of its end."""
    if len(text) <= length:
        return text
    return f"{text[: length * 4 // 5]} [...] {text[-length // 5 :]}"


def log_size(run_dir: Path) -> int:
    """Return how many characters the log holds already, of an earlier run in the same directory."""
    path = run_dir / "main.log"
    return len(path.read_text(errors="replace")) if path.is_file() else 0


def hung(run_dir: Path, start: int) -> bool:
    """Return whether a watch ran out: faulthandler's dump then stands in the log after its character `start`."""
    path = run_dir / "main.log"
    return path.is_file() and "Timeout (" in path.read_text(errors="replace")[start:]


@contextlib.contextmanager
def logged(run_dir: Path) -> Iterator[None]:
    """Write what is logged, warnings included, into the log of a run; without its directory, nowhere."""
    if not run_dir.is_dir():
        yield
        return
    handler = log_to(run_dir / "main.log")
    logging.captureWarnings(True)  # the traceback of an environment in a process of its own comes as a warning
    try:
        yield
    finally:
        logging.captureWarnings(False)
        logging.getLogger().removeHandler(handler)
        handler.close()


def report_failure(run_dir: Path, steps_per_update: int, error: str, trace: str = "") -> None:
    """Write a failure into the log of a run, and into its summary unless that says already how the run ended."""
    if not run_dir.is_dir():
        return
    with logged(run_dir):
        log.error("%s\n%s", error, trace)
    summary = Summary(run_dir)
    with contextlib.suppress(OSError):  # of a full disk: the command still says it
        if summary.read().get("state", "running") == "running":
            summary.change(state="failed", error=error, **progress(run_dir, steps_per_update))


def progress(run_dir: Path, steps_per_update: int) -> dict[str, int]:
    """Return how far a run came, from its metrics and its summary: a rank that was killed could not say it."""
    path = run_dir / "metrics.csv"
    steps = [int(Summary(run_dir).peek().get("env_steps") or 0)]
    if path.is_file():
        with path.open(newline="") as file:
            steps += [int(row["env_steps"]) for row in csv.DictReader(file) if (row["env_steps"] or "").isdigit()]
    return {"updates": max(steps) // steps_per_update, "env_steps": max(steps)}
