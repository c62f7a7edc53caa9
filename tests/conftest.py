"""What all tests share: one thread, the test environments, and one Fabric a module."""

import pytest
import torch
from lightning.fabric import Fabric

import tests.environments  # noqa: F401  # registers the environments

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def fabric():
    fabric = Fabric(accelerator="cpu", devices=1)
    fabric.launch()
    return fabric
