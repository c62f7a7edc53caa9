"""How a sweep that runs is doing: printed after each job, and now and then where jobs run in other processes."""

from __future__ import annotations

import csv
import functools
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rlexp.command.sweep_jobs import Sweep, SweepJob, swept_keys
from rlexp.command.sweep_table import NOT_STARTED, Outcome, outcomes
from rlexp.files.metrics import METRICS
from rlexp.show.display import duration
from rlexp.show.lines import number
from rlexp.show.tables import aligned, short_names

EVERY_SECONDS = 60.0
"""Between two reports where nothing has ended."""
LOOK_SECONDS = 2.0
TAIL_BYTES = 4_096


class Progress:
    """Reports on a sweep from a thread of its own, until `close`.

    Args:
        sweep: its jobs.
        parallel: whether jobs run in other processes, whose own output does not say how the sweep is doing.
    """

    def __init__(self, sweep: Sweep, parallel: bool) -> None:
        self._sweep, self._begin = sweep, time.monotonic()
        self._earlier = _ended(outcomes(sweep))  # what earlier commands have completed took no time of this one
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        if parallel:
            self._thread.start()

    def jobs(self) -> list[SweepJob]:
        """Return the jobs that are known so far."""
        return self._sweep.all_jobs()

    def say(self) -> None:
        """Print how the sweep is doing."""
        lines = progress_lines(outcomes(self._sweep), time.monotonic() - self._begin, self._earlier)
        print("\n".join(lines), flush=True)

    def close(self) -> None:
        """Print no more."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _follow(self) -> None:
        last, ended = time.monotonic(), self._earlier
        while not self._stop.wait(LOOK_SECONDS):
            now = _ended(outcomes(self._sweep))
            if now != ended or time.monotonic() - last >= EVERY_SECONDS:
                ended, last = now, time.monotonic()
                self.say()


def progress_lines(found: Sequence[Outcome], seconds: float, earlier: int = 0) -> list[str]:
    """Return how a sweep is doing: how many jobs are in which state, the best so far, and those that run.

    Args:
        found: its jobs.
        seconds: since the sweep began.
        earlier: jobs that had ended before.
    """
    states = Counter(outcome.state for outcome in found)
    total, running = len(found), [outcome for outcome in found if outcome.state == "running"]
    shares = [share for outcome in running if (share := _share(outcome)) is not None]
    done = _ended(found) - earlier + sum(shares)
    left = total - earlier - done
    words = [f"{states['completed']} of {total} jobs completed"]
    words += [f"{states[state]} {state}" for state in ("running", "failed", "interrupted") if states[state]]
    if done > 0 and left > 0:
        words.append(f"about {duration(seconds * left / done)} left")
    lines = [f"sweep: {', '.join(words)}"]
    scored = [outcome for outcome in found if outcome.state == "completed" and outcome.score is not None]
    names = short_names(swept_keys([outcome.job for outcome in found]))
    if scored:
        best = max(scored, key=lambda outcome: outcome.score or 0.0)
        lines.append(f"best so far: {number(best.score)}, job {best.job.number}{_which(best, names)}")
    if running:
        rows = [["job", *names.values(), "steps", "return"]]
        rows += [[str(one.job.number), *(one.job.values.get(key, "") for key in names), *_now(one)] for one in running]
        lines += aligned(rows, right={0, len(rows[0]) - 2, len(rows[0]) - 1})
    return lines


def _which(outcome: Outcome, names: dict[str, str]) -> str:
    values = outcome.job.values
    words = [f"{name}={values[key]}" for key, name in names.items() if key in values]
    return f" ({' '.join(words)})" if words else ""


def _ended(found: Sequence[Outcome]) -> int:
    return sum(outcome.state not in (NOT_STARTED, "running") for outcome in found)


def _share(outcome: Outcome) -> float | None:
    """Return how much of its steps a job has taken; None where that is not known."""
    total = _planned(outcome.job.directory)
    steps = last_row(outcome.job.directory / METRICS).get("env_steps")
    return min(1.0, float(steps or 0) / total) if total else None


@functools.lru_cache(maxsize=256)
def _planned(directory: Path) -> int | None:
    """Return the steps that a run is to take; None where its settings cannot be read."""
    from rlexp.report.read import saved_settings  # numpy and yaml, which the start of a run need not wait for

    total = saved_settings(directory)[0].get("total_timesteps")
    return total if isinstance(total, int) else None


def _now(outcome: Outcome) -> list[str]:
    """Return the steps and the return of a job that runs."""
    row = last_row(outcome.job.directory / METRICS)
    steps, reached = row.get("env_steps"), row.get("Rewards/last_100")
    return [number(float(steps), 0) if steps else "-", number(float(reached)) if reached else "-"]


def last_row(path: Path) -> dict[str, str]:
    """Return the last whole row of a metrics.csv; empty where there is none."""
    try:
        with path.open("rb") as file:
            head = file.readline().decode()
            begin = file.tell()
            size = file.seek(0, 2)
            file.seek(max(begin, size - TAIL_BYTES))
            lines = file.read().decode(errors="replace").splitlines(keepends=True)
    except OSError:
        return {}
    whole = [line for line in lines if line.endswith("\n")]
    columns = next(csv.reader([head]), [])
    values = next(csv.reader(whole[-1:]), [])
    return dict(zip(columns, values, strict=True)) if len(columns) == len(values) else {}
