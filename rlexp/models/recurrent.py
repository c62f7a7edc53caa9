"""Recurrent networks: cells that remember, over sequences of several environments whose episodes begin in between.

States are flat, [B, S] float32, and 0 at the start of an episode.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


class Memory(nn.Module, ABC):
    """A recurrent layer.

    Args:
        features: F, width of what goes in.
        size: H, width of what comes out.

    Attributes:
        state_size: S.
        gates: how many rows of weights there are for each of H.
    """

    gates: int

    def __init__(self, features: int, size: int) -> None:
        super().__init__()
        self.size = size
        self.state_size = size
        self.inner = nn.Linear(features, self.gates * size)  # of the input
        self.outer = nn.Linear(size, self.gates * size)  # of the state
        for layer in (self.inner, self.outer):
            nn.init.orthogonal_(layer.weight, 1.0)
            nn.init.zeros_(layer.bias)

    def inputs(self, features: Tensor) -> Tensor:
        """Return what `step` takes of features [*, F], all at once."""
        return functional.linear(features, self.inner.weight, self.inner.bias)

    @abstractmethod
    def step(self, inputs: Tensor, state: Tensor) -> Tensor:
        """Return the next state, [B, S] float32, of `inputs`, [B, gates * H], and a state [B, S]."""

    def output(self, state: Tensor) -> Tensor:
        """Return what comes out, [*, H], in a state [*, S]."""
        return state[..., : self.size]

    def recalled(self, hidden: Tensor) -> Tensor:
        """Return the rows of the state, [B, gates * H] float32."""
        rows = functional.linear(hidden.to(self.outer.weight.dtype), self.outer.weight, self.outer.bias)
        return rows.float()

    def scan(self, features: Tensor, state: Tensor, first: Tensor) -> Tensor:
        """Return the states after each of T steps, [T, B, S].

        Args:
            features: [T, B, F].
            state: before the first step, [B, S].
            first: where a step is the first of its episode, [T, B] bool: the state is 0 before it.
        """
        inputs, after = self.inputs(features).float(), []
        for step in range(features.shape[0]):
            state = self.step(inputs[step], state.masked_fill(first[step].unsqueeze(-1), 0.0))
            after.append(state)
        return torch.stack(after)


class GRU(Memory):
    """A gated recurrent unit (arXiv:1406.1078, equations 5 to 8, the reset gate after the product, as cuDNN has it)."""

    gates = 3

    def step(self, inputs: Tensor, state: Tensor) -> Tensor:
        """Return (1 - z) n + z h with n = tanh(W x + r (U h))."""
        reset, update, new = inputs.chunk(3, -1)
        hidden = self.recalled(state).chunk(3, -1)
        candidate = (new + (reset + hidden[0]).sigmoid() * hidden[2]).tanh()
        return torch.lerp(candidate, state, (update + hidden[1]).sigmoid())


class LSTM(Memory):
    """Long short-term memory (Hochreiter & Schmidhuber 1997, with forget gates); the state is output, then cell."""

    gates = 4

    def __init__(self, features: int, size: int) -> None:
        super().__init__(features, size)
        self.state_size = 2 * size

    def step(self, inputs: Tensor, state: Tensor) -> Tensor:
        """Return c = f c + i g and h = o tanh(c)."""
        hidden, cell = state.chunk(2, -1)
        gates = inputs + self.recalled(hidden)
        write, forget, new, read = gates.chunk(4, -1)
        cell = forget.sigmoid() * cell + write.sigmoid() * new.tanh()
        return torch.cat([read.sigmoid() * cell.tanh(), cell], -1)


MEMORIES: dict[str, type[Memory]] = {"gru": GRU, "lstm": LSTM}
"""By their names, as `model.memory` takes them."""


@dataclass(frozen=True)
class Sequences:
    """What a recurrent network needs beside B rows, which are sequences of L steps, one after the other.

    Attributes:
        states: before the first step of each, [B / L, S].
        first: where a step is the first of its episode, [B] bool.
    """

    states: Tensor
    first: Tensor

    def scanned(self, memory: Memory, features: Tensor, column: int = 0) -> Tensor:
        """Return what a memory makes of features [B, F]: [B, H].

        Args:
            memory: its state lies in `states` from `column` on.
            features: of the rows.
            column: where.
        """
        count = self.states.shape[0]
        by_step = features.view(count, -1, features.shape[-1]).transpose(0, 1)
        first = self.first.view(count, -1).transpose(0, 1)
        state = self.states[:, column : column + memory.state_size]
        after = memory.scan(by_step, state, first)
        return memory.output(after).transpose(0, 1).reshape(features.shape[0], -1)


def firsts(terminated: Tensor, truncated: Tensor, valid: Tensor) -> Tensor:
    """Return which of T + 1 steps are the first of their episodes, [T + 1, N] bool; the very first is none of them.

    Where an environment resets on the next step, the step that only resets counts too; it is learned from nowhere.

    Args:
        terminated: [T, N] bool.
        truncated: [T, N] bool.
        valid: [T, N] bool.
    """
    ended = terminated | truncated | ~valid
    return torch.cat([torch.zeros_like(ended[:1]), ended])


@dataclass(frozen=True)
class Unrolled:
    """A recurrent agent along a rollout of T steps of N environments.

    Attributes:
        values: of every observation, [T + 1, N].
        final: of the true last observations of truncated steps, [M].
        states: before every L steps, of actor and critic, [N * T / L, S], environment by environment.
        first: where a step is the first of its episode, [T, N] bool.
        critic: the critic's own state after the rollout, [N, *].
    """

    values: Tensor
    final: Tensor
    states: Tensor
    first: Tensor
    critic: Tensor


def chunk_starts(states: Sequence[Tensor], length: int) -> Tensor:
    """Return the states before the first of every `length` steps, [N * T / length, S], environment by environment.

    Args:
        states: of each memory before each of T steps, [T, N, S].
        length: L, which divides T.
    """
    joined = torch.cat(list(states), -1)[::length]  # [T / L, N, S]
    return joined.transpose(0, 1).reshape(-1, joined.shape[-1])
