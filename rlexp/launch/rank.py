"""One rank: what it is, and how a process becomes the one that its environment variables name."""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import os
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from rlexp.config.schema import Config
from rlexp.data.spaces import SpaceSpec
from rlexp.errors import ConfigError
from rlexp.launch.fabric import MARGIN_SECONDS, build_fabric
from rlexp.launch.job import Job, Origin
from rlexp.launch.threads import threads_of

if TYPE_CHECKING:
    import torch
    from lightning.fabric import Fabric

    from rlexp.launch.board import Board


Body = Callable[["Rank"], None]
"""What a rank does between launch and end."""


@dataclass(frozen=True)
class Rank:
    """One process of a run, after launch."""

    config: Config
    spec: SpaceSpec
    run_dir: Path
    fabric: Fabric
    index: int
    size: int
    log: TextIO
    board: Board | None = None
    origin: Origin | None = None
    beat: Callable[[], object] = lambda: None
    """After training, on rank 0: lets ranks that wait for its end wait on, where some do."""

    @property
    def device(self) -> torch.device:
        """Where this rank computes."""
        return self.fabric.device

    def environment_seeds(self) -> list[int]:
        """Return the seed of each environment of this rank: seed + rank * num_envs + i, or unrelated ones (spawn)."""
        count, seed = self.config.env.num_envs, self.config.seed
        numbers = range(self.index * count, (self.index + 1) * count)
        if self.config.env.seeding == "offset":
            return [seed + number for number in numbers]
        import numpy as np

        # below 2^31, where no evaluation seed lies
        return [int(np.random.SeedSequence([seed, number]).generate_state(1)[0] >> 1) for number in numbers]

    def generator(self, purpose: str, index: int, device: torch.device) -> torch.Generator:
        """Return a random generator of its own for each purpose and rank."""
        import numpy as np
        import torch

        key = [self.config.seed, index, *purpose.encode()]
        state = int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> 1)
        return torch.Generator(device).manual_seed(state)

    @contextlib.contextmanager
    def watch(self, together: bool = False) -> Iterator[Callable[[], None]]:
        """End this process where it takes longer than fabric.timeout_seconds, with all its stacks in the log.

        What ranks do `together` may take a little longer, so that who waits for a rank that hangs outlives it.
        Yields a function that says that there is progress: the time then begins anew.
        """
        timeout = self.config.fabric.timeout_seconds
        seconds = timeout + (MARGIN_SECONDS / 2 if together and self.size > 1 else 0.0)
        renewed = time.monotonic()

        def renew() -> None:
            nonlocal renewed
            now = time.monotonic()
            if now - renewed > min(1.0, timeout / 10):
                renewed = now
                faulthandler.dump_traceback_later(seconds, file=self.log, exit=True)

        faulthandler.dump_traceback_later(seconds, file=self.log, exit=True)
        try:
            yield renew
        finally:
            faulthandler.cancel_dump_traceback_later()


def enter(job: Job, body: Body, board: Board | None = None) -> None:
    """Set up this process as the rank that its environment variables name, and run `body`.

    Args:
        job: what to run.
        body: what this rank does.
        board: memory shared with the other ranks; None where there is none.
    """
    import numpy as np
    import torch

    config = job.config
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
            body(Rank(config, job.spec, run_dir, fabric, index, size, log, board, job.origin))
        failed = False
    finally:
        # With NCCL a rank that failed would wait here for others that know of nothing.
        if torch.distributed.is_initialized() and not (failed and config.fabric.accelerator == "cuda"):
            torch.distributed.destroy_process_group()


def _directory_of_rank_0(run_dir: Path) -> Path:
    """Return the run directory that rank 0 has; on another node it may not exist."""
    import torch

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
    import torch

    counted = 1
    if config.world_size > 1:
        ones = torch.ones(1)
        torch.distributed.all_reduce(ones)
        counted = int(ones.item())
    if counted != config.world_size:
        raise ConfigError(f"{counted} ranks answered, but fabric.devices * fabric.num_nodes = {config.world_size}")
    return counted
