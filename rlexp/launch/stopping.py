"""How a process is asked to stop: after its current update if that comes in time, else where it stands."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator

from rlexp.errors import Interrupted

AGAIN_SECONDS = 0.01
FINISH_SECONDS = 2.0
"""Time between asking for a stop after the current update and stopping where the program stands."""
FINISH = signal.SIGUSR1
"""What the parent of a rank sends it to ask for a stop after the current update."""
SIGNALS = (signal.SIGINT, signal.SIGTERM, FINISH)


class _Request:
    """What this process was asked for, and whether it is in a loop that looks at it."""

    signum = 0
    looping = False
    noted = 0


def stop_requested() -> int:
    """Return the signal that asked this process to stop after the current update; 0 if none did."""
    return _Request.signum


def note_stops() -> None:
    """Note SIGINT and SIGTERM from now on, those held back until now included; `noted_stop` tells.

    For a process of a parallel sweep: the command that started it waits for its jobs to save and return.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda signum, _: note_stop(signum))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT, signal.SIGTERM))


def note_stop(signum: int) -> None:
    """Note that this process is to start nothing more; the first signal counts."""
    _Request.noted = _Request.noted or signum


def noted_stop() -> int:
    """Return the signal that was noted; 0 if none was."""
    return _Request.noted


def stopped(signum: int) -> Interrupted:
    """Return what to raise after the last update, and let no further signal disturb what is done on the way out."""
    signal.setitimer(signal.ITIMER_REAL, 0)
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    return Interrupted(signum)


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
def stopping_between_updates() -> Iterator[None]:
    """Within, a request to stop waits for the loop to look at `stop_requested`; outside, it stops at once."""
    _Request.looping = True
    try:
        yield
    finally:
        _Request.looping = False


@contextlib.contextmanager
def stoppable(patient: bool = False) -> Iterator[None]:
    """Raise `Interrupted` where the program stands when SIGINT or SIGTERM comes; a second one is ignored.

    Where it stands in a __del__ or another place whose exceptions Python ignores (moviepy has such), it is raised once
    more a moment later. FINISH (SIGUSR1) asks to stop after the current update.

    Args:
        patient: SIGINT and SIGTERM ask for that too, and stop the program only FINISH_SECONDS later.
    """

    def stop(signum: int, frame: object) -> None:
        raise stopped(signum)

    def finish(signum: int, frame: object) -> None:
        name = signal.SIGTERM if signum == FINISH else signum
        if not _Request.looping:
            stop(name, frame)
        if not _Request.signum and signum != FINISH:
            signal.signal(signal.SIGALRM, lambda *_: stop(name, None))
            signal.setitimer(signal.ITIMER_REAL, FINISH_SECONDS)
        _Request.signum = _Request.signum or name

    def ignored(unraisable: sys.UnraisableHookArgs) -> None:
        if not isinstance(unraisable.exc_value, Interrupted):
            hook_before(unraisable)
            return
        signum = unraisable.exc_value.signum
        signal.signal(signal.SIGALRM, lambda *_: stop(signum, None))
        signal.setitimer(signal.ITIMER_REAL, AGAIN_SECONDS)

    _Request.signum, _Request.looping = 0, False
    hook_before, sys.unraisablehook = sys.unraisablehook, ignored
    handler = finish if patient else stop
    before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    before[FINISH] = signal.signal(FINISH, finish)
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, previous in before.items():
            signal.signal(number, previous)
        sys.unraisablehook = hook_before
