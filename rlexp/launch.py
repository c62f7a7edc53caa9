"""Launching: one process a rank, watched by the process that the user started. The only importer of Lightning.

The parent validates, starts the ranks with the environment variables that torchrun sets, and waits. It tells the ranks
apart from each other by nothing but those variables, so a rank started by torchrun takes the same way. When one rank
dies, raises or hangs, the parent ends the others and writes down the first cause.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import multiprocessing
import multiprocessing.connection
import os
import random
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlexp.config import Config
from rlexp.logger import Summary, log_to
from rlexp.settings import ConfigError
from rlexp.types import SpaceSpec

if TYPE_CHECKING:
    import torch
    from lightning.fabric import Fabric

log = logging.getLogger(__name__)

Body = Callable[["Rank"], None]
GRACE_SECONDS = 1.0
"""Time in which the other ranks may still tell their side once one has failed."""
STOP_SECONDS = 4.0
"""Time between asking a rank to stop and killing it."""


class Interrupted(BaseException):
    """The run was asked to stop; `signum` is the signal (2: SIGINT, 15: SIGTERM)."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum


class RunFailed(Exception):
    """The run ended with an error that is already written to its summary and log; str() is one line."""


@dataclass(frozen=True)
class Job:
    """What every rank is started with."""

    config: Config
    spec: SpaceSpec
    run_dir: Path


@dataclass(frozen=True)
class Rank:
    """One process of a run, after launch."""

    config: Config
    spec: SpaceSpec
    run_dir: Path
    fabric: Fabric
    index: int
    size: int

    @property
    def device(self) -> torch.device:
        """Where this rank computes."""
        return self.fabric.device

    def environment_seeds(self) -> list[int]:
        """Return the seed of each environment of this rank: seed + rank * num_envs + i."""
        count = self.config.env.num_envs
        start = self.config.seed + self.index * count
        return list(range(start, start + count))

    def generator(self, purpose: str, index: int, device: torch.device) -> torch.Generator:
        """Return a random generator of its own for each purpose and rank."""
        import numpy as np
        import torch

        key = [self.config.seed, index, *purpose.encode()]
        state = int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> 1)
        return torch.Generator(device).manual_seed(state)


def run(job: Job, body: Body) -> dict[str, Any]:
    """Run `body` in every rank and return the summary of the completed run.

    Raises:
        RunFailed: a rank failed; the summary says which and why.
        Interrupted: SIGINT or SIGTERM came.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ:
        return _run_as_rank(job, body)
    summary = Summary(job.run_dir)
    summary.start(job.config.world_size)
    begin = time.monotonic()
    try:
        _Ranks(job, body).supervise()
    except RunFailed as error:
        summary.change(state="failed", error=str(error), wall_seconds=time.monotonic() - begin)
        raise
    except Interrupted as error:
        name = signal.Signals(error.signum).name
        summary.change(state="interrupted", error=f"stopped by {name}", wall_seconds=time.monotonic() - begin)
        raise
    summary.change(state="completed", wall_seconds=time.monotonic() - begin)
    return summary.read()


def _run_as_rank(job: Job, body: Body) -> dict[str, Any]:
    """Be the rank that torchrun started."""
    first = os.environ.get("RANK", "0") == "0"
    summary = Summary(job.run_dir)
    begin = time.monotonic()
    if first:
        summary.start(job.config.world_size)
    handler = log_to(job.run_dir / "main.log") if first else None
    state: dict[str, Any] = {"state": "completed"}
    try:
        with stoppable():
            enter(job, body)
    except Interrupted as error:
        state = {"state": "interrupted", "error": f"stopped by {signal.Signals(error.signum).name}"}
        raise
    except Exception as error:
        log.exception("rank %s failed", os.environ.get("RANK", "0"))
        state = {"state": "failed", "error": f"rank {os.environ.get('RANK', '0')}: {one_line(error)}"}
        raise RunFailed(state["error"]) from error
    finally:
        if first:
            summary.change(**state, wall_seconds=time.monotonic() - begin)
        if handler is not None:
            logging.getLogger().removeHandler(handler)
            handler.close()
    return summary.read() if first else {}


def one_line(error: BaseException) -> str:
    """Return an exception as one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


