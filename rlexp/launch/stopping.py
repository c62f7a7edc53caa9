"""How a process is asked to stop, and stops where it stands."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator

AGAIN_SECONDS = 0.01
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(BaseException):
    """The run was asked to stop; `signum` is the signal (2: SIGINT, 15: SIGTERM)."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Hold signals back while a child is forked, which inherits that until it is `stoppable`.

    The child would otherwise hand a signal that comes before it has handlers of its own to the parent's, which does
    nothing in the child: the signal would be lost.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Raise `Interrupted` where the program stands when SIGINT or SIGTERM comes; a second one is ignored.

    Where it stands in a __del__ or another place whose exceptions Python ignores (moviepy has such), it is raised once
    more a moment later.
    """

    def stop(signum: int, frame: object) -> None:
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        raise Interrupted(signum)

    def ignored(unraisable: sys.UnraisableHookArgs) -> None:
        if not isinstance(unraisable.exc_value, Interrupted):
            hook_before(unraisable)
            return
        signum = unraisable.exc_value.signum
        signal.signal(signal.SIGALRM, lambda *_: stop(signum, None))
        signal.setitimer(signal.ITIMER_REAL, AGAIN_SECONDS)

    hook_before, sys.unraisablehook = sys.unraisablehook, ignored
    before = {number: signal.signal(number, stop) for number in SIGNALS}
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)
        sys.unraisablehook = hook_before
