"""The devices that ranks need."""

from __future__ import annotations

import os

from rlexp.config.schema import Config
from rlexp.errors import ConfigError


def check_devices(config: Config) -> None:
    """Check that the devices asked for are there, each rank that needs one having its own, and a way to other nodes.

    Raises:
        ConfigError: they are not.
    """
    settings = config.fabric
    if settings.num_nodes > 1 and "TORCHELASTIC_RUN_ID" not in os.environ:
        raise ConfigError(
            f"fabric.num_nodes={settings.num_nodes} needs a start by torchrun on each node: "
            "torchrun --nnodes N --nproc-per-node M --rdzv-endpoint HOST:PORT -m rlexp.main ..."
        )
    if settings.accelerator == "cpu":
        return
    import torch  # not at the start: the command imports this module

    found = torch.cuda.device_count()
    needed = settings.devices
    if config.topology.name == "decoupled" and config.topology.player_accelerator == "cpu":
        needed -= int(os.environ.get("GROUP_RANK", "0") == "0")  # the player's place, on the first node
    if found == 0:
        raise ConfigError("accelerator=cuda, but torch finds no CUDA device; give accelerator=cpu")
    if needed > found:
        raise ConfigError(
            f"fabric.devices={settings.devices} needs {needed} CUDA devices, one a rank (NCCL cannot share one), "
            f"but there are {found}; give fabric.devices={settings.devices - needed + found} or less"
        )
