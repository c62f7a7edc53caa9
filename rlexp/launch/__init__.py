"""Launching: Fabric, processes, threads, seeds of ranks, teardown. The only room that imports Lightning."""

from rlexp.launch.lock import locked
from rlexp.launch.processes import run
from rlexp.launch.rank import Job, Origin, Rank, RunFailed, check_devices
from rlexp.launch.stopping import Interrupted

__all__ = ["Interrupted", "Job", "Origin", "Rank", "RunFailed", "check_devices", "locked", "run"]
