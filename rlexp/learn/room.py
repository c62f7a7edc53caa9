"""How large a replay memory is, and whether there is room for it."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch

from rlexp.config.schema import Config
from rlexp.data.machine import free_memory
from rlexp.data.spaces import SpaceSpec
from rlexp.errors import ConfigError
from rlexp.learn.rows import RowSpec

GIB = 2**30


def row_spec(spec: SpaceSpec) -> RowSpec:
    """Return what a row of a replay memory is."""
    observation, action = spec.observation, spec.action
    dtype = torch.uint8 if observation.images else torch.float32
    if action.low:
        return RowSpec(observation.row_size, dtype, (action.width,), torch.float32)
    shape = () if action.kind == "discrete" else (action.width,)
    return RowSpec(observation.row_size, dtype, shape, torch.int64)


def capacity(config: Config, num_envs: int) -> int:
    """Return the transitions of each of so many environments that a rank's memory holds: no more than the run makes."""
    return min(config.memory.size // num_envs, config.updates * config.algo.num_steps)


def check_room(config: Config, spec: SpaceSpec, run_dir: Path) -> None:
    """Check that the replay memories of the ranks of this machine fit into what is free.

    Raises:
        ConfigError: they do not.
    """
    if config.algo.of_rollout:
        return
    learners = config.fabric.devices - (config.topology.name == "decoupled" and config.fabric.num_nodes == 1)
    rows = (capacity(config, config.memory_envs) + 1) * config.memory_envs
    need = learners * rows * row_spec(spec).bytes
    where, free = "memory", free_memory()
    if config.memory.on_disk:
        folder = next(path for path in (run_dir, *run_dir.parents) if path.is_dir())
        where, free = f"the disk of {folder}", shutil.disk_usage(folder).free
    if free is not None and need > free:
        other = "lower memory.size" if config.memory.on_disk else "lower memory.size, or give memory.on_disk=true"
        fits = int(0.9 * free / (learners * row_spec(spec).bytes))
        raise ConfigError(
            f"memory.size={config.memory.size} needs {need / GIB:.1f} GiB for {learners} "
            f"{'replay memory' if learners == 1 else 'replay memories'}, but {where} has {free / GIB:.1f} GiB free; "
            f"{other} (memory.size={fits} fits)"
        )
