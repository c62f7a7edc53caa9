"""What every environment of tensors is, and the step that also counts time and starts new episodes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor


class Reached(NamedTuple):
    """What one step of N environments reached.

    Attributes:
        states: [N, S] float64.
        rewards: [N] float64.
        terminated: [N] bool.
    """

    states: Tensor
    rewards: Tensor
    terminated: Tensor


class TensorEnvironment(ABC):
    """The rules of an environment; states [N, S] are float64, as gymnasium computes them, on any device.

    Attributes:
        noise_size: uniform numbers that a first state takes, K.
    """

    noise_size: int

    @abstractmethod
    def start(self, noise: Tensor) -> Tensor:
        """Return first states, [N, S], from uniform noise in [0, 1), [N, K] float64."""

    @abstractmethod
    def step(self, states: Tensor, actions: Tensor) -> Reached:
        """Take `actions`, [N] int64 or [N, A] float32 within bounds."""

    @abstractmethod
    def observe(self, states: Tensor) -> Tensor:
        """Return what is seen of states, [N, D] float32."""


class Transition(NamedTuple):
    """One step of N environments, where those whose episode ended have started a new one.

    Attributes:
        states: to continue from, [N, S] float64.
        elapsed: steps since the first state of the episode, [N] int64.
        obs: of `states`, [N, D] float32.
        reached_obs: true observation after the step, before any new start, [N, D] float32.
        rewards: [N] float64.
        terminated: [N] bool.
        truncated: the time limit was reached, [N] bool.
    """

    states: Tensor
    elapsed: Tensor
    obs: Tensor
    reached_obs: Tensor
    rewards: Tensor
    terminated: Tensor
    truncated: Tensor


def transition(
    env: TensorEnvironment, limit: int, states: Tensor, elapsed: Tensor, actions: Tensor, noise: Tensor
) -> Transition:
    """Take a step, and start anew in the same step where the episode ends, as gymnasium's SAME_STEP does.

    Args:
        env: the rules.
        limit: steps after which an episode is truncated.
        states: [N, S].
        elapsed: [N].
        actions: [N] int64 or [N, A] float32.
        noise: of the first states of new episodes, uniform, [N, K] float64.
    """
    reached = env.step(states, actions)
    truncated = elapsed + 1 >= limit
    done = reached.terminated | truncated
    following = torch.where(done.unsqueeze(-1), env.start(noise), reached.states)
    return Transition(
        states=following,
        elapsed=(elapsed + 1).masked_fill(done, 0),
        obs=env.observe(following),
        reached_obs=env.observe(reached.states),
        rewards=reached.rewards,
        terminated=reached.terminated,
        truncated=truncated,
    )
