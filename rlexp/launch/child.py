"""A rank as a child process: its whole life, and what its parent prepares for it."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import socket
import sys
import time
import traceback
from typing import TYPE_CHECKING, Any

from rlexp.errors import Interrupted
from rlexp.launch.cause import LONGEST_TRACE, logged, one_line, shortened
from rlexp.launch.fabric import peer_timeout
from rlexp.launch.job import Job
from rlexp.launch.rank import Body, enter
from rlexp.launch.stopping import stoppable

if TYPE_CHECKING:
    from rlexp.launch.board import Board


def rank_main(
    job: Job, body: Body, board: Board | None, index: int, port: int, pipe: multiprocessing.connection.Connection
) -> None:
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
    try:
        with logged(job.run_dir), stoppable():
            enter(job, body, board)
        pipe.send(None)
    except Interrupted as error:
        sys.stdout.flush()
        os._exit(128 + error.signum)
    except BaseException as error:
        pipe.send((one_line(error, index), shortened(traceback.format_exc(), LONGEST_TRACE), time.monotonic()))
        sys.stdout.flush()
        os._exit(1)


def _die_with_parent() -> None:
    """Ask Linux to kill this process when its parent dies, however it dies."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def preload() -> None:
    """Import what ranks need, once: forked ranks then start in a moment, in a sweep each job again."""
    import lightning.fabric  # noqa: F401
    import torch  # noqa: F401


def shared_board(context: Any, ranks: int, timeout: float) -> Board:
    """Return memory that the ranks share, to be made before they are forked."""
    from rlexp.launch.board import Board  # torch, which a config error need not wait for

    return Board(context, ranks, peer_timeout(timeout))


def free_port() -> int:
    """Return a port of this machine that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
