"""The rows of a replay memory, held against a plain list of everything that happened."""

from dataclasses import dataclass

import pytest
import torch

from rlexp.data.rollout import Rollout
from rlexp.learn.ring import Ring
from rlexp.learn.rows import RowSpec

SPEC = RowSpec(width=2, obs_dtype=torch.float32, action_shape=(), action_dtype=torch.int64)


@dataclass
class Step:
    obs: list
    action: int
    reward: float
    terminated: bool
    truncated: bool
    valid: bool
    reached: list  # what was seen after it: the true last observation where the episode ended


class World:
    """N environments whose episodes end at random; `resets` makes each end take a step that is no transition."""

    def __init__(self, count: int, seed: int, resets: bool) -> None:
        self.draw = torch.Generator().manual_seed(seed)
        self.steps: list[list[Step]] = [[] for _ in range(count)]
        self.number, self.resets = 0, resets
        self.now = [self.fresh() for _ in range(count)]

    def fresh(self) -> list:
        self.number += 1
        return [float(self.number), float(torch.rand((), generator=self.draw))]

    def rollout(self, length: int) -> Rollout:
        count = len(self.now)
        obs, rows, final = [list(self.now)], [], []
        for _ in range(length):
            row = [self.step(env) for env in range(count)]
            rows.append(row)
            final += [step.reached for step in row if step.truncated]
            obs.append(list(self.now))
        column = lambda name, dtype: torch.tensor([[getattr(s, name) for s in row] for row in rows], dtype=dtype)  # noqa: E731
        return Rollout(
            obs=torch.tensor(obs),
            actions=column("action", torch.int64),
            rewards=column("reward", torch.float32),
            terminated=column("terminated", torch.bool),
            truncated=column("truncated", torch.bool),
            log_prob=torch.zeros(length, count),
            final_obs=torch.tensor(final).view(-1, 2),
            valid=column("valid", torch.bool),
            initial_state=torch.zeros(count, 0),
        )

    def step(self, env: int) -> Step:
        chance, action, reward = torch.rand(3, generator=self.draw).tolist()
        steps, before = self.steps[env], self.now[env]
        resetting = self.resets and bool(steps) and steps[-1].valid and (steps[-1].terminated or steps[-1].truncated)
        ends = 0.0 if resetting else chance
        reached = self.fresh()
        step = Step(before, int(10 * action), reward, ends > 0.85, 0.7 < ends <= 0.85, not resetting, reached)
        self.now[env] = reached if resetting or not (ends > 0.7) or self.resets else self.fresh()
        steps.append(step)
        return step


def n_step(steps: list[Step], start: int, n: int) -> tuple[list[float], list | None, bool]:
    """Return rewards, what follows and whether that is the end, by a plain walk."""
    rewards = []
    for step in steps[start : start + n]:
        rewards.append(step.reward)
        if step.terminated or step.truncated:
            break
    return rewards, step.reached, step.terminated


@pytest.mark.parametrize("resets", [False, True])
@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize(("capacity", "lengths"), [(1000, (7, 1, 30)), (20, (7, 9, 5, 20, 1, 13)), (5, (5, 4, 3, 1))])
def test_transitions_are_those_of_a_plain_walk(capacity, lengths, n, resets, tmp_path):
    world = World(3, seed=capacity + n, resets=resets)
    ring = Ring(capacity, 3, SPEC, tmp_path / "rows" if capacity == 20 else None)
    for length in lengths:
        ring.add(world.rollout(length))
        total = len(world.steps[0])
        assert ring.steps == total
        assert ring.count == min(total, capacity)
        held = range(total - ring.count, total)
        valid = [(step, env) for step in held for env in range(3) if world.steps[env][step].valid]
        assert ring.transitions == len(valid)
        assert ring.all_valid == (len(valid) == 3 * ring.count)
        places = torch.tensor([step % ring.rows * 3 + env for step, env in valid])
        found = ring.taken(places, n)
        for row, (step, env) in enumerate(valid):
            rewards, following, over = n_step(world.steps[env], step, n)
            own = world.steps[env][step]
            assert found.obs[row].tolist() == pytest.approx(own.obs)
            assert int(found.actions[row]) == own.action
            assert found.rewards[row].tolist() == pytest.approx(rewards + [0.0] * (n - len(rewards)))
            assert int(found.length[row]) == len(rewards)
            assert bool(found.terminated[row]) == over
            if not over:
                assert found.next_obs[row].tolist() == pytest.approx(following)
    assert ring.next_obs.tolist() == [pytest.approx(row) for row in world.now]
    assert not (tmp_path / "rows").exists()  # its space is free again however the process ends


def test_parts_make_the_same_ring_again():
    world, ring, again = World(2, 0, resets=True), Ring(12, 2, SPEC), Ring(12, 2, SPEC)
    for length in (5, 6, 9):
        ring.add(world.rollout(length))
    again.begin(ring.first)
    for start in range(ring.first, ring.steps, 5):
        again.put(ring.part(start, min(start + 5, ring.steps)), ring.next_obs)
    assert (again.first, again.steps, again.transitions) == (ring.first, ring.steps, ring.transitions)
    places = ring.places(ring.first, ring.steps)
    for first, second in zip(ring.taken(places, 3), again.taken(places, 3), strict=True):
        assert torch.equal(first, second)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_a_row_takes_what_it_says(dtype):
    spec = RowSpec(12, dtype, (2,), torch.float32)
    assert spec.bytes == 12 * dtype.itemsize + 2 * 4 + 4 + 3
    ring = Ring(9, 4, spec)
    columns = (ring.obs, ring.actions, ring.rewards, ring.terminated, ring.truncated, ring.valid)
    assert sum(column.numel() * column.element_size() for column in columns) == 10 * 4 * spec.bytes
    assert ring.obs.dtype == dtype
