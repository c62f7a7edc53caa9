"""The log of a run."""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path

LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class _LogFile(logging.FileHandler):
    """A log that stays as it is where it cannot be written: no reason to end a run, which fails elsewhere then."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a message if that can be done."""
        with contextlib.suppress(OSError):
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:
        """Leave it."""

    def close(self) -> None:
        """Close the file, whatever of it can be written."""
        with contextlib.suppress(OSError):
            super().close()


def log_to(path: Path) -> logging.Handler:
    """Send every logger's messages from level INFO on to a file; return the handler, to be removed at the end."""
    for other in logging.getLogger().handlers:  # which a package of environments may have made, by its first message
        if other.formatter is not None and other.formatter._fmt == logging.BASIC_FORMAT:
            other.setLevel(logging.ERROR)
    handler = _LogFile(path, delay=True)
    handler.setFormatter(logging.Formatter(LOG_FORMAT))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    return handler
