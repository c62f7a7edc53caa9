"""The processes of a run: one a rank, watched by the process that the user started.

The parent starts the ranks with the environment variables that torchrun sets, and waits. A rank knows what it is from
nothing but those variables, so one that torchrun started takes the same way. When a rank dies, raises or hangs, the
parent ends the others and writes down the first cause.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rlexp.errors import Interrupted, RunFailed, writing
from rlexp.files.summary import Summary
from rlexp.launch.cause import (
    LOST_PEER,
    hung,
    log_size,
    logged,
    progress,
    report_failure,
)
from rlexp.launch.child import free_port, preload, rank_main, shared_board
from rlexp.launch.devices import check_devices
from rlexp.launch.job import Job
from rlexp.launch.rank import Body
from rlexp.launch.stopping import FINISH, FINISH_SECONDS, held, noted_stop
from rlexp.launch.torchrun import run_as_rank

if TYPE_CHECKING:
    pass

log = logging.getLogger(__name__)

GRACE_SECONDS = 1.0
"""Time in which the other ranks may still tell their side once one has failed."""
STOP_SECONDS = 4.0
"""Time between asking a rank to stop and killing it."""
VIDEO_SECONDS = 20.0
"""The same while videos are recorded: closing one may take some seconds."""


def run(job: Job, body: Body) -> dict[str, Any]:
    """Run `body` in every rank and return the summary of the completed run.

    Raises:
        ConfigError: the devices asked for are not there, or a start by torchrun is needed.
        RunFailed: a rank failed; the summary says which and why.
        Interrupted: SIGINT or SIGTERM came.
        Fault: the run directory cannot be written.
    """
    check_devices(job.config)
    if "TORCHELASTIC_RUN_ID" in os.environ:
        return run_as_rank(job, body)
    summary = Summary(job.run_dir)
    with writing(summary.path):
        summary.start(job.about, job.config.world_size, job.resume)
    ranks = _Ranks(job, body)  # imports what ranks need, which takes seconds
    begin = time.monotonic() - summary.read()["wall_seconds"]
    try:
        ranks.supervise()
    except RunFailed:
        with contextlib.suppress(OSError):
            summary.change(wall_seconds=time.monotonic() - begin)
        raise
    except Interrupted as error:
        name = signal.Signals(error.signum).name
        with contextlib.suppress(OSError):
            done = {"wall_seconds": time.monotonic() - begin, **progress(job.run_dir, job.config.steps_per_update)}
            summary.change(state="interrupted", error=f"stopped by {name}", **done)
        raise
    with writing(summary.path):
        summary.change(state="completed", wall_seconds=time.monotonic() - begin)
    return summary.read()


# In a rank


# In the parent


@dataclass(frozen=True)
class _Failure:
    """How a rank failed; `order` sorts causes before consequences."""

    order: tuple[int, float]
    rank: int
    error: str
    trace: str


class _Ranks:
    """The processes of one run on this node."""

    def __init__(self, job: Job, body: Body) -> None:
        on_cpu = job.config.fabric.accelerator == "cpu"
        method = "fork" if sys.platform == "linux" and on_cpu else "spawn"
        self._held = held if method == "fork" else contextlib.nullcontext  # a spawned child dies of an early signal
        context: Any = multiprocessing.get_context(method)
        preload()
        port, count = free_port(), job.config.fabric.devices
        board = (
            shared_board(context, count, job.config.fabric.timeout_seconds) if method == "fork" and count > 1 else None
        )
        self._run_dir, self._timeout = job.run_dir, job.config.fabric.timeout_seconds
        self._steps_per_update = job.config.steps_per_update
        self._log_start = log_size(job.run_dir)
        self._stop_seconds = VIDEO_SECONDS if job.config.capture_video else STOP_SECONDS
        self._signal = 0
        self._reports: list[multiprocessing.connection.Connection] = []
        self._processes = []
        for index in range(count):
            receiver, sender = context.Pipe(duplex=False)
            process = context.Process(
                target=rank_main, args=(job, body, board, index, port, sender), name=f"rank-{index}"
            )
            self._reports.append(receiver)
            self._processes.append((process, sender))

    def supervise(self) -> None:
        """Start the ranks and wait until all have ended.

        Raises:
            RunFailed: a rank failed.
            Interrupted: SIGINT or SIGTERM came.
        """

        def note(signum: int, frame: object) -> None:
            self._signal = self._signal or signum

        sys.stdout.flush()
        before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
        self._signal = self._signal or noted_stop()
        try:
            failures: dict[int, _Failure] = {}
            if not self._signal:
                for process, sender in self._processes:
                    with self._held():
                        process.start()
                    sender.close()
                failures = self._wait()
        finally:
            self._end()
            for number, handler in before.items():
                signal.signal(number, handler)
        if self._signal:
            self._say_what_else(failures)
            raise Interrupted(self._signal)
        if failures:
            self._fail(failures)

    def _wait(self) -> dict[int, _Failure]:
        """Wait until every rank has ended, or one has failed (and the others have had their say).

        After a signal: until all have ended after their current update, or had the time for that.
        """
        failures: dict[int, _Failure] = {}
        deadline = float("inf")
        asked = False
        while time.monotonic() < deadline:
            if self._signal and not asked:
                asked, deadline = True, min(deadline, time.monotonic() + FINISH_SECONDS)
                self._send(FINISH)
            running = [process for process, _ in self._processes if process.is_alive()]
            for index in range(len(self._processes)):
                if not asked and index not in failures and (failure := self._failure(index)):
                    failures[index] = failure
                    deadline = min(deadline, time.monotonic() + GRACE_SECONDS)
            if not running:
                break
            multiprocessing.connection.wait([process.sentinel for process in running], timeout=0.2)
        return failures

    def _failure(self, index: int) -> _Failure | None:
        """Return how a rank failed; None while it runs and when it ended well."""
        process, _ = self._processes[index]
        if process.is_alive() or process.exitcode == 0:
            return None
        assert process.exitcode is not None
        if process.exitcode < 0:
            name = signal.Signals(-process.exitcode).name
            return _Failure((0, time.monotonic()), index, f"rank {index} was killed by {name}", "")
        with contextlib.suppress(EOFError, OSError):
            if self._reports[index].poll():
                error, trace, when = self._reports[index].recv()
                return _Failure((2 if LOST_PEER.search(error) else 1, when), index, error, trace)
        error = f"rank {index} ended with exit code {process.exitcode}"
        if process.exitcode - 128 in (signal.SIGINT, signal.SIGTERM):
            error = f"rank {index} was stopped by {signal.Signals(process.exitcode - 128).name}"
        elif hung(self._run_dir, self._log_start):
            error = f"rank {index} hung for fabric.timeout_seconds={self._timeout:g}; its stacks are in main.log"
        return _Failure((1, time.monotonic()), index, error, "")

    def _fail(self, failures: dict[int, _Failure]) -> None:
        """Log the first cause with its traceback and raise it as one line."""
        first = min(failures.values(), key=lambda failure: failure.order)
        report_failure(self._run_dir, self._steps_per_update, first.error, first.trace)
        raise RunFailed(first.error)

    def _say_what_else(self, failures: dict[int, _Failure]) -> None:
        """Say why a rank could not stop as it was asked to: a disk that is full, say."""
        for index, (process, _) in enumerate(self._processes):
            if index not in failures and process.exitcode == 1 and (failure := self._failure(index)):
                failures[index] = failure
        causes = [failure for failure in failures.values() if failure.order[0] == 1 and failure.trace]
        if causes:
            first = min(causes, key=lambda failure: failure.order)
            print(f"warning: {first.error}", file=sys.stderr, flush=True)
            with logged(self._run_dir):
                log.error("%s\n%s", first.error, first.trace)

    def _send(self, signum: int) -> None:
        """Send a signal to every rank that runs."""
        for process, _ in self._processes:
            if process.pid is not None and process.is_alive():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, signum)

    def _end(self) -> None:
        """Ask every rank that still runs to stop, kill what has not stopped in time, with all that it started."""
        self._send(signal.SIGTERM)
        deadline = time.monotonic() + self._stop_seconds - (FINISH_SECONDS if self._signal else 0.0)
        for process in (process for process, _ in self._processes if process.pid is not None):
            process.join(max(0.0, deadline - time.monotonic()))
            assert process.pid is not None
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.join()
