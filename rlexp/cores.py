"""How many cores this process may use."""

from __future__ import annotations

import os
from pathlib import Path


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
