"""MountainCar as tensors: Moore 1990, as in gymnasium's MountainCar-v0."""

from __future__ import annotations

import torch
from torch import Tensor

from rlexp.envs.tensors.base import Reached, TensorEnvironment

FORCE = 0.001
GRAVITY = 0.0025
MAX_SPEED = 0.07
MIN_POSITION, MAX_POSITION = -1.2, 0.6
GOAL = 0.5


class MountainCar(TensorEnvironment):
    """A car that must swing itself up a hill; states are position and velocity."""

    noise_size = 1

    def start(self, noise: Tensor) -> Tensor:
        """Return positions uniform in [-0.6, -0.4), at rest."""
        position = -0.6 + 0.2 * noise.squeeze(-1)
        return torch.stack([position, torch.zeros_like(position)], -1)

    def step(self, states: Tensor, actions: Tensor) -> Reached:
        """Accelerate left (0), not (1) or right (2); every step costs 1."""
        position, velocity = states.unbind(-1)
        velocity = velocity + ((actions - 1).to(states.dtype) * FORCE + (3 * position).cos() * -GRAVITY)
        velocity = velocity.clamp(-MAX_SPEED, MAX_SPEED)
        position = (position + velocity).clamp(MIN_POSITION, MAX_POSITION)
        velocity = torch.where((position == MIN_POSITION) & (velocity < 0), 0.0, velocity)
        terminated = (position >= GOAL) & (velocity >= 0)
        return Reached(torch.stack([position, velocity], -1), -torch.ones_like(position), terminated)

    def observe(self, states: Tensor) -> Tensor:
        """Return the states."""
        return states.float()
