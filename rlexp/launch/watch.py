"""Ends a process that hangs, with the stacks of all its threads in the log."""

from __future__ import annotations

import contextlib
import faulthandler
import threading
import time
from collections.abc import Callable, Iterator
from typing import TextIO

LEAST_AGE = 1.0
"""Seconds after which the timer is set again; to do so costs a thread, which short rollouts would notice."""


class Watch:
    """Called, a context that ends this process where it takes longer than a timeout.

    The timer runs without Python, so that it ends a process that hangs in C too. Between two contexts that follow each
    other quickly it stays set; a thread takes it back where none follows.

    Args:
        timeout: seconds; fabric.timeout_seconds.
        log: where the stacks are written.
        margin: further seconds for what ranks do together, so that a rank that waits for one that hangs outlives it.
    """

    def __init__(self, timeout: float, log: TextIO, margin: float) -> None:
        self._timeout = timeout
        self._log = log
        self._margin = margin
        self._age = min(LEAST_AGE, timeout / 10)
        self._lock = threading.Lock()
        self._inside = 0
        self._set_at: float | None = None  # None: the timer is not set
        self._set_for = 0.0
        self._sweeper: threading.Thread | None = None
        self._over = threading.Event()

    def __enter__(self) -> Watch:
        """Return this watch, whose thread ends with the context."""
        return self

    def __exit__(self, *raised: object) -> None:
        """Take the timer back for good."""
        self._over.set()
        if self._sweeper is not None:
            self._sweeper.join()
        faulthandler.cancel_dump_traceback_later()

    @contextlib.contextmanager
    def __call__(self, together: bool = False) -> Iterator[Callable[[], None]]:
        """Yield a function that says that there is progress: the time then begins anew.

        Args:
            together: whether other ranks must take part in what is watched.
        """
        seconds = self._timeout + (self._margin if together else 0.0)
        with self._lock:
            self._inside += 1
            self._set(seconds)

        def renew() -> None:
            with self._lock:
                self._set(seconds)

        try:
            yield renew
        finally:
            with self._lock:
                self._inside -= 1
                if self._sweeper is None:
                    self._sweeper = threading.Thread(target=self._sweep, name="watch", daemon=True)
                    self._sweeper.start()

    def _set(self, seconds: float) -> None:
        """Set the timer, unless it has been set for as long just now."""
        now = time.monotonic()
        if self._set_at is None or seconds != self._set_for or now - self._set_at > self._age:
            faulthandler.dump_traceback_later(seconds, file=self._log, exit=True)
            self._set_at, self._set_for = now, seconds

    def _sweep(self) -> None:
        """Take the timer back where nothing is watched."""
        while not self._over.wait(self._age / 2):
            with self._lock:
                if self._inside == 0 and self._set_at is not None:
                    faulthandler.cancel_dump_traceback_later()
                    self._set_at = None
