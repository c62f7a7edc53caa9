"""What moves between ranks arrives as it was sent: every field, type and order, whatever ends where."""

from dataclasses import fields, replace

import pytest
import torch

from rlexp.data.rollout import Rollout
from rlexp.launch.rank import Rank
from rlexp.learn.ranks import OneRank
from rlexp.topology.group import Group
from rlexp.topology.rollouts import from_bytes, gather_rollouts, join, part, to_bytes
from rlexp.topology.transport import receive_rollout, send_rollouts, wait_for
from tests.topology.ranks import launched

SEEDS = range(25)


def random_rollout(seed: int, steps: int = 0, envs: int = 0) -> Rollout:
    """Return a rollout of random shapes and values; final observations tell of their step and environment."""
    generator = torch.Generator().manual_seed(seed)

    def upto(most: int) -> int:
        return int(torch.randint(1, most + 1, (1,), generator=generator))

    steps, envs, width, wide = steps or upto(6), envs or upto(5), upto(4), seed % 2 == 0
    share = (0.0, 0.2, 0.7, 1.0)[seed % 4]
    truncated = torch.rand((steps, envs), generator=generator) < share
    dtype = torch.uint8 if seed % 3 == 0 else torch.float32

    def row(*shape: int) -> torch.Tensor:
        return torch.randint(0, 256, shape, generator=generator).to(dtype)

    final = row(int(truncated.sum()), width)
    step, env = truncated.nonzero(as_tuple=True)
    if len(final):
        final[:, 0] = (step * envs + env).to(dtype)
    real = torch.randn((steps, envs, 3), generator=generator)
    return Rollout(
        obs=row(steps + 1, envs, width),
        actions=real if wide else torch.randint(0, 9, (steps, envs), generator=generator),
        rewards=torch.randn((steps, envs), generator=generator),
        terminated=torch.rand((steps, envs), generator=generator) < 0.3,
        truncated=truncated,
        log_prob=torch.randn((steps, envs), generator=generator),
        final_obs=final,
        valid=torch.rand((steps, envs), generator=generator) < 0.8,
        initial_state=torch.randn((envs, seed % 3), generator=generator),
    )


def assert_equal(first: Rollout, second: Rollout) -> None:
    for field in fields(Rollout):
        one, other = getattr(first, field.name), getattr(second, field.name)
        assert one.dtype == other.dtype, field.name
        assert one.shape == other.shape, field.name
        assert torch.equal(one, other), field.name


@pytest.mark.parametrize("seed", SEEDS)
def test_bytes_hold_every_field(seed):
    rollout = random_rollout(seed)
    flat = to_bytes(rollout)
    assert flat.dtype == torch.uint8
    like = Rollout(*(torch.zeros_like(getattr(rollout, field.name)) for field in fields(Rollout)))
    assert_equal(from_bytes(flat, like, rollout.final_obs), rollout)


def test_bytes_of_views_that_are_not_contiguous():
    rollout = part(random_rollout(4, steps=5, envs=4), 1, 3)
    assert not rollout.rewards.is_contiguous()
    assert_equal(from_bytes(to_bytes(rollout), rollout, rollout.final_obs), rollout)


@pytest.mark.parametrize("seed", SEEDS)
def test_parts_join_to_the_whole(seed):
    rollout = random_rollout(seed)
    envs = rollout.rewards.shape[1]
    for cut in range(1, envs):
        assert_equal(join([part(rollout, 0, cut), part(rollout, cut, envs)]), rollout)
    assert_equal(join([part(rollout, env, env + 1) for env in range(envs)]), rollout)
    assert_equal(part(rollout, 0, envs), rollout)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_part_keeps_the_final_observations_of_its_environments_in_order(seed):
    rollout = random_rollout(seed)
    envs = rollout.rewards.shape[1]
    for first in range(envs):
        for last in range(first + 1, envs + 1):
            piece = part(rollout, first, last)
            step, env = piece.truncated.nonzero(as_tuple=True)
            told = piece.final_obs[:, 0].long()
            assert told.tolist() == (step * envs + env + first).tolist()
            assert torch.equal(piece.initial_state, rollout.initial_state[first:last])


def test_joined_final_observations_follow_the_order_of_truncated_steps_by_hand():
    """Rank 0 truncates environment 0 in step 1; rank 1 both of its environments in step 0 and the second in step 1."""
    first, second = random_rollout(5, steps=2, envs=1), random_rollout(5, steps=2, envs=2)
    first = replace(first, truncated=torch.tensor([[False], [True]]), final_obs=torch.tensor([[10.0]]))
    second = replace(
        second,
        truncated=torch.tensor([[True, True], [False, True]]),
        final_obs=torch.tensor([[20.0], [21.0], [22.0]]),
    )
    wide = [replace(rollout, obs=torch.zeros((3, rollout.rewards.shape[1], 1))) for rollout in (first, second)]
    joined = join(wide)
    assert joined.truncated.tolist() == [[False, True, True], [True, False, True]]
    assert joined.final_obs.flatten().tolist() == [20, 21, 10, 22]


