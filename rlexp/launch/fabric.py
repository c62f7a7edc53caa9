"""Lightning Fabric for one rank."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from rlexp.config.schema import Config

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    import torch
    from lightning.fabric import Fabric
    from torch import Tensor


MARGIN_SECONDS = 10.0
"""Extra seconds to wait for a peer, so that a rank that hangs can write its stacks first."""
BACKENDS = "cpu:gloo,cuda:nccl"


def peer_timeout(timeout: float) -> float:
    """Return the seconds that ranks wait for each other: an evaluation, a checkpoint and a rollout may lie between."""
    return 3 * timeout + MARGIN_SECONDS


def build_fabric(config: Config) -> Fabric:
    """Return Fabric for this rank; with several ranks its launch joins the process group."""
    from lightning.fabric import Fabric  # not at the start: seconds
    from lightning.fabric.strategies.ddp import DDPStrategy
    from lightning.fabric.strategies.strategy import Strategy

    settings = config.fabric
    timeout = timedelta(seconds=peer_timeout(settings.timeout_seconds))
    cuda = settings.accelerator == "cuda"
    if config.topology.name == "decoupled" and cuda:
        return _placed_fabric(config, timeout)
    strategy: str | Strategy = "auto"
    if config.world_size > 1:
        strategy = DDPStrategy(timeout=timeout, process_group_backend=BACKENDS if cuda else "gloo")
    return Fabric(
        accelerator=settings.accelerator,
        strategy=strategy,
        devices=settings.devices,
        num_nodes=settings.num_nodes,
        precision=settings.precision,  # type: ignore[arg-type]  # checked against the schema's choices
    )


def _placed_fabric(config: Config, timeout: timedelta) -> Fabric:
    """Return Fabric for a rank of a player that may sit on the CPU and trainers on a GPU each.

    Fabric's strategies put all ranks on one kind of device, so each rank has a Fabric for its own device here, and the
    process group, over CPU and GPU tensors, is joined beside it.
    """
    import torch  # not at the start: the command imports this module
    from lightning.fabric import Fabric

    local, first = int(os.environ["LOCAL_RANK"]), os.environ["RANK"] == "0"
    on_cpu = config.topology.player_accelerator == "cpu"
    torch.distributed.init_process_group(BACKENDS, timeout=timeout)
    precision = config.fabric.precision
    if first and on_cpu:
        return Fabric(accelerator="cpu", devices=1, precision="32-true" if precision == "16-mixed" else precision)  # type: ignore[arg-type]  # checked
    # The first node's GPUs are numbered past its player where that takes none of them.
    device = local - 1 if on_cpu and os.environ["GROUP_RANK"] == "0" else local
    return Fabric(accelerator="cuda", devices=[device], precision=precision)  # type: ignore[arg-type]  # checked


class FabricPrecision:
    """Lightning's precision, as learners ask for it: see `rlexp.learn.precision.Precision`.

    Args:
        fabric: of this rank.
        name: a choice of fabric.precision.
    """

    def __init__(self, fabric: Fabric, name: str) -> None:
        self._fabric = fabric
        self.plain, self.scaled = name == "32-true", name == "16-mixed"

    def autocast(self) -> AbstractContextManager[None]:
        """Return a context in which networks compute in this precision."""
        return self._fabric.autocast()

    def backward(self, loss: Tensor) -> None:
        """Compute gradients of a loss, scaled where losses are."""
        if self.scaled:
            self._fabric.backward(loss)
        else:
            loss.backward()

    def prepare(self, optimizer: torch.optim.Optimizer) -> Any:
        """Return what steps like `optimizer`, and skips steps whose scaled gradients overflow."""
        return self._fabric.setup_optimizers(optimizer) if self.scaled else optimizer

    def unscale(self, optimizer: torch.optim.Optimizer) -> None:
        """Take the scale out of the gradients of an optimizer."""
        self._fabric.strategy.precision.unscale_gradients(optimizer)

    def state(self) -> dict[str, Any]:
        """Return the scale and its history in plain values; empty without one."""
        return dict(self._fabric.strategy.precision.state_dict())

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from what `state` returned."""
        self._fabric.strategy.precision.load_state_dict(state)
