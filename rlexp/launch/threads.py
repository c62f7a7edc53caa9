"""How many CPU threads a rank computes with, and how threads wait for each other.

Imports no torch: `wait_politely` must come before it.
"""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING, Any

from rlexp.data.machine import cores

if TYPE_CHECKING:
    from rlexp.config.schema import Config
    from rlexp.data.spaces import SpaceSpec

SMALL_WORK = 2**23
"""Multiplications of a minibatch in the layers of one network up to which a second thread gains nothing."""
SPINS = 1000
"""Loops of a waiting thread of GNU's OpenMP before it sleeps; measured in docs/distributed.md."""


def wait_politely() -> None:
    """Let threads that wait for each other spin for a short time only, unless the user has said how they wait.

    By default threads of OpenMP spin for milliseconds at the end of every parallel operation. Where two processes share
    the cores, each spins while the other has work to do, and both become ten times as slow or worse. Threads that
    sleep at once (OMP_WAIT_POLICY=passive) make one process alone two to three times as slow. To be called before
    torch is imported: its OpenMP, GNU's on Linux and LLVM's on macOS, reads the variables then.
    """
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"} & os.environ.keys():
        os.environ["GOMP_SPINCOUNT"] = str(SPINS)
        os.environ["KMP_BLOCKTIME"] = "0"  # milliseconds: LLVM's has nothing between none and one


def jobs_at_once(launcher: Any) -> int:
    """Return how many jobs of a sweep a launcher of Hydra runs at once on this machine.

    Args:
        launcher: `hydra.launcher`, a mapping; joblib's has `n_jobs`, which counts from all cores where it is negative.
    """
    count = launcher.get("n_jobs") if launcher is not None else None
    if not isinstance(count, int) or count == 0:
        return 1
    return count if count > 0 else max(1, cores() + 1 + count)


def threads_of(config: Config, spec: SpaceSpec, jobs: int = 1) -> int:
    """Return the CPU threads of a rank: as set, or for `auto` its share of the cores where more than one pays.

    Args:
        config: the experiment.
        spec: what it observes and does.
        jobs: jobs of a sweep that run at once, between which the cores are divided.
    """
    threads = config.fabric.threads_per_rank
    if isinstance(threads, int):
        return threads
    if not spec.observation.images and work_of(config, spec) <= SMALL_WORK:
        return 1
    share = cores() // (config.fabric.devices * jobs)
    return max(1, min(share, _limit_of_user() or share))


def work_of(config: Config, spec: SpaceSpec) -> int:
    """Return the multiplications of a minibatch in the fully connected layers of one network, forward."""
    widths = [spec.observation.vector_size + sum(spec.observation.discrete), *config.algo.hidden_sizes]
    rows = config.algo.per_rank_batch_size or config.most_rows_per_trainer
    if config.algo.of_rollout:
        rows = min(rows, config.most_rows_per_trainer)
    return rows * sum(before * after for before, after in itertools.pairwise(widths))


def _limit_of_user() -> int | None:
    """Return OMP_NUM_THREADS as the user, a scheduler or joblib set it; torchrun sets it to 1 without being asked."""
    text = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    by_torchrun = os.environ.get("TORCHELASTIC_RUN_ID", "rlexp") != "rlexp" and text == "1"
    return int(text) if text.isdecimal() and int(text) > 0 and not by_torchrun else None