# Between processes


def saved(name: str, rank: Rank, value: object) -> None:
    torch.save(value, rank.run_dir / f"{name}{rank.index}.pt")


def loaded(run_dir, name: str, ranks: int) -> list:
    return [torch.load(run_dir / f"{name}{index}.pt", weights_only=True) for index in range(ranks)]


def test_gathered_rollouts_are_the_rollouts_of_all_ranks_joined_in_their_order(tmp_path):
    """Both ranks truncate, one does, none does; and a field of real and one of whole numbers."""
    pairs = [(2, 6), (4, 6), (4, 8), (1, 5), (9, 3)]

    def alike(seed: int, like: int) -> Rollout:
        """Return a random rollout of the shapes of another one."""
        other, model = random_rollout(seed, steps=5, envs=3), random_rollout(like, steps=5, envs=3)
        values = {
            field.name: getattr(model, field.name) * 2
            if field.name not in ("truncated", "final_obs", "terminated", "valid")
            else getattr(model, field.name)
            for field in fields(Rollout)
        }
        count = int(other.truncated.sum())
        final = torch.arange(count, dtype=model.obs.dtype).unsqueeze(1).expand(count, model.obs.shape[2]) + 100
        return Rollout(**values | {"truncated": other.truncated, "final_obs": final})

    def body(rank: Rank) -> None:
        group = Group()
        for number, (first, second) in enumerate(pairs):
            mine = random_rollout(first, steps=5, envs=3) if rank.index == 0 else alike(second, first)
            saved(f"gathered{number}-", rank, vars(gather_rollouts(mine, group)))

    launched(tmp_path / "run", "fabric.devices=2", body=body)
    for number, (first, second) in enumerate(pairs):
        expected = join([random_rollout(first, steps=5, envs=3), alike(second, first)])
        for values in loaded(tmp_path / "run", f"gathered{number}-", 2):
            assert_equal(Rollout(**values), expected)


@pytest.mark.parametrize("envs", [4, 5])
def test_sent_shards_arrive_whole(envs, tmp_path):
    """The player sends uneven parts of four rollouts, with and without final observations, to two trainers."""
    cut = envs // 2
    seeds = (4, 5, 6, 7)

    def body(rank: Rank) -> None:
        for seed in seeds:
            rollout = random_rollout(seed, steps=4, envs=envs)
            parts = [part(rollout, 0, cut), part(rollout, cut, envs)]
            if rank.index == 0:
                wait_for(send_rollouts(parts, [1, 2]))
                continue
            mine = parts[rank.index - 1]
            like = Rollout(*(torch.zeros_like(getattr(mine, field.name)) for field in fields(Rollout)))
            like = replace(like, final_obs=mine.final_obs.new_empty((0, mine.obs.shape[2])))
            assert_equal(receive_rollout(like, 0), mine)
        saved("done", rank, rank.index)

    launched(tmp_path / "run", "fabric.devices=3", body=body)
    assert loaded(tmp_path / "run", "done", 3) == [0, 1, 2]


def test_groups_gather_and_average_in_the_order_of_ranks(tmp_path):
    def body(rank: Rank) -> None:
        group = Group()
        assert (group.rank, group.size) == (rank.index, 3)
        gathered = group.gather(torch.tensor([[rank.index, 10 * rank.index]]))
        assert gathered.tolist() == [[[0, 0]], [[1, 10]], [[2, 20]]]
        mean = torch.tensor([[1.0, 4.0 * rank.index]])
        group.mean_(mean)
        assert mean.tolist() == [[1.0, 4.0]]
        scalar = torch.tensor(3.0 * rank.index)
        group.mean_(scalar)
        assert float(scalar) == 3.0
        uneven = torch.full((1000,), 0.1 * (rank.index + 1)).exp()
        group.mean_(uneven)
        saved("mean", rank, uneven)

    launched(tmp_path / "run", "fabric.devices=3", body=body)
    means = loaded(tmp_path / "run", "mean", 3)
    assert all(torch.equal(mean, means[0]) for mean in means)


def test_one_rank_alone_is_its_own_mean():
    value = torch.tensor([1.0, 2.0])
    OneRank().mean_(value)
    assert value.tolist() == [1, 2]
    assert OneRank().gather(value).tolist() == [[1, 2]]
