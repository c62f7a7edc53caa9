"""One rank: what it is, and how a process becomes the one that its environment variables name."""

from __future__ import annotations

import logging
import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rlexp.config.compose import load_plugins
from rlexp.config.schema import Config
from rlexp.data.resuming import ResumePoint
from rlexp.data.seeds import Seeds
from rlexp.data.spaces import SpaceSpec
from rlexp.errors import ConfigError
from rlexp.launch.fabric import MARGIN_SECONDS, FabricPrecision, build_fabric
from rlexp.launch.job import Job
from rlexp.launch.threads import threads_of
from rlexp.launch.watch import Watch

if TYPE_CHECKING:
    import torch  # not at the start: the command imports this module

    from rlexp.launch.board import Board


Body = Callable[["Rank"], None]
"""What a rank does between launch and end."""


@dataclass(frozen=True)
class Rank:
    """One process of a run, after launch.

    Attributes:
        config: the experiment.
        spec: its environment's spaces.
        run_dir: where it is written.
        precision: of the networks.
        device: where this rank computes.
        index: its number.
        size: how many ranks there are.
        watch: ends this process where it hangs.
        board: memory shared with the other ranks; None where there is none.
        resume: where a resumed run continues; None for a run that begins.
        beat: after training, on rank 0: lets ranks that wait for its end wait on, where some do.
    """

    config: Config
    spec: SpaceSpec
    run_dir: Path
    precision: FabricPrecision
    device: torch.device
    index: int
    size: int
    watch: Watch
    board: Board | None = None
    resume: ResumePoint | None = None
    beat: Callable[[], object] = lambda: None

    @property
    def seeds(self) -> Seeds:
        """Where the randomness of this run starts."""
        return Seeds(self.config.seed, self.config.env.num_envs, self.config.env.seeding == "spawn")


def enter(job: Job, body: Body, board: Board | None = None) -> None:
    """Set up this process as the rank that its environment variables name, and run `body`.

    Args:
        job: what to run.
        body: what this rank does.
        board: memory shared with the other ranks; None where there is none.
    """
    import numpy as np
    import torch  # not at the start: the command imports this module

    config = job.config
    load_plugins(config.plugins)  # a process that was spawned has not
    torch.set_num_threads(threads_of(config, job.spec, job.jobs))
    os.environ["RLEXP_JOBS_AT_ONCE"] = str(job.jobs)  # as LOCAL_WORLD_SIZE, for what divides the cores later
    torch.set_flush_denormal(True)  # else moments of dead units slow the optimizer tenfold
    torch.use_deterministic_algorithms(config.torch_deterministic)
    torch.backends.cudnn.deterministic = config.torch_deterministic
    # Deterministic algorithms also fill new memory, which costs time; every buffer here is written before it is read.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # set by a property
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # deterministic algorithms on CUDA need it
    fabric = build_fabric(config)
    for name in ("lightning.fabric", "lightning.pytorch"):
        logging.getLogger(name).setLevel(logging.WARNING)  # they announce each rank and each setting
    fabric.launch()
    failed = True
    try:
        size = _check_world(config)
        index = torch.distributed.get_rank() if torch.distributed.is_initialized() else 0
        for seeder in (random.seed, np.random.seed):
            seeder((config.seed + 7_919 * index) % 2**32)
        torch.manual_seed(config.seed)  # equal on all ranks: the initial weights come from it
        run_dir = _directory_of_rank_0(job.run_dir) if size > 1 else job.run_dir
        with (run_dir / "main.log" if run_dir.is_dir() else Path(os.devnull)).open("a") as log:
            precision = FabricPrecision(fabric, config.fabric.precision)
            with Watch(config.fabric.timeout_seconds, log, MARGIN_SECONDS / 2 if size > 1 else 0.0) as watch:
                body(Rank(config, job.spec, run_dir, precision, fabric.device, index, size, watch, board, job.resume))
        failed = False
    finally:
        # With NCCL a rank that failed would wait here for others that know of nothing.
        if torch.distributed.is_initialized() and not (failed and config.fabric.accelerator == "cuda"):
            torch.distributed.destroy_process_group()


def _directory_of_rank_0(run_dir: Path) -> Path:
    """Return the run directory that rank 0 has; on another node it may not exist."""
    import torch  # not at the start: the command imports this module

    name = torch.zeros(4096, dtype=torch.uint8)
    encoded = str(run_dir.resolve()).encode()
    name[: len(encoded)] = torch.frombuffer(bytearray(encoded), dtype=torch.uint8)
    torch.distributed.broadcast(name, 0)
    return Path(bytes(name.tolist()).rstrip(b"\0").decode())


def _check_world(config: Config) -> int:
    """Return the true number of ranks, counted by an all-reduce of ones.

    Raises:
        ConfigError: it is not the number that the config asks for.
    """
    import torch  # not at the start: the command imports this module

    counted = 1
    if config.world_size > 1:
        ones = torch.ones(1)
        torch.distributed.all_reduce(ones)
        counted = int(ones.item())
    if counted != config.world_size:
        raise ConfigError(f"{counted} ranks answered, but fabric.devices * fabric.num_nodes = {config.world_size}")
    return counted
