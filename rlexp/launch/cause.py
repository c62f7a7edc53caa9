"""How a failure is told: as one line in summary.json, with its traceback in main.log, causes before consequences."""

from __future__ import annotations

import csv
import logging
import re
from pathlib import Path

from rlexp.logger import Summary, log_to

log = logging.getLogger(__name__)

LOST_PEER = re.compile("(closed|reset) by peer|broken pipe|timed out|DistBackendError|DistNetworkError", re.IGNORECASE)
"""What a rank says when another one is gone: a consequence, not a cause."""


def one_line(error: BaseException) -> str:
    """Return an exception as one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def tell(run_dir: Path, error: str, trace: str = "") -> None:
    """Write a failure into the log of a run, and into its summary unless one is there already."""
    if not run_dir.is_dir():
        return
    handler = log_to(run_dir / "main.log")
    log.error("%s\n%s", error, trace)
    logging.getLogger().removeHandler(handler)
    handler.close()
    summary = Summary(run_dir)
    if summary.read().get("state") != "failed":
        summary.change(state="failed", error=error, **_progress(run_dir))


def _progress(run_dir: Path) -> dict[str, int]:
    """Return how far a run came, from its metrics: a rank that was killed could not say it."""
    path = run_dir / "metrics.csv"
    if not path.is_file():
        return {}
    with path.open(newline="") as file:
        steps = [row["env_steps"] for row in csv.DictReader(file) if row["env_steps"].isdigit()]
    return {"updates": len(steps), "env_steps": int(steps[-1])} if steps else {}
