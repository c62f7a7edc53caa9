"""Every exception that crosses rooms. Each but `Interrupted` says all in one line, for the person who runs the command.

Imports only the standard library, so that a config error costs no import of torch.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

MOST_OF_A_REASON = 300
"""Characters, from its end."""


def printable(text: str) -> str:
    """Return a text as one line that a terminal shows as it is, whatever was in it; the rest is escaped."""
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)


class ConfigError(Exception):
    """A mistake in what the user wrote: one line that names the key, what was given and what is allowed."""

    def __init__(self, text: str) -> None:
        super().__init__(printable(text))


class Fault(Exception):
    """Something outside the program's control went wrong; str() is one line that says all, the rank included."""


class RunFailed(Exception):
    """The run ended with an error that is already written to its summary and log; str() is one line."""


class Interrupted(BaseException):
    """The run was asked to stop; `signum` is the signal (2: SIGINT, 15: SIGTERM)."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the system refuses while `path` is written into one line.

    Raises:
        Fault: the disk is full, a directory is gone or read-only, or the like.
    """
    try:
        yield
    except OSError as error:
        reason = " ".join(str(error.strerror or error).split())  # of a video: all that ffmpeg said
        raise Fault(f"cannot write {path}: {reason[-MOST_OF_A_REASON:]}") from error
