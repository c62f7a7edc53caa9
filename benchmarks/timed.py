"""Measuring one run from outside: a process, its phases, and what shows that two runs did the same work."""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.cases import Case

IMPORT = re.compile(r"import time:\s+(\d+) \|")


@dataclass(frozen=True)
class Update:
    """Seconds of one update: of collection, of learning, and from the end of the update before to its own end."""

    collect: float
    update: float
    whole: float


@dataclass(frozen=True)
class Loop:
    """What a run tells of itself; `ended` is when its last update ended, in seconds since the epoch."""

    updates: list[Update]
    ended: float
    parameters: int
    optimizer_steps: int


@dataclass(frozen=True)
class Process:
    """A process seen from outside: its start, end and imports (when each ended, seconds of its own), by the clock."""

    began: float
    ended: float
    imports: list[tuple[float, float]]


@dataclass(frozen=True)
class Phases:
    """Seconds of each part of a process, from its start to its end; together they are its wall time.

    `compilation` is what the warm-up took beyond the time of as many later updates, `warm_up` the rest of it. Where
    collection and update run side by side, `logging` is negative: what they overlap by.
    """

    imports: float
    set_up: float
    compilation: float
    warm_up: float
    collect: float
    update: float
    logging: float
    closing: float


@dataclass(frozen=True)
class Measurement:
    """One run.

    Attributes:
        phases: its seconds.
        steps: environment steps of its steady part: after the warm-up, without the last update. Where collection and
            update run side by side, each row of the log pays for the next collection, and the last one for none.
        seconds: of these steps.
        first: seconds of its first update.
        parameters: trained by it.
        optimizer_steps: taken by it.
    """

    phases: Phases
    steps: int
    seconds: float
    first: float
    parameters: int
    optimizer_steps: int

    @property
    def steps_per_second(self) -> float:
        """Steps per second of the steady part of the loop, logging included."""
        return self.steps / self.seconds

    @property
    def wall(self) -> float:
        """Seconds from the start of the process to its end."""
        return sum(vars(self.phases).values())

    @property
    def loop(self) -> float:
        """Seconds of the whole loop, warm-up included: the time of Stable-Baselines3's `learn`."""
        parts = self.phases
        return parts.compilation + parts.warm_up + parts.collect + parts.update + parts.logging


class Failed(RuntimeError):
    """A process that ended with an error; `said` is what it last wrote."""

    def __init__(self, command: list[str], said: list[str]) -> None:
        super().__init__(f"{' '.join(command)} failed:\n{''.join(said)}")
        self.said = said

    @property
    def refusal(self) -> str | None:
        """The one line with which rlexp refused a config; None for any other end."""
        line = self.said[-1].strip() if self.said else ""
        return line.removeprefix("error: ") if line.startswith("error: ") else None


def watch(
    arguments: list[str],
    tree: Path,
    folder: Path,
    variables: dict[str, str] | None = None,
    python: str = sys.executable,
) -> Process:
    """Run Python with these arguments on the code in `tree`, in `folder`, and watch it.

    Python itself tells the time of each import (-X importtime), which costs some hundredths of a second a run.

    Args:
        arguments: of the interpreter.
        tree: what PYTHONPATH becomes.
        folder: the working directory.
        variables: environment variables beside those of this process.
        python: the interpreter.

    Raises:
        Failed: it did not exit with 0.
    """
    environment = {**os.environ, "PYTHONPATH": str(tree), **(variables or {})}
    command = [python, "-X", "importtime", *arguments]
    imports, said = [], []
    began = time.time()
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if match := IMPORT.match(line):
                imports.append((time.time(), int(match[1]) / 1e6))
            elif not line.startswith("import time:"):
                said.append(line)
    if process.returncode != 0:
        raise Failed(command, said[-30:])
    return Process(began, time.time(), imports)


def measure(case: Case, process: Process, loop: Loop) -> Measurement:
    """Divide a run into its phases.

    The loop's start is reckoned back from its end. Of the first update, what follows learning cannot be told from
    set-up in rlexp, so it counts as set-up on every side.
    """
    first, rest = loop.updates[0], loop.updates[1:]
    warm_up = first.collect + first.update + sum(one.whole for one in rest[: case.warm_up - 1])
    measured = loop.updates[case.warm_up :]
    seconds = sum(one.whole for one in measured)
    steady = case.warm_up * statistics.median(one.whole for one in measured) if measured else 0.0
    collect, update = sum(one.collect for one in measured), sum(one.update for one in measured)
    start = loop.ended - warm_up - seconds
    imports = sum(own for when, own in process.imports if when <= start)
    phases = Phases(
        imports=imports,
        set_up=start - process.began - imports,
        compilation=warm_up - steady,
        warm_up=steady,
        collect=collect,
        update=update,
        logging=seconds - collect - update,
        closing=process.ended - loop.ended,
    )
    steady_part = measured[:-1] or measured
    return Measurement(
        phases,
        steps=len(steady_part) * case.steps_per_update,
        seconds=sum(one.whole for one in steady_part),
        first=first.collect + first.update,
        parameters=loop.parameters,
        optimizer_steps=loop.optimizer_steps,
    )
