"""The machine: its processor, memory, GPUs and system, as main.log begins with, and the cores of this process."""

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


def cores() -> int:
    """Return the cores that this process may use: those of its affinity, or fewer by the quota of its control group."""
    found = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([found, *(int(quota) for quota in _quotas(Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")))]))


def _quotas(root: Path, own: Path) -> list[float]:
    """Return the CPU quotas, in cores, of this process's control group and those above it, versions 2 and 1.

    Args:
        root: where the control groups are mounted.
        own: lists this process's groups, a line 'number:controllers:/path' each.
    """
    quotas = []
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        base = root / "cpu" if controllers else root
        group = base / path.lstrip("/")
        # In a container the mount may be the group itself, whatever the path says: the root counts too.
        for folder in (group, *group.parents):
            quotas += _quota(folder)
            if folder == base:
                break
    return quotas


def _quota(folder: Path) -> list[float]:
    """Return the quota in cores that a control group's folder states, as a list of one number or none."""
    try:
        if (folder / "cpu.max").is_file():
            quota, period = (folder / "cpu.max").read_text().split()
        else:
            quota = (folder / "cpu.cfs_quota_us").read_text().strip()
            period = (folder / "cpu.cfs_period_us").read_text().strip()
        return [] if quota in ("max", "-1") else [int(quota) / int(period)]
    except (OSError, ValueError, ZeroDivisionError):
        return []


def free_memory() -> int | None:
    """Return the bytes of memory that this process may still take; None where the system does not say.

    That is what the kernel says is available, or less by the limit of a control group.
    """
    found = []
    info = Path("/proc/meminfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                found.append(1024 * int(line.split()[1]))
    else:
        whole = memory_gib()
        found += [] if whole is None else [int(whole * 2**30)]
    group = Path("/sys/fs/cgroup")
    for limit, used in (("memory.max", "memory.current"),
                        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes")):  # fmt: skip
        try:
            found.append(int((group / limit).read_text()) - int((group / used).read_text()))
        except (OSError, ValueError):
            continue
    return max(0, min(found)) if found else None
