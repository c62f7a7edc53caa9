"""What every figure in docs/ is given with: machine, versions and date."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
from pathlib import Path

from rlexp.files.summary import versions


def processor() -> str:
    """Return the processor's name as the system tells it."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def commit() -> str:
    """Return the commit that is checked out, with '+' where files outside docs/ differ from it."""
    try:
        head = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
        words = ["git", "status", "--porcelain", "-uno", "--", ":/", ":(top,exclude)docs"]
        changed = subprocess.run(words, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head.stdout.strip() + ("+" if changed.stdout.strip() else "")


def described(*more: str) -> str:
    """Return machine, versions and date as one paragraph."""
    parts = [f"{name} {version}" for name, version in versions().items()] + list(more)
    return (
        f"{datetime.date.today().isoformat()}, {os.cpu_count()} cores of {processor()}, {platform.system()}, "
        f"commit {commit()}; {', '.join(parts)}."
    )
