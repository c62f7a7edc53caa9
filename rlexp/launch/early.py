"""What SIGINT and SIGTERM do to a command where no run is under way: one line, and the end.

The package installs this before a command imports anything else, so that a signal in the first seconds ends in one line
instead of a traceback. It ends the process where it stands: an exception would be lost, or turned into another one, in
the middle of an import. For the same reason this module imports only what Python has imported anyway.
"""

from __future__ import annotations

import os
import signal
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

NAMES = ("evaluate", "export", "compare", "report", "submit")
MODULES = ("rlexp.main", *(f"rlexp.{name}" for name in NAMES))
SCRIPTS = ("rlexp", *(f"rlexp-{name}" for name in NAMES))


class _Command:
    """This process as a command: its id, and what is left to do and to say when it is stopped."""

    pid = 0
    on_stop: Callable[[int], None] | None = None


def is_command() -> bool:
    """Return whether this process was started as one of rlexp's commands, rather than imports rlexp."""
    if sys.argv[:1] == ["-m"]:  # what it is while Python imports the package of the module that it will run
        words = " ".join(sys.orig_argv)
        return any(f"-m {name}" in words or f"-m{name}" in words for name in MODULES)
    return os.path.basename((sys.argv or [""])[0]) in SCRIPTS


def install(on_stop: Callable[[int], None] | None = None) -> None:
    """Let SIGINT and SIGTERM end this process, after a call of `on_stop` with the signal."""
    _Command.pid, _Command.on_stop = os.getpid(), on_stop
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, leave)


def leave(signum: int, frame: object = None) -> None:
    """End this process with exit code 128 + signum; one that was forked from the command ends without a word."""
    if os.getpid() != _Command.pid:
        os._exit(128 + signum)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    try:
        print(f"stopped by {signal.Signals(signum).name}", file=sys.stderr, flush=True)
        if _Command.on_stop is not None:
            _Command.on_stop(signum)
        send(signal.SIGTERM, children())
        sys.stdout.flush()
    finally:  # whatever fails: such as a closed pipe, where nobody reads any more
        os._exit(128 + signum)


def children() -> list[int]:
    """Return the ids of the processes that this one has started."""
    found = []
    try:
        for thread in os.listdir("/proc/self/task"):
            with open(f"/proc/self/task/{thread}/children") as file:
                found += [int(pid) for pid in file.read().split()]
    except OSError:  # not Linux
        import subprocess

        words = ["pgrep", "-P", str(os.getpid())]
        found = [int(pid) for pid in subprocess.run(words, capture_output=True, text=True, check=False).stdout.split()]
    return found


def send(signum: int, processes: list[int]) -> None:
    """Send a signal to processes, those that are gone excepted."""
    for pid in processes:
        try:
            os.kill(pid, signum)
        except (ProcessLookupError, PermissionError):
            continue
