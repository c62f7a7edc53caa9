"""What a person sees while a run is under way: live bars on a terminal, a plain line every few seconds elsewhere.

A bar takes the width that its figures leave; where the terminal is too narrow for both, the figures get shorter.
"""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Iterator
from typing import TextIO

from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.segment import Segment
from rich.text import Text

from rlexp.show.lines import number

PLAIN_SECONDS = 5.0
"""Time between two plain lines."""
SHORTEST_BAR, LONGEST_BAR = 8, 40


def short(value: float) -> str:
    """Return a number in at most six characters: 999, 12.3k, 1.25M."""
    if not math.isfinite(value):
        return "-"
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}" if abs(value) < 999.5 * size else f"{value / size:.0f}{unit}"
    return f"{value:.0f}"


def duration(seconds: float) -> str:
    """Return a time as hours, minutes and seconds; '-' where it is not known."""
    if not math.isfinite(seconds):
        return "-"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


class Bar:
    """One line: a name, a bar, and the longest of several forms of its figures that fits beside a short bar."""

    def __init__(self, name: str, total: float) -> None:
        self._name, self._total = name, total
        self.completed, self.forms = 0.0, [""]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the parts of the line."""
        room = options.max_width - len(self._name) - 2
        form = next((form for form in self.forms if len(form) + SHORTEST_BAR <= room), self.forms[-1])
        width = min(LONGEST_BAR, room - len(form))
        if width >= SHORTEST_BAR:
            yield Segment(f"{self._name} ")
            yield ProgressBar(max(self._total, 1), min(self.completed, self._total), width=width)
            yield Segment(f" {form}")
        else:
            yield Text(f"{self._name} {form}"[: options.max_width], end="", no_wrap=True)


class _Lines:
    """Plain lines, one every few seconds."""

    def __init__(self, file: TextIO | None) -> None:
        self._file = file
        self._printed = time.perf_counter()
        self._gone = False

    def due(self) -> bool:
        """Return whether it is time for a line."""
        return time.perf_counter() - self._printed >= PLAIN_SECONDS

    def print(self, line: str) -> None:
        """Print a line unless nobody reads any more (a closed pipe): the run continues."""
        self._printed = time.perf_counter()
        if not self._gone:
            try:
                print(line, file=self._file, flush=True)
            except OSError:
                self._gone = True


class _Evaluation:
    """An evaluation under way."""

    def __init__(self, episodes: int) -> None:
        self._episodes, self._begin = episodes, time.perf_counter()
        self._played, self._steps = 0, 0
        self.bar = Bar("evaluation", episodes)

    def update(self, played: int, steps: int) -> None:
        self._played, self._steps = played, steps

    def line(self) -> str:
        seconds = time.perf_counter() - self._begin
        speed = self._steps / seconds if seconds > 0 else math.nan
        done = f"{self._played:,} of {self._episodes:,} episodes"
        return f"evaluation: {done}  {self._steps:,} steps  {speed:,.0f} steps/s"

    def drawn(self) -> Bar:
        seconds = time.perf_counter() - self._begin
        speed = self._steps / seconds if seconds > 0 else math.nan
        self.bar.completed = self._played
        done = f"{self._played:,}/{self._episodes:,} episodes"
        self.bar.forms = [
            f"{done}  {self._steps:,} steps  {speed:,.0f} steps/s  {duration(seconds)}",
            f"{done} {short(self._steps)} steps {duration(seconds)}",
            f"{self._played}/{self._episodes} {duration(seconds)}",
        ]
        return self.bar


class Display:
    """Shows the progress of a run of `total` environment steps on the standard output."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._console = Console()
        self._lines = _Lines(None)
        self._training = Bar("training", total)
        self._training.forms = [f"0/{total:,}"]
        self._evaluation: _Evaluation | None = None
        self._doing: tuple[str, float] | None = None  # something else, and when it began
        self._live: Live | None = None
        if self._console.is_terminal:
            self._live = Live(console=self._console, get_renderable=self._drawn, refresh_per_second=5)
            self._live.start()

    def _drawn(self) -> Group:
        """Return what a terminal shows now; asked for several times a second."""
        bars: list[Bar | Text] = [self._training]
        evaluation, doing = self._evaluation, self._doing
        if evaluation is not None:
            bars.append(evaluation.drawn())
        if doing is not None:
            bars.append(Text(f"{doing[0]} {duration(time.perf_counter() - doing[1])}", no_wrap=True))
        return Group(*bars)

    def update(self, env_steps: int, seconds: float, mean_return: float, length: float) -> None:
        """Show progress: steps done, wall time so far, mean return and length of the last 100 episodes."""
        speed = env_steps / seconds if seconds > 0 else math.nan
        left = (self._total - env_steps) / speed if speed > 0 else math.nan
        if self._live is not None:
            self._training.completed = env_steps
            small = f"{short(env_steps)}/{short(self._total)} {short(speed)}/s return {number(mean_return)}"
            self._training.forms = [
                f"{env_steps:,}/{self._total:,}  {speed:,.0f} steps/s  return {number(mean_return)}  "
                f"length {number(length, 1)}  left {duration(left)}",
                f"{small} length {number(length, 1)} left {duration(left)}",
                f"{small} left {duration(left)}",
                small,
                f"{short(env_steps)}/{short(self._total)} {number(mean_return)}",
            ]
        elif self._lines.due() or env_steps >= self._total:
            self._lines.print(
                f"{env_steps:>9,} / {self._total:,} steps  {speed:>8,.0f} steps/s  return {number(mean_return)}  "
                f"length {number(length, 1)}  {left:,.0f} s left"
            )

    @contextlib.contextmanager
    def evaluating(self, episodes: int) -> Iterator[None]:
        """Within, `evaluated` says how far an evaluation of so many episodes has come."""
        self._evaluation = _Evaluation(episodes)
        try:
            yield
        finally:
            self._evaluation = None

    def evaluated(self, played: int, steps: int) -> None:
        """Show progress of an evaluation: episodes that have ended, and steps."""
        if self._evaluation is None:
            return
        self._evaluation.update(played, steps)
        if self._live is None and self._lines.due():
            self._lines.print(self._evaluation.line())

    @contextlib.contextmanager
    def doing(self, what: str) -> Iterator[None]:
        """Within, say that something else takes time."""
        self._doing = what, time.perf_counter()
        try:
            yield
        finally:
            self._doing = None

    def close(self) -> None:
        """Leave the terminal as it was found."""
        if self._live is not None:
            self._evaluation = self._doing = None
            self._live.stop()
            self._live = None


class EvaluationDisplay:
    """Shows the progress of one evaluation on the standard error: the standard output is for its result."""

    def __init__(self, episodes: int) -> None:
        console = Console(stderr=True)
        self._evaluation, self._lines = _Evaluation(episodes), _Lines(sys.stderr)
        self._live: Live | None = None
        if console.is_terminal:
            drawn = self._evaluation.drawn
            self._live = Live(console=console, get_renderable=drawn, refresh_per_second=5, transient=True)
            self._live.start()

    def update(self, played: int, steps: int) -> None:
        """Show progress: episodes that have ended, and steps."""
        self._evaluation.update(played, steps)
        if self._live is None and self._lines.due():
            self._lines.print(self._evaluation.line())

    def close(self) -> None:
        """Leave the terminal as it was found."""
        if self._live is not None:
            self._live.stop()
            self._live = None
