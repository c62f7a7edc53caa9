"""What ranks cannot be started with is refused in one line, before any is."""

import re

import pytest
import torch

from tests.launch.forked import done

COMMANDS = {
    "decoupled alone": (
        ["topology=decoupled"],
        "topology=decoupled needs a player and at least one trainer, but fabric.devices=1; "
        "give fabric.devices=2 or more",
    ),
    "fewer environments than trainers": (
        ["topology=decoupled", "fabric.devices=4", "env.num_envs=2"],
        "env.num_envs=2 is less than the 3 trainers, which each need an environment; give env.num_envs=3 or more, or "
        "topology.share_data=true",
    ),
    "precision": (
        ["fabric.precision=64-false"],
        "fabric.precision=64-false is not a choice; allowed: 32-true, 16-mixed, bf16-mixed, bf16-true",
    ),
    "strategy": (["strategy=horovod"], "strategy=horovod is not a choice; allowed: auto, ddp"),
    "strategy of Lightning's": (["strategy=fsdp"], "strategy=fsdp: write strategy=ddp"),
    "strategy as a key": (["fabric.strategy=horovod"], "fabric.strategy=horovod is not a choice; allowed: auto, ddp"),
    "accelerator": (["fabric.accelerator=abacus"], "fabric.accelerator=abacus is not a choice; allowed: cpu, cuda"),
    "topology": (["topology=central"], "topology=central is not a choice; allowed: coupled, decoupled"),
    "overlap": (
        ["topology=coupled", "topology.overlap=true", "fabric.devices=2"],
        "topology.overlap=true needs a player of its own; give topology=decoupled",
    ),
    "nodes": (
        ["fabric.num_nodes=2"],
        "fabric.num_nodes=2 needs a start by torchrun on each node: torchrun --nnodes N --nproc-per-node M "
        "--rdzv-endpoint HOST:PORT -m rlexp.main ...",
    ),
    "half precision on CPU": (
        ["fabric.precision=16-mixed"],
        "fabric.precision=16-mixed needs accelerator=cuda, but fabric.accelerator=cpu; "
        "give fabric.precision=bf16-mixed",
    ),
    "player on a GPU alone": (
        ["topology=decoupled", "fabric.devices=2", "topology.player_accelerator=cuda"],
        "topology.player_accelerator=cuda needs accelerator=cuda, but fabric.accelerator=cpu; give accelerator=cuda",
    ),
    "threads": (
        ["fabric.threads_per_rank=all"],
        "fabric.threads_per_rank=all is not a choice; allowed: auto, or a number from 1",
    ),
    "timeout": (["fabric.timeout_seconds=0"], r"fabric.timeout_seconds=0(\.0)? is out of range; allowed: 0 < value"),
    "minibatch of a shard": (
        ["topology=decoupled", "fabric.devices=3", "algo.per_rank_batch_size=16"],
        "algo.per_rank_batch_size=16 is larger than the 8 transitions .*allowed: 1 to 8, .*",
    ),
}  # fmt: skip
"""Overrides, and the line that is said of them."""

if not torch.cuda.is_available():
    COMMANDS["no CUDA"] = (
        ["accelerator=cuda"],
        "accelerator=cuda, but torch finds no CUDA device; give accelerator=cpu",
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_it_is_said_in_one_line_and_leaves_nothing_behind(name, tmp_path):
    overrides, message = COMMANDS[name]
    code, command = done(*overrides, cwd=tmp_path / "cwd")
    assert code == 1
    (line,) = command.stderr.splitlines()
    pattern = message if "*" in message or r"\." in message else re.escape(message)
    assert re.fullmatch(f"error: {pattern}", line), line
    assert not list(command.cwd.iterdir())
    assert command.stdout == ""  # not even that a run begins