# In a rank


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Raise `Interrupted` where the program stands when SIGINT or SIGTERM comes; a second one is ignored."""

    def stop(signum: int, frame: object) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        raise Interrupted(signum)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def enter(job: Job, body: Body) -> None:
    """Set up this process as the rank that its environment variables name, and run `body`."""
    import numpy as np
    import torch

    config = job.config
    torch.set_num_threads(_threads(job))
    torch.set_flush_denormal(True)  # else moments of dead units slow the optimizer tenfold
    torch.use_deterministic_algorithms(config.torch_deterministic)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # every buffer here is written before it is read
    torch.backends.cudnn.deterministic = config.torch_deterministic
    fabric = _fabric(config)
    fabric.launch()
    size = _check_world(config)
    index = fabric.global_rank
    for seeder in (random.seed, np.random.seed):
        seeder((config.seed + 7_919 * index) % 2**32)
    torch.manual_seed(config.seed)  # equal on all ranks: the initial weights come from it
    try:
        body(Rank(config, job.spec, job.run_dir, fabric, index, size))
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


def _threads(job: Job) -> int:
    """Return the CPU threads of a rank: as set, or for `auto` its share of the cores, but one for a small network.

    Layers of up to 256 units on minibatches of some hundred rows gain nothing from a second thread, and two processes
    whose threads wait for each other on the same cores lose tenfold.
    """
    threads = job.config.fabric.threads_per_rank
    if isinstance(threads, int):
        return threads
    if not job.spec.observation.images and max(job.config.algo.hidden_sizes) <= 256:
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // job.config.fabric.devices)


def _fabric(config: Config) -> Fabric:
    """Return Fabric for this rank."""
    from lightning.fabric import Fabric
    from lightning.fabric.strategies.ddp import DDPStrategy
    from lightning.fabric.strategies.strategy import Strategy

    settings = config.fabric
    strategy: str | Strategy = settings.strategy
    if config.world_size > 1:
        strategy = DDPStrategy(timeout=timedelta(seconds=settings.timeout_seconds))
    return Fabric(
        accelerator=settings.accelerator,
        strategy=strategy,
        devices=settings.devices,
        num_nodes=settings.num_nodes,
        precision=settings.precision,  # type: ignore[arg-type]  # checked against the schema's choices
    )


def _check_world(config: Config) -> int:
    """Return the true number of ranks, counted by an all-reduce of ones.

    Raises:
        ConfigError: it is not the number that the config asks for.
    """
    import torch

    counted = 1
    if config.world_size > 1:
        ones = torch.ones(1)
        torch.distributed.all_reduce(ones)
        counted = int(ones.item())
    if counted != config.world_size:
        raise ConfigError(f"{counted} ranks answered, but fabric.devices * fabric.num_nodes = {config.world_size}")
    return counted


def _rank_main(job: Job, body: Body, index: int, port: int, pipe: multiprocessing.connection.Connection) -> None:
    """Be rank `index`: the whole life of a child process."""
    os.setsid()  # a process group of its own, so that the parent can end it with all that it started
    _die_with_parent()
    count = job.config.fabric.devices
    os.environ.update(
        RANK=str(index),
        LOCAL_RANK=str(index),
        GROUP_RANK="0",
        WORLD_SIZE=str(count),
        LOCAL_WORLD_SIZE=str(count),
        MASTER_ADDR="127.0.0.1",
        MASTER_PORT=str(port),
        TORCHELASTIC_RUN_ID="rlexp",
    )
    log_to(job.run_dir / "main.log")
    try:
        with stoppable():
            enter(job, body)
        pipe.send(None)
    except Interrupted:
        os._exit(0)
    except BaseException as error:
        pipe.send((one_line(error), traceback.format_exc(), time.monotonic()))
        sys.stdout.flush()
        os._exit(1)


def _die_with_parent() -> None:
    """Ask Linux to kill this process when its parent dies, however it dies."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


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
        cuda = job.config.fabric.accelerator in ("cuda", "auto", "mps")
        method = "fork" if sys.platform == "linux" and not cuda else "spawn"
        context: Any = multiprocessing.get_context(method)
        _preload()
        port = _free_port()
        self._run_dir = job.run_dir
        self._signal = 0
        self._reports: list[multiprocessing.connection.Connection] = []
        self._processes = []
        for index in range(job.config.fabric.devices):
            receiver, sender = context.Pipe(duplex=False)
            process = context.Process(target=_rank_main, args=(job, body, index, port, sender), name=f"rank-{index}")
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
        try:
            for process, sender in self._processes:
                process.start()
                sender.close()
            failures = self._wait()
        finally:
            self._end()
            for number, handler in before.items():
                signal.signal(number, handler)
        if self._signal:
            raise Interrupted(self._signal)
        if failures:
            self._fail(failures)

    def _wait(self) -> dict[int, _Failure]:
        """Wait until every rank has ended, or one has failed (and the others have had their say), or a signal came."""
        failures: dict[int, _Failure] = {}
        deadline = float("inf")
        while time.monotonic() < deadline and not self._signal:
            running = [process for process, _ in self._processes if process.is_alive()]
            for index in range(len(self._processes)):
                if index not in failures and (failure := self._failure(index)):
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
                consequence = "transport.py" in trace or "Gloo" in error or "DistBackendError" in error
                return _Failure((2 if consequence else 1, when), index, f"rank {index}: {error}", trace)
        return _Failure((1, time.monotonic()), index, f"rank {index} ended with exit code {process.exitcode}", "")

    def _fail(self, failures: dict[int, _Failure]) -> None:
        """Log the first cause with its traceback and raise it as one line."""
        first = min(failures.values(), key=lambda failure: failure.order)
        handler = log_to(self._run_dir / "main.log")
        log.error("%s\n%s", first.error, first.trace)
        logging.getLogger().removeHandler(handler)
        handler.close()
        raise RunFailed(first.error)

    def _end(self) -> None:
        """Ask every rank that still runs to stop, kill what has not stopped in time, with all that it started."""
        started = [process for process, _ in self._processes if process.pid is not None]
        for process in started:
            if process.is_alive() and process.pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        for process in started:
            process.join(max(0.0, deadline - time.monotonic()))
            assert process.pid is not None
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.join()


def _preload() -> None:
    """Import what ranks need, once: forked ranks then start in a moment, in a sweep each job again."""
    import lightning.fabric  # noqa: F401
    import torch  # noqa: F401


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
