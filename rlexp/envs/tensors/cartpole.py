"""CartPole as tensors: Barto, Sutton & Anderson 1983, the equations of Florian 2007, as in gymnasium's CartPole-v1."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from rlexp.envs.tensors.base import Reached, TensorEnvironment

GRAVITY = 9.8
POLE_MASS = 0.1
TOTAL_MASS = 1.1
HALF_LENGTH = 0.5
FORCE = 10.0
SECONDS = 0.02
MAX_ANGLE = 12 * 2 * math.pi / 360
MAX_POSITION = 2.4


class CartPole(TensorEnvironment):
    """A pole on a cart; states are position, velocity, angle and angular velocity of the pole."""

    noise_size = 4

    def start(self, noise: Tensor) -> Tensor:
        """Return states uniform in [-0.05, 0.05)."""
        return -0.05 + 0.1 * noise

    def step(self, states: Tensor, actions: Tensor) -> Reached:
        """Push left (0) or right (1) for one Euler step; every step is worth 1."""
        position, velocity, angle, spin = states.unbind(-1)
        force = torch.where(actions == 1, FORCE, -FORCE).to(states.dtype)
        cosine, sine = angle.cos(), angle.sin()
        pole = POLE_MASS * HALF_LENGTH
        push = (force + pole * spin.square() * sine) / TOTAL_MASS
        spin_change = (GRAVITY * sine - cosine * push) / (
            HALF_LENGTH * (4.0 / 3.0 - POLE_MASS * cosine.square() / TOTAL_MASS)
        )
        change = push - pole * spin_change * cosine / TOTAL_MASS
        position, velocity = position + SECONDS * velocity, velocity + SECONDS * change
        angle, spin = angle + SECONDS * spin, spin + SECONDS * spin_change
        terminated = (position.abs() > MAX_POSITION) | (angle.abs() > MAX_ANGLE)
        return Reached(torch.stack([position, velocity, angle, spin], -1), torch.ones_like(position), terminated)

    def observe(self, states: Tensor) -> Tensor:
        """Return the states."""
        return states.float()
