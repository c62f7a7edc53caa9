"""Files that are written whole or not at all, and outlive a loss of power."""

from __future__ import annotations

import os
from pathlib import Path


def write_durably(path: Path, content: bytes, temporary: Path, before: Path | None = None) -> None:
    """Write to a temporary file beside `path`, sync it, and rename it into place.

    Args:
        path: where; its folder is there.
        content: all of it.
        temporary: in the same folder; it is removed where it cannot be written.
        before: what a file that is there already is renamed to; None: it is replaced.
    """
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    if before is not None and path.exists():
        path.replace(before)
    temporary.replace(path)
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)  # of the names; else a renaming itself may not survive a loss of power
    finally:
        os.close(descriptor)
