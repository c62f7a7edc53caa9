"""Every exception that crosses rooms. Each but `Interrupted` says all in one line, for the person who runs the command.

Imports only the standard library, so that a config error costs no import of torch.
"""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Iterator
from pathlib import Path

MOST_OF_A_REASON = 300
"""Characters, from its end."""
LIBRARIES = ("gymnasium", "numpy", "rlexp", "torch", "importlib")
"""Packages in which the cause of an environment's error is not looked for."""


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


def place_of(error: BaseException) -> str:
    """Return the file and line, `my_env.py:12`, of the innermost call outside libraries; empty where there is none."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not _in_library(frame.filename)]
    return f"{shown(own[-1].filename)}:{own[-1].lineno}" if own else ""


def _in_library(filename: str) -> bool:
    return filename.startswith("<") or bool({*LIBRARIES} & set(Path(filename).parts[-6:]))


def shown(filename: str) -> str:
    """Return a file's path relative to the working directory where it lies below it."""
    path = Path(filename)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def described(error: BaseException) -> str:
    """Return an exception as one line: its type, its text and the place in the environment's code."""
    text, place = " ".join(str(error).split()), place_of(error)
    return type(error).__name__ + (f": {text}" if text else "") + (f" ({place})" if place else "")
