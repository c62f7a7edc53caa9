"""Environments that have a process each, and how such processes fail and end."""

from __future__ import annotations

import contextlib
import multiprocessing.connection
import os
import signal
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import gymnasium
from gymnasium.vector import AsyncVectorEnv, AutoresetMode
from gymnasium.vector.async_vector_env import _async_worker

from rlexp.data.generators import kept_generators
from rlexp.errors import Fault, described

LOST = (EOFError, ConnectionError, OSError)
"""What reading from a process that is gone raises."""
CLOSE_SECONDS = 10.0
"""Time in which a process ends by itself when asked to: long enough to write the rest of a video."""


class Workers(AsyncVectorEnv):
    """gymnasium's AsyncVectorEnv, whose processes may fail in any way and are always ended.

    Raises:
        Fault: an environment does not build, or its process ended.
    """

    def __init__(self, makers: Sequence[Callable[[], gymnasium.Env[Any, Any]]]) -> None:
        self.parent_pipes: list[Any] = []
        self.processes: list[Any] = []
        options: dict[str, Any] = {"autoreset_mode": AutoresetMode.SAME_STEP, "copy": False, "context": "fork"}
        try:
            with kept_generators(), self._lost_is_told():  # the parent builds the first environment too, for its spaces
                super().__init__(makers, worker=_worker, **options)
        except BaseException:
            self.close_extras(terminate=True)
            raise

    def reset(self, **kwargs: Any) -> Any:
        """Reset all environments; see AsyncVectorEnv."""
        with self._lost_is_told():
            return super().reset(**kwargs)

    def step(self, actions: Any) -> Any:
        """Step all environments; see AsyncVectorEnv."""
        try:
            return super().step(actions)
        except LOST as error:
            raise self._lost(error) from error

    @contextlib.contextmanager
    def _lost_is_told(self) -> Iterator[None]:
        try:
            yield
        except LOST as error:
            raise self._lost(error) from error

    def _lost(self, error: BaseException) -> Fault | BaseException:
        """Return what to raise where a process does not answer."""
        gone = multiprocessing.connection.wait([process.sentinel for process in self.processes], timeout=1.0)
        for number, process in enumerate(self.processes):
            if process.sentinel in gone:
                process.join(1.0)  # its files are closed, but it may not have ended yet
            if process.exitcode is not None:
                code = process.exitcode
                how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
                return Fault(f"rank {os.environ.get('RANK', '0')}: the process of environment {number} {how}")
        return error

    def close_extras(self, timeout: float | None = None, terminate: bool = False) -> None:
        """End the processes: those that answer close their environment first, the others are ended by force.

        AsyncVectorEnv's own way waits for ever for a step that does not end, and for a process that is gone.
        """
        for pipe in self.parent_pipes:
            with contextlib.suppress(*LOST, AttributeError):  # None: it has failed already
                if not terminate:
                    pipe.send(("close", None))
        deadline = time.monotonic() + (0.0 if terminate else CLOSE_SECONDS)
        for end in ("join", "terminate", "kill"):
            for process in filter(lambda process: process.is_alive(), self.processes):
                if end != "join":
                    getattr(process, end)()
                process.join(max(0.0, deadline - time.monotonic()))
            deadline = time.monotonic() + 1.0
        for pipe in self.parent_pipes:
            if pipe is not None:
                pipe.close()


def _worker(
    index: int, make: Callable[[], Any], pipe: Any, parent_pipe: Any, memory: Any, errors: Any, *rest: Any
) -> None:
    """Be the process of an environment; one that does not build is reported like one that raises later."""
    try:
        env = make()
    except (Exception, SystemExit) as error:
        fault = error if isinstance(error, Fault) else Fault(f"environment {index} does not build: {described(error)}")
        errors.put((index, Fault, fault, traceback.format_exc()))
        pipe.send((None, False))
        return
    _async_worker(index, lambda: env, pipe, parent_pipe, memory, errors, *rest)
