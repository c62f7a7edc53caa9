"""One run at a time in a run directory."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from rlexp.errors import RunFailed, writing

_held: set[int] = set()
"""File descriptors of the locks that this process holds."""


def _let_go() -> None:
    """Close what a fork has copied: only the process that took a lock shall hold it, and its death release it."""
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_let_go)


@contextlib.contextmanager
def locked(run_dir: Path) -> Iterator[None]:
    """Hold the lock of a run directory, the file .hydra/lock; the kernel releases it however this process ends.

    Raises:
        RunFailed: another run holds it.
        Fault: the directory cannot be written.
    """
    path = run_dir / ".hydra" / "lock"
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    _held.add(descriptor)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 20, 0).decode(errors="replace").strip()
            raise RunFailed(
                f"{run_dir} is in use by another run (process {holder or 'unknown'}); wait for it, or give another "
                "hydra.run.dir"
            ) from None
        with writing(path):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        if descriptor in _held:
            _held.remove(descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)
