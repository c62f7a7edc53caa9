"""What a run ran on: processor, memory, GPUs and system, as main.log begins with."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def processor() -> str:
    """Return the name of the processor."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def memory_gib() -> float | None:
    """Return the memory of the machine in GiB; None where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    except (ValueError, OSError):
        return None


def gpus() -> list[str]:
    """Return the names of NVIDIA's GPUs, read from the driver's files: asking CUDA would start it in this process."""
    found = []
    for path in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        for line in path.read_text(errors="replace").splitlines():
            if line.startswith("Model:"):
                found.append(line.partition(":")[2].strip())
    return found


def described() -> str:
    """Return the machine on one line."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = memory_gib()
    part = f" ({allowed} for this process)" if allowed != os.cpu_count() else ""
    parts = [
        f"{os.cpu_count()} cores of {processor()}{part}",
        "memory unknown" if memory is None else f"{memory:.1f} GiB of memory",
        ", ".join(gpus()) or "no NVIDIA GPU",
        platform.platform(),
    ]
    return "; ".join(parts)
