"""The rows of a replay memory: a ring for each environment, in memory or in a file that is mapped into it.

Observations are stored once: the one that follows a step is the next row's. Where an episode is truncated that is the
first of the next episode, so its true last observation is kept beside. A ring of C + 1 rows holds C transitions: the
row that is written next holds the observation after the newest.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from rlexp.data.replay import ReplayRows
from rlexp.data.rollout import Rollout
from rlexp.learn.rows import RowSpec, mapped


class Steps(NamedTuple):
    """Transitions of n steps, before rewards are scaled.

    Attributes:
        obs: [B, D].
        actions: [B, *].
        rewards: of each step, [B, n]; 0 after the last.
        next_obs: rows after the last step, [B, D].
        length: steps of each, [B] int64.
        terminated: whether the last step terminated the episode, [B] bool.
    """

    obs: Tensor
    actions: Tensor
    rewards: Tensor
    next_obs: Tensor
    length: Tensor
    terminated: Tensor


class Ring:
    """Rings of equal length.

    Args:
        capacity: transitions of each environment, C.
        num_envs: N.
        spec: of a row.
        file: where the rows lie instead of in memory; it is made anew, and its name removed at once, so that the space
            is free again when the process ends, however it ends. None: in memory.
    """

    def __init__(self, capacity: int, num_envs: int, spec: RowSpec, file: Path | None = None) -> None:
        self.capacity, self.num_envs, self.spec = capacity, num_envs, spec
        self.rows = capacity + 1
        self.first = self.steps = 0
        """The ring holds steps first to steps - 1 of each environment."""
        allocate = torch.zeros if file is None else mapped(file, self.rows * num_envs * spec.bytes)
        columns = sorted(spec.columns.items(), key=lambda item: -item[1][1].itemsize)  # so that all are aligned
        self._columns = made = {
            name: allocate((self.rows * num_envs, *shape), dtype=dtype) for name, (shape, dtype) in columns
        }
        self.obs, self.actions, self.rewards = made["obs"], made["actions"], made["rewards"]
        self.terminated, self.truncated, self.valid = made["terminated"], made["truncated"], made["valid"]
        self._final: dict[int, Tensor] = {}  # true last observations by the place of their step
        self._invalid = 0

    @property
    def count(self) -> int:
        """Steps of each environment that the ring holds."""
        return self.steps - self.first

    @property
    def all_valid(self) -> bool:
        """Whether every row is a transition."""
        return self._invalid == 0

    @property
    def transitions(self) -> int:
        """Transitions that can be drawn."""
        return self.count * self.num_envs - self._invalid

    @property
    def next_obs(self) -> Tensor:
        """Rows after the last step, [N, D]; empty before the first."""
        start = self.steps % self.rows * self.num_envs
        return self.obs[start : start + (self.num_envs if self.steps else 0)].clone()

    def places(self, first: int, last: int) -> Tensor:
        """Return the places of steps first to last - 1 of all environments, [(last - first) * N] int64, in order."""
        start = first % self.rows
        if start + last - first <= self.rows:
            return torch.arange(start * self.num_envs, (start + last - first) * self.num_envs)
        steps = torch.arange(first, last) % self.rows
        return (steps.unsqueeze(1) * self.num_envs + torch.arange(self.num_envs)).flatten()

    def add(self, rollout: Rollout) -> Tensor:
        """Take the steps of a rollout on the CPU in; return their places, [T * N] int64."""
        return self.put(
            ReplayRows(
                self.steps,
                rollout.obs[:-1],
                rollout.actions,
                rollout.rewards,
                rollout.terminated,
                rollout.truncated,
                rollout.valid,
                rollout.final_obs,
            ),
            rollout.obs[-1],
        )

    def begin(self, step: int) -> None:
        """Begin with another step than 0; nothing may be held yet."""
        self.first = self.steps = step

    def put(self, rows: ReplayRows, next_obs: Tensor) -> Tensor:
        """Take rows in that follow those before, and what follows them, [N, D]; return their places."""
        steps = rows.rewards.shape[0]
        places = self.places(rows.start, rows.start + steps)
        if self.steps + steps > self.first + self.capacity:
            self._forget(self.leaving(steps))
        for name, column in self._columns.items():
            values: Tensor = getattr(rows, name)
            self._write(column, rows.start, values.flatten(0, 1))
        if len(rows.final_obs):
            for place, final in zip(places[rows.truncated.flatten()].tolist(), rows.final_obs, strict=True):
                self._final[place] = final.clone()
        self.steps = rows.start + steps
        self.first = max(self.first, self.steps - self.capacity)
        self.follow(next_obs)
        self._invalid += rows.valid.numel() - int(rows.valid.sum())
        return places

    def leaving(self, steps: int) -> Tensor:
        """Return the places of the steps that are no longer held when so many are added."""
        return self.places(self.first, max(self.first, self.steps + steps - self.capacity))

    def follow(self, next_obs: Tensor) -> None:
        """Let rows, [N, D], follow the last step."""
        self._write(self.obs, self.steps, next_obs)

    def _write(self, column: Tensor, step: int, values: Tensor) -> None:
        """Write values, [T * N, *], into a column from a step on."""
        start = step % self.rows * self.num_envs
        count = min(len(values), len(column) - start)
        column[start : start + count] = values[:count]
        if count < len(values):
            column[: len(values) - count] = values[count:]

    def _forget(self, places: Tensor) -> None:
        """Forget what is known of places beside their rows."""
        if self._invalid:
            self._invalid -= int((~self.valid[places]).sum())
        if self._final and bool(self.truncated[places].any()):
            for place in places[self.truncated[places]].tolist():
                self._final.pop(place, None)

    def taken(self, places: Tensor, n: int) -> Steps:
        """Return the transitions of n steps that begin at places, [B] int64.

        They end early where an episode does, and at the newest step.
        """
        size = self.rows * self.num_envs
        at, rewards = places, [self.rewards[places]]
        count = torch.ones_like(places)
        ended = self.terminated[at] | self.truncated[at]
        newest = (self.steps - 1) % self.rows
        for _ in range(n - 1):
            ended |= at // self.num_envs == newest
            at = torch.where(ended, at, (at + self.num_envs) % size)
            rewards.append(self.rewards[at].masked_fill(ended, 0.0))
            count += ~ended
            ended |= self.terminated[at] | self.truncated[at]
        following = self.obs[(at + self.num_envs) % size]
        cut = self.truncated[at]
        if bool(cut.any()):
            for row, place in zip(cut.nonzero().flatten().tolist(), at[cut].tolist(), strict=True):
                following[row] = self._final[place]
        column = torch.stack(rewards, 1) if n > 1 else rewards[0].unsqueeze(1)
        return Steps(self.obs[places], self.actions[places], column, following, count, self.terminated[at])

    def part(self, first: int, last: int) -> ReplayRows:
        """Return steps first to last - 1, which the ring holds."""
        places, shape = self.places(first, last), (last - first, self.num_envs)
        truncated = self.truncated[places]
        final = [self._final[place] for place in places[truncated].tolist()]
        return ReplayRows(
            start=first,
            obs=self.obs[places].unflatten(0, shape),
            actions=self.actions[places].unflatten(0, shape),
            rewards=self.rewards[places].view(shape),
            terminated=self.terminated[places].view(shape),
            truncated=truncated.view(shape),
            valid=self.valid[places].view(shape),
            final_obs=torch.stack(final) if final else self.obs[:0].clone(),
        )
