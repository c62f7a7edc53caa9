"""Acrobot as tensors: Sutton 1996, with the equations of Sutton & Barto's book, as in gymnasium's Acrobot-v1."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from rlexp.envs.tensors.base import Reached, TensorEnvironment

GRAVITY = 9.8
CENTRE = 0.5  # of each link's mass, along the link; links have length, mass and moment of inertia 1
SECONDS = 0.2
MAX_SPIN_1, MAX_SPIN_2 = 4 * math.pi, 9 * math.pi


class Acrobot(TensorEnvironment):
    """Two links, the joint between them driven; states are both angles and both angular velocities."""

    noise_size = 4

    def start(self, noise: Tensor) -> Tensor:
        """Return states uniform in [-0.1, 0.1), rounded to float32 as gymnasium rounds them."""
        return (-0.1 + 0.2 * noise).float().to(noise.dtype)

    def step(self, states: Tensor, actions: Tensor) -> Reached:
        """Apply torque -1, 0 or 1 for one Runge-Kutta step; every step costs 1 but the one that reaches the height."""
        torque = (actions - 1).to(states.dtype)
        first = _slopes(states, torque)
        second = _slopes(states + SECONDS / 2 * first, torque)
        third = _slopes(states + SECONDS / 2 * second, torque)
        fourth = _slopes(states + SECONDS * third, torque)
        after = states + SECONDS / 6.0 * (first + 2 * second + 2 * third + fourth)
        angle_1, angle_2, spin_1, spin_2 = after.unbind(-1)
        angle_1, angle_2 = _wrapped(angle_1), _wrapped(angle_2)
        spin_1, spin_2 = spin_1.clamp(-MAX_SPIN_1, MAX_SPIN_1), spin_2.clamp(-MAX_SPIN_2, MAX_SPIN_2)
        terminated = -angle_1.cos() - (angle_2 + angle_1).cos() > 1.0
        rewards = torch.where(terminated, 0.0, -1.0).to(states.dtype)
        return Reached(torch.stack([angle_1, angle_2, spin_1, spin_2], -1), rewards, terminated)

    def observe(self, states: Tensor) -> Tensor:
        """Return cosine and sine of each angle, and the velocities."""
        angle_1, angle_2, spin_1, spin_2 = states.unbind(-1)
        seen = [angle_1.cos(), angle_1.sin(), angle_2.cos(), angle_2.sin(), spin_1, spin_2]
        return torch.stack(seen, -1).float()


def _slopes(states: Tensor, torque: Tensor) -> Tensor:
    """Return the derivatives of states by time, [N, 4]."""
    angle_1, angle_2, spin_1, spin_2 = states.unbind(-1)
    sine, cosine = angle_2.sin(), angle_2.cos()
    d1 = CENTRE**2 + (1 + CENTRE**2 + 2 * CENTRE * cosine) + 2
    d2 = (CENTRE**2 + CENTRE * cosine) + 1
    phi2 = CENTRE * GRAVITY * (angle_1 + angle_2 - math.pi / 2).cos()
    phi1 = (
        -CENTRE * spin_2.square() * sine
        - 2 * CENTRE * spin_2 * spin_1 * sine
        + (CENTRE + 1) * GRAVITY * (angle_1 - math.pi / 2).cos()
        + phi2
    )
    change_2 = (torque + d2 / d1 * phi1 - CENTRE * spin_1.square() * sine - phi2) / (CENTRE**2 + 1 - d2.square() / d1)
    change_1 = -(d2 * change_2 + phi1) / d1
    return torch.stack([spin_1, spin_2, change_1, change_2], -1)


def _wrapped(angle: Tensor) -> Tensor:
    """Return angles turned by whole turns into [-pi, pi]; those within stay as they are, both ends included."""
    turn = 2 * math.pi
    over = ((angle - math.pi) / turn).ceil().clamp(min=0)
    under = ((angle + math.pi) / turn).floor().clamp(max=0)
    return angle - (over + under) * turn
