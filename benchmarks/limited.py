"""Run a command within limits of time and memory, so that a broken environment cannot take the machine."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

POLL_SECONDS = 0.25


@dataclass(frozen=True)
class Limits:
    """Seconds, and GiB of resident memory of a process and its children together."""

    seconds: float
    memory: float


@dataclass(frozen=True)
class Outcome:
    """How a command ended.

    Attributes:
        code: its exit code.
        lines: what it wrote, standard output and error together.
        ended: why it was ended from outside; empty where it was not.
    """

    code: int
    lines: list[str]
    ended: str

    def completed(self, run_dir: Path) -> bool:
        """Return whether it exited with 0 and its run says that it is completed."""
        summary = run_dir / "summary.json"
        return self.code == 0 and summary.is_file() and json.loads(summary.read_text()).get("state") == "completed"

    @property
    def reason(self) -> str:
        """The one line that says why it failed."""
        if self.ended:
            return self.ended
        told = [line for line in self.lines if re.match(r"(\[.*\] )?error: ", line)]
        last = (told or self.lines or ["it wrote nothing"])[-1]
        last = re.sub(r"; its traceback is in \S+", "", last)  # a temporary file
        return last.removeprefix("error: ") + ("" if told else f" (exit code {self.code})")


def run_limited(
    command: Sequence[str], folder: Path, tree: Path, limits: Limits, variables: Sequence[str] = ()
) -> Outcome:
    """Run a command in `folder` on the code in `tree`, which is ended at its limits with all that it started."""
    environment = {**os.environ, "PYTHONPATH": str(tree), "COLUMNS": "200"}
    environment |= dict(word.split("=", 1) for word in variables)
    with (folder / "output.txt").open("wb+") as output:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
        ended = _watch(process, limits)
        output.seek(0)
        text = output.read().decode(errors="replace")
    lines = [line.strip() for line in re.split(r"[\r\n]+", text) if line.strip()]
    return Outcome(process.returncode, lines, ended)


def _watch(process: subprocess.Popen[bytes], limits: Limits) -> str:
    """Wait for a process; end it and all that it started at a limit, and return which limit that was."""
    began, ended = time.monotonic(), ""
    started: set[int] = set()
    while process.poll() is None and not ended:
        memory = _family({process.pid})
        started |= memory.keys()
        if time.monotonic() - began > limits.seconds:
            ended = f"did not end within {limits.seconds:g} s"
        elif sum(memory.values()) > limits.memory * 2**30:
            ended = f"took more than {limits.memory:g} GiB of memory"
        else:
            time.sleep(POLL_SECONDS)
    if ended:
        for pid in _family(started):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.kill()
    process.wait()
    return ended


def _family(pids: set[int]) -> dict[int, int]:
    """Return those of some processes that still run, and all that they started, with their resident memory in bytes.

    A rank has a session of its own, so that it is found by its parent. Empty on systems without /proc.
    """
    parents, memory = {}, {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(") ")[2].split()
        except OSError:  # it has ended meanwhile
            continue
        pid = int(path.parent.name)
        parents[pid], memory[pid] = int(fields[1]), int(fields[21]) * os.sysconf("SC_PAGE_SIZE")
    family = pids & memory.keys()
    while more := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= more
    return {pid: memory[pid] for pid in family}
