"""What torchrun decides of a command."""

from __future__ import annotations

import os

from rlexp.errors import ConfigError


def torchrun_overrides(arguments: list[str]) -> list[str]:
    """Return what torchrun decides: the number of ranks, and for ranks other than 0 that they make no directory.

    Raises:
        ConfigError: the arguments say otherwise, or ask for a sweep, or several tasks would train the same run.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        tasks = os.environ.get("SLURM_STEP_NUM_TASKS", "1")
        if tasks != "1":
            raise ConfigError(
                f"srun started {tasks} tasks, and each would train the same run; give srun -n 1, since rlexp starts "
                "the ranks of fabric.devices itself, or start torchrun (docs/distributed.md)"
            )
        return []
    if {"-m", "--multirun"} & set(arguments):
        raise ConfigError("a sweep starts its own processes; run --multirun with python instead of torchrun")
    local, world = int(os.environ["LOCAL_WORLD_SIZE"]), int(os.environ["WORLD_SIZE"])
    decided = {"fabric.devices": local, "fabric.num_nodes": world // local}
    for argument in arguments:
        key, _, value = argument.partition("=")
        if key in decided and value != str(decided[key]):
            raise ConfigError(f"{argument}, but torchrun started {key}={decided[key]}; leave {key} out")
    overrides = [f"{key}={value}" for key, value in decided.items()]
    in_run_dir = os.environ["RANK"] == "0" or any(argument.startswith("resume=") for argument in arguments)
    return overrides + ([] if in_run_dir else ["hydra.run.dir=."])
