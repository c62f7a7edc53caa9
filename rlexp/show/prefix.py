"""Puts a mark before each line that this process and those that it starts write, as `[3] ` for job 3 of a sweep."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator

LAST_LINES_SECONDS = 2.0
"""Time for the last lines, should a process that was started still hold the other end."""


@contextlib.contextmanager
def prefixed(mark: str) -> Iterator[None]:
    """Within, every line on the standard output and the standard error begins with `mark`.

    The descriptors themselves are redirected, so that lines of child processes and of libraries are marked, too.
    """
    pumps = [_Pump(number, mark.encode()) for number in (1, 2)]
    try:
        yield
    finally:
        for pump in pumps:
            pump.close()


class _Pump:
    """Hands what is written to a file descriptor on to where it led before, line by line."""

    def __init__(self, number: int, mark: bytes) -> None:
        self._number, self._mark = number, mark
        self._flush()
        self._before = os.dup(number)
        self._source, sink = os.pipe()
        os.dup2(sink, number)  # inheritable, as the standard output is
        os.close(sink)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Give the descriptor back, when all that was written has arrived."""
        self._flush()
        os.dup2(self._before, self._number)
        self._thread.join(LAST_LINES_SECONDS)

    def _flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            (sys.stdout if self._number == 1 else sys.stderr).flush()

    def _run(self) -> None:
        rest = b""
        with os.fdopen(self._source, "rb", buffering=0) as source:
            while content := source.read(65536):
                *lines, rest = (rest + content).split(b"\n")
                self._write(b"".join(self._mark + line + b"\n" if line else b"\n" for line in lines))
            if rest:
                self._write(self._mark + rest + b"\n")

    def _write(self, content: bytes) -> None:
        with contextlib.suppress(OSError):  # nobody reads any more
            while content:
                content = content[os.write(self._before, content) :]
