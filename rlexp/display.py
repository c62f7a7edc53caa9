"""What a person sees while a run goes on: a live bar on a terminal, a plain line every few seconds elsewhere."""

from __future__ import annotations

import math
import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

PLAIN_SECONDS = 5.0
"""Time between two plain lines."""


def number(value: float) -> str:
    """Return a number for a person to read; '-' where there is none yet."""
    return "-" if math.isnan(value) else f"{value:,.1f}"


class Display:
    """Shows progress of a run of `total` environment steps on the standard output."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._console = Console()
        self._printed = time.perf_counter()
        self._progress: Progress | None = None
        self._gone = False
        if self._console.is_terminal:
            self._progress = Progress(
                TextColumn("training"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[speed]} steps/s"),
                TextColumn("return {task.fields[mean_return]}"),
                TextColumn("length {task.fields[length]}"),
                TextColumn("left"),
                TimeRemainingColumn(),
                console=self._console,
            )
            self._progress.start()
            self._task = self._progress.add_task("", total=total, speed="-", mean_return="-", length="-")

    def update(self, env_steps: int, seconds: float, mean_return: float, length: float) -> None:
        """Show progress: steps done, wall time so far, mean return and length of the last 100 episodes."""
        speed = env_steps / seconds if seconds > 0 else math.nan
        if self._progress is not None:
            self._progress.update(
                self._task,
                completed=env_steps,
                speed=f"{speed:,.0f}",
                mean_return=number(mean_return),
                length=number(length),
            )
            return
        now = time.perf_counter()
        if now - self._printed < PLAIN_SECONDS and env_steps < self._total:
            return
        self._printed = now
        if self._gone:
            return
        left = (self._total - env_steps) / speed if speed > 0 else math.nan
        line = (
            f"{env_steps:>9,} / {self._total:,} steps  {speed:>8,.0f} steps/s  return {number(mean_return)}  "
            f"length {number(length)}  {left:,.0f} s left"
        )
        try:
            print(line, flush=True)
        except OSError:  # nobody reads any more (a closed pipe); the run goes on
            self._gone = True

    def close(self) -> None:
        """Leave the terminal as it was found."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None
