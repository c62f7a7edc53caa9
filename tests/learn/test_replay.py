"""The replay memory: how many batches are owed, what is in them, and how they are drawn."""

import numpy as np
import pytest
import torch

from rlexp.algos.off_policy import ReplaySettings
from rlexp.data.replay import Segment
from rlexp.learn import replay
from rlexp.learn.memory import Keep
from rlexp.learn.ranks import OneRank
from rlexp.learn.replay import Replay, ReplayPlace
from rlexp.learn.rewards import RewardScaler
from tests.learn.test_ring import SPEC, World

KEEP = Keep(lambda rows: rows)


def memory(ranks=None, shared=False, num_envs=3, capacity=1000, steps=30, normalize=False, limit=None, **changes):
    values = {"batch": 16, "replay_ratio": 1.0, "learning_starts": 0, "gamma": 0.9, "n_step": 1, "alpha": 0.0,
              "beta": 0.4, "noise": 0} | changes  # fmt: skip
    ranks = ranks or OneRank()
    device = torch.device("cpu")
    rewards = RewardScaler(normalize, limit, values["gamma"], ranks, shared, num_envs, device)
    place = ReplayPlace(capacity, num_envs, SPEC, steps)
    generator = torch.Generator().manual_seed(0)
    return Replay(ReplaySettings(**values), place, rewards, ranks, shared, generator, device)


def counts(made: Replay, world: World, rollouts: int, length: int = 10) -> list[int]:
    found = []
    for _ in range(rollouts):
        made.add(world.rollout(length))
        found.append(len(list(made.batches(1.0))))
    return found


@pytest.mark.parametrize(
    ("ratio", "starts", "expected"),
    [(1.0, 0, [30, 30, 30]), (0.1, 0, [3, 3, 3]), (0.05, 0, [1, 2, 1, 2]), (2.0, 60, [0, 60, 60]),
     (1.0, 61, [0, 0, 30]), (0.01, 0, [0, 0, 0, 1, 0, 0, 1, 0, 0, 1])],
)  # fmt: skip
def test_gradient_steps_follow_the_steps_of_the_environments_exactly(ratio, starts, expected):
    made = memory(replay_ratio=ratio, learning_starts=starts)
    assert counts(made, World(3, 0, resets=False), len(expected)) == expected


def test_batches_hold_discounted_rewards_and_what_a_return_is_bootstrapped_from():
    world, made = World(3, 1, resets=False), memory(n_step=3, noise=2)
    made.add(world.rollout(10))
    batches = list(made.batches(1.0))
    assert len(batches) == 30
    by_obs = {tuple(np.float32(step.obs)): (env, number) for env, steps in enumerate(world.steps)
              for number, step in enumerate(steps)}  # fmt: skip
    for batch in batches:
        assert batch.noise.shape == (16, 2)
        assert batch.weight is None
        for row in range(16):
            env, number = by_obs[tuple(batch.obs[row].numpy())]
            total, factor = 0.0, 1.0
            for step in world.steps[env][number : number + 3]:
                total += factor * step.reward
                factor *= 0.9
                if step.terminated or step.truncated:
                    break
            assert float(batch.rewards[row]) == pytest.approx(total)
            assert float(batch.discounts[row]) == pytest.approx(0.0 if step.terminated else factor)
            if not step.terminated:
                assert batch.next_obs[row].tolist() == pytest.approx(step.reached)
    noise = torch.cat([batch.noise for batch in batches])
    assert float(noise.mean()) == pytest.approx(0.0, abs=0.1)
    assert float(noise.std()) == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("resets", [False, True])
@pytest.mark.parametrize("capacity", [1000, 15])
def test_every_transition_that_is_held_is_drawn_as_often(resets, capacity):
    """Chi-square over the transitions; the bound is the mean + 4 standard deviations of its distribution."""
    world, made = World(3, 2, resets), memory(capacity=capacity, batch=2000)
    for _ in range(3):
        made.add(world.rollout(10))
    total = len(world.steps[0])
    held = [tuple(np.float32(step.obs)) for steps in world.steps for step in steps[max(0, total - capacity) :]
            if step.valid]  # fmt: skip
    seen = dict.fromkeys(held, 0)
    drawn = 0
    for batch in made.batches(1.0):
        for row in batch.obs.numpy():
            seen[tuple(row)] += 1  # a KeyError: what is not held, or no transition, was drawn
            drawn += 1
    expected, freedom = drawn / len(held), len(held) - 1
    assert sum((count - expected) ** 2 / expected for count in seen.values()) < freedom + 4 * (2 * freedom) ** 0.5


def test_priorities_decide_what_is_drawn_and_weights_correct_it():
    world, made = World(3, 3, resets=True), memory(alpha=1.0, batch=64, n_step=2)
    made.add(world.rollout(10))
    valid = sum(step.valid for steps in world.steps for step in steps)
    first = next(batch for batch in made.batches(1.0))
    assert first.weight.tolist() == [1.0] * 64  # all have the same priority at first
    found = {}
    for batch in made.batches(0.0):
        errors = batch.obs[:, 1]  # a number from 0 to 1
        found |= {tuple(row): float(error) for row, error in zip(batch.obs.tolist(), errors, strict=True)}
        made.learned(torch.zeros(1), errors)
    assert len(found) == valid
    made.add(world.rollout(1))
    made._owed = 200
    drawn: dict = {}
    for batch in made.batches(0.0):
        for row, weight in zip(batch.obs.tolist(), batch.weight.tolist(), strict=True):
            count, _ = drawn.get(tuple(row), (0, 0.0))
            drawn[tuple(row)] = (count + 1, weight)
    rows = [row for row in drawn if row in found and found[row] > 0.3]
    ratios = [drawn[row][0] / found[row] for row in rows]
    assert np.std(ratios) / np.mean(ratios) < 0.15


