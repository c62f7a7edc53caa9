"""Pendulum as tensors, as in gymnasium's Pendulum-v1."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from rlexp.envs.tensors.base import Reached, TensorEnvironment

GRAVITY = 10.0
MAX_SPEED = 8.0
MAX_TORQUE = 2.0
SECONDS = 0.05


class Pendulum(TensorEnvironment):
    """A pendulum (mass 1, length 1) to be swung up; states are angle, 0 being upright, and angular velocity."""

    noise_size = 2

    def start(self, noise: Tensor) -> Tensor:
        """Return angles uniform in [-pi, pi) and velocities uniform in [-1, 1)."""
        angle, speed = noise.unbind(-1)
        return torch.stack([math.pi * (2 * angle - 1), 2 * speed - 1], -1)

    def step(self, states: Tensor, actions: Tensor) -> Reached:
        """Apply a torque, [N, 1] float32; the cost is of the state before it. No episode terminates."""
        angle, speed = states.unbind(-1)
        torque = actions.squeeze(-1).clamp(-MAX_TORQUE, MAX_TORQUE)
        wrapped = torch.remainder(angle + math.pi, 2 * math.pi) - math.pi
        # What depends on the torque alone is float32 in gymnasium too.
        cost = wrapped.square() + 0.1 * speed.square() + (0.001 * torque.square()).to(states.dtype)
        push = (3.0 * torque).to(states.dtype)
        speed = (speed + (1.5 * GRAVITY * angle.sin() + push) * SECONDS).clamp(-MAX_SPEED, MAX_SPEED)
        reached = torch.stack([angle + speed * SECONDS, speed], -1)
        return Reached(reached, -cost, torch.zeros_like(angle, dtype=torch.bool))

    def observe(self, states: Tensor) -> Tensor:
        """Return cosine and sine of the angle, and the velocity."""
        angle, speed = states.unbind(-1)
        return torch.stack([angle.cos(), angle.sin(), speed], -1).float()
