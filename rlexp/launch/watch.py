"""Ends a process that hangs, with the stacks of all its threads in the log."""

from __future__ import annotations

import contextlib
import faulthandler
import time
from collections.abc import Callable, Iterator
from typing import TextIO


class Watch:
    """Called, a context that ends this process where it takes longer than a timeout.

    Args:
        timeout: seconds; fabric.timeout_seconds.
        log: where the stacks are written.
        margin: further seconds for what ranks do together, so that a rank that waits for one that hangs outlives it.
    """

    def __init__(self, timeout: float, log: TextIO, margin: float) -> None:
        self._timeout = timeout
        self._log = log
        self._margin = margin

    @contextlib.contextmanager
    def __call__(self, together: bool = False) -> Iterator[Callable[[], None]]:
        """Yield a function that says that there is progress: the time then begins anew.

        Args:
            together: whether other ranks must take part in what is watched.
        """
        seconds = self._timeout + (self._margin if together else 0.0)
        renewed = time.monotonic()

        def renew() -> None:
            nonlocal renewed
            now = time.monotonic()
            if now - renewed > min(1.0, self._timeout / 10):
                renewed = now
                faulthandler.dump_traceback_later(seconds, file=self._log, exit=True)

        faulthandler.dump_traceback_later(seconds, file=self._log, exit=True)
        try:
            yield renew
        finally:
            faulthandler.cancel_dump_traceback_later()