def test_rewards_are_scaled_by_the_statistics_of_now_and_clipped_one_by_one():
    world, made = World(3, 4, resets=False), memory(n_step=2, limit=0.5)
    made.add(world.rollout(10))
    for batch in made.batches(1.0):
        assert float(batch.rewards.max()) <= 0.5 * 1.9 + 1e-6
    scaled = memory(normalize=True)
    scaled.add(world.rollout(10))
    by_obs = {tuple(np.float32(step.obs)): step.reward for steps in world.steps for step in steps}
    scale = scaled._rewards.moments.scale_around_zero().item()
    batch = next(iter(scaled.batches(1.0)))
    for row in range(16):
        assert float(batch.rewards[row]) == pytest.approx(by_obs[tuple(batch.obs[row].numpy())] / scale, rel=1e-5)


class Pair:
    """Two ranks in one process: this one, and what the other has said."""

    size = 2

    def __init__(self, rank: int) -> None:
        self.rank, self.other = rank, None

    def gather(self, tensor):
        both = [tensor, self.other]
        return torch.stack(both if self.rank == 0 else both[::-1])


def test_ranks_with_the_same_data_share_each_batch():
    worlds = [World(3, 5, resets=False) for _ in range(2)]
    ranks = [Pair(0), Pair(1)]
    made = [memory(rank, shared=True, alpha=0.7, noise=1) for rank in ranks]
    for one, world in zip(made, worlds, strict=True):
        one.add(world.rollout(10))
    for first, second in zip(*(one.batches(0.5) for one in made), strict=True):
        assert first.obs.shape == second.obs.shape == (16, 2)
        assert not torch.equal(first.obs, second.obs)
        assert not torch.equal(first.noise, second.noise)
        errors = [first.obs[:, 1], second.obs[:, 1]]
        ranks[0].other, ranks[1].other = errors[1], errors[0]
        for one, own in zip(made, errors, strict=True):
            one.learned(torch.zeros(1), own)
    places = made[0]._ring.places(0, 10).numpy()
    np.testing.assert_array_equal(made[0]._priorities.of(places), made[1]._priorities.of(places))
    assert made[0]._priorities.of(places).std() > 0


def test_full_parts_are_written_once_and_the_last_lies_in_the_state(monkeypatch):
    monkeypatch.setattr(replay, "LEAST_PART_BYTES", 1)
    world, made = World(3, 6, resets=False), memory(capacity=640, alpha=0.5)  # parts of 10 steps
    written = {}

    def part(rows):
        assert rows.start not in written
        written[rows.start] = rows
        return Segment(str(rows.start))

    for _ in range(3):
        made.add(world.rollout(15))
        state = made.state(Keep(part))
    assert state.steps == 45
    assert state.parts[:4] == [Segment("0"), Segment("10"), Segment("20"), Segment("30")]
    assert (state.parts[4].start, state.parts[4].rewards.shape) == (40, (5, 3))
    assert [rows.rewards.shape for rows in written.values()] == [(10, 3)] * 4
    again = memory(capacity=640, alpha=0.5)
    again.load_state(state, lambda segment: written[int(segment.sha256)])
    ours, theirs = made._ring.part(0, 45), again._ring.part(0, 45)
    for name, values in vars(ours).items():
        assert torch.equal(torch.as_tensor(values), torch.as_tensor(getattr(theirs, name))), name
    rollout = world.rollout(15)
    made.add(rollout)
    again.add(rollout)
    drawn = list(zip(made.batches(0.5), again.batches(0.5), strict=True))
    assert len(drawn) == 30
    for one, other in drawn:
        assert torch.equal(one.obs, other.obs)
        assert torch.equal(one.weight, other.weight)
    again.state(Keep(lambda rows: Segment("new")))  # what was written before is not written again
    assert again._written[0] == Segment("0")
    left_out = made.state(Keep(part, replay=False))
    assert left_out.parts == []
    assert left_out.priorities.shape == (0, 3)


@pytest.mark.parametrize("left", [1.0, 0.5, 0.0])
def test_importance_weights_are_those_of_the_paper(left):
    """(N P)^-beta over their maximum (arXiv:1511.05952, section 3.4), with a beta that rises from 0.4 to 1."""
    world, made = World(3, 3, resets=False), memory(alpha=1.0)
    made.add(world.rollout(10))
    made._priorities.set(made._ring.places(0, 10).numpy(), np.arange(1.0, 31.0))
    beta = 1 - 0.6 * left
    for batch in made.batches(left):
        places = made._drawn.pop(0).numpy()
        chances = made._priorities.of(places) / sum(range(1, 31))
        expected = (30 * chances) ** -beta
        np.testing.assert_allclose(batch.weight.numpy(), expected / expected.max(), rtol=1e-5)


@pytest.mark.parametrize("length", [2, 5, 7])
def test_what_is_written_over_can_no_longer_be_drawn(length):
    world, made = World(3, 5, resets=True), memory(capacity=8, alpha=1.0)
    for _ in range(6):
        made.add(world.rollout(length))
        assert made._priorities.total == pytest.approx(made._ring.transitions * made._priorities.highest)
