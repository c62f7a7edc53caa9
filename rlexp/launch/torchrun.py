"""A rank that torchrun started: nobody of ours watches it, so the ranks themselves say how the run ended."""

from __future__ import annotations

import contextlib
import os
import signal
import time
import traceback
from dataclasses import replace
from typing import Any

from rlexp.errors import Interrupted, RunFailed, writing
from rlexp.files.summary import Summary
from rlexp.launch.cause import LONGEST_TRACE, LOST_PEER, hung, log_size, logged, one_line, report_failure, shortened
from rlexp.launch.job import Job
from rlexp.launch.rank import Body, Rank, enter
from rlexp.launch.stopping import stoppable

REAP_SECONDS = 1.0
"""Time in which torchrun notices that a rank is dead."""


def run_as_rank(job: Job, body: Body) -> dict[str, Any]:
    """Be the rank that the environment variables name; return the summary on rank 0, nothing on others.

    Raises:
        RunFailed: this rank or another one failed.
        Interrupted: SIGINT or SIGTERM came, and not because torchrun stops the others of a dead rank.
    """
    index, summary = int(os.environ["RANK"]), Summary(job.run_dir)
    begin = _begin(job, summary) if index == 0 else time.monotonic()
    launched: list[tuple[Rank, list[int], int]] = []  # this rank, the processes of all ranks, where the log starts

    def watched(rank: Rank) -> None:
        rank = replace(rank, beat=lambda: _say(rank, over=False))
        launched.append((rank, _local_processes(rank), log_size(rank.run_dir)))
        try:
            with logged(rank.run_dir):
                body(rank)
            _wait_for_all(rank)
        except Exception as error:  # reported before the process group ends and others find that they lost a peer
            trace = shortened(traceback.format_exc(), LONGEST_TRACE)
            if not LOST_PEER.search(one_line(error, index)):
                report_failure(rank.run_dir, job.config.steps_per_update, one_line(error, index), trace)
            raise

    try:
        with stoppable(patient=True):
            enter(job, watched)
    except (Interrupted, Exception) as error:
        _ignore_signals()  # torchrun stops the survivors: first they say what happened
        lost = isinstance(error, Exception) and LOST_PEER.search(one_line(error, index))
        dead = _dead_rank(launched[0][1], REAP_SECONDS if lost else 0.0) if launched else None
        if dead is None and isinstance(error, Interrupted):
            if index == 0:
                _note_interruption(summary, error.signum, time.monotonic() - begin)
            raise
        run_dir = launched[0][0].run_dir if launched else job.run_dir
        message = one_line(error, index) if dead is None else f"rank {dead} died"
        if dead is not None and hung(run_dir, launched[0][2]):
            message = f"rank {dead} hung for fabric.timeout_seconds={job.config.fabric.timeout_seconds:g}"
        if launched or index == 0:  # else the directory is not this rank's to write to
            report_failure(run_dir, job.config.steps_per_update, message)
        raise RunFailed(message) from error
    if index != 0:
        return {}
    with writing(summary.path):
        summary.change(state="completed", wall_seconds=time.monotonic() - begin)
    return summary.read()


def _begin(job: Job, summary: Summary) -> float:
    """Write that the run has started; return when it did on the clock of this process, earlier parts of it included."""
    now = time.monotonic()
    with writing(summary.path):
        summary.start(job.about, job.config.world_size, job.resume)
    wall_seconds: float = summary.read()["wall_seconds"]
    return now - wall_seconds


def _ignore_signals() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _note_interruption(summary: Summary, signum: int, seconds: float) -> None:
    """Write into a summary that says how no run ended yet that a signal stopped it."""
    with contextlib.suppress(OSError):
        if summary.read()["state"] == "running":
            error = f"stopped by {signal.Signals(signum).name}"
            summary.change(state="interrupted", error=error, wall_seconds=seconds)


def _local_processes(rank: Rank) -> list[int]:
    """Return the process ids of all ranks where they run on one machine; none otherwise."""
    import torch  # not at the start: the command imports this module

    if rank.config.fabric.num_nodes > 1 or rank.size == 1:
        return []
    ids = [torch.empty(1, dtype=torch.int64) for _ in range(rank.size)]
    torch.distributed.all_gather(ids, torch.tensor([os.getpid()]))
    return [int(value) for value in ids]


def _wait_for_all(rank: Rank) -> None:
    """Wait until every rank is done, so that until then one that is gone is one that died.

    Rank 0, which evaluates last, is waited for as long as it calls `_say` now and then.
    """
    while not _say(rank, over=True) and rank.index != 0:
        pass


def _say(rank: Rank, over: bool) -> bool:
    """Exchange with all ranks whether this one is done; return whether all are."""
    import torch  # not at the start: the command imports this module

    busy = torch.tensor([int(not over)])
    if rank.size > 1:
        torch.distributed.all_reduce(busy, torch.distributed.ReduceOp.MAX)
    return not busy.item()


def _dead_rank(processes: list[int], seconds: float) -> int | None:
    """Return the first rank whose process is gone, waiting up to `seconds` for one to go; None if all are alive."""
    deadline = time.monotonic() + seconds
    while True:
        dead = next((rank for rank, pid in enumerate(processes) if not _alive(pid)), None)
        if dead is not None or time.monotonic() >= deadline:
            return dead
        time.sleep(0.02)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
