from dataclasses import replace

import numpy as np
import pytest
import torch

from rlexp.data.rollout import Episode
from rlexp.models.chunks import IMAGE_ROWS_AT_ONCE, in_chunks
from tests.helpers import agent

COUNTING = ("id=Counting-v0", "env.num_envs=2", "algo.per_rank_batch_size=null")


def equal(first, second):
    return all(torch.equal(getattr(first, name), getattr(second, name)) for name in vars(first))


@pytest.fixture
def player_of():
    players = []

    def make(*overrides, seed=0):
        made = agent(*overrides, seed=seed)
        players.append(made.player)
        return made

    yield make
    for player in players:
        player.close()


@pytest.mark.parametrize(
    ("overrides", "row", "obs_dtype", "action", "action_dtype"),
    [
        (("env=cartpole",), 4, torch.float32, (), torch.int64),
        (("id=Picture-v0",), 192, torch.uint8, (), torch.int64),
        (("id=Mixed-v0",), 48, torch.uint8, (3,), torch.int64),
        (("id=Reaching-v0",), 2, torch.float32, (2,), torch.float32),
        (("id=Reaching-v0", "env.action_bounds=tanh"), 2, torch.float32, (2,), torch.float32),
    ],
)
def test_a_rollout_has_the_declared_shapes_and_types(player_of, overrides, row, obs_dtype, action, action_dtype):
    rollout = (
        player_of(*overrides, "env.num_envs=3", "algo.num_steps=7", "algo.per_rank_batch_size=null")
        .player.collect()
        .rollout
    )
    assert (rollout.obs.shape, rollout.obs.dtype) == ((8, 3, row), obs_dtype)
    assert (rollout.actions.shape, rollout.actions.dtype) == ((7, 3, *action), action_dtype)
    assert (rollout.rewards.shape, rollout.rewards.dtype) == ((7, 3), torch.float32)
    assert (rollout.terminated.shape, rollout.terminated.dtype) == ((7, 3), torch.bool)
    assert (rollout.truncated.shape, rollout.truncated.dtype) == ((7, 3), torch.bool)
    assert (rollout.log_prob.shape, rollout.log_prob.dtype) == ((7, 3), torch.float32)
    assert rollout.final_obs.shape == (int(rollout.truncated.sum()), row)
    assert rollout.final_obs.dtype == obs_dtype
    assert bool(rollout.valid.all())
    assert rollout.initial_state.shape == (3, 0)


def test_observations_rewards_and_ends_are_those_of_the_environments(player_of):
    rollout = player_of(*COUNTING, "algo.num_steps=9").player.collect().rollout
    # episodes of 3, 5 and 2 steps: (episode, steps taken) of each row
    seen = [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (1, 3), (1, 4), (2, 0), (2, 1)]
    for env, seed in enumerate((42, 43)):
        assert rollout.obs[:, env].tolist() == [[seed, *each] for each in seen]
        assert rollout.rewards[:, env].tolist() == [1, 2, 3, 1, 2, 3, 4, 5, 1]
        assert rollout.terminated[:, env].nonzero().flatten().tolist() == [2, 7]
    assert not rollout.truncated.any()


def test_the_last_observation_is_the_first_of_the_next_rollout(player_of):
    player = player_of(*COUNTING, "algo.num_steps=4").player
    first = player.collect().rollout
    second = player.collect().rollout
    assert torch.equal(first.obs[-1], second.obs[0])
    assert second.obs[:, 0, 1:].tolist() == [[1, 1], [1, 2], [1, 3], [1, 4], [2, 0]]


def test_a_rollout_stays_as_it_is_when_the_next_is_collected(player_of):
    player = player_of(*COUNTING, "algo.num_steps=4").player
    rollout = player.collect().rollout
    before = {name: value.clone() for name, value in vars(rollout).items()}
    player.collect()
    assert all(torch.equal(getattr(rollout, name), value) for name, value in before.items())


@pytest.mark.parametrize("end", ["truncated", "both"])
def test_final_observations_come_in_the_order_of_truncated_nonzero(player_of, end):
    player = player_of(*COUNTING, "algo.num_steps=9", f"+env.kwargs.end={end}").player
    rollout = player.collect().rollout
    assert rollout.final_obs.tolist() == [[42, 0, 3], [43, 0, 3], [42, 1, 5], [43, 1, 5]]
    assert rollout.truncated.nonzero().tolist() == [[2, 0], [2, 1], [7, 0], [7, 1]]
    assert torch.equal(rollout.terminated, rollout.truncated) == (end == "both")


def test_episode_returns_and_lengths_over_several_episodes_and_rollouts(player_of):
    player = player_of(*COUNTING, "algo.num_steps=4").player
    told = []
    for _ in range(5):
        told.append(player.collect().episodes)
    three, five, two = Episode(6.0, 3), Episode(15.0, 5), Episode(3.0, 2)
    # 20 steps each: ends after steps 3, 8, 10, 13, 18, 20
    assert told == [[three] * 2, [five] * 2, [two] * 2, [three] * 2, [five, five, two, two]]


def test_several_episodes_of_one_rollout_come_in_the_order_of_their_ends(player_of):
    player = player_of(*COUNTING, "algo.num_steps=21", "env.num_envs=1", "+env.kwargs.end=truncated").player
    episodes = player.collect().episodes
    assert [episode.length for episode in episodes] == [3, 5, 2, 3, 5, 2]
    assert [episode.episode_return for episode in episodes] == [6, 15, 3, 6, 15, 3]


def test_an_episode_longer_than_rollouts_is_counted_whole(player_of):
    player = player_of(*COUNTING, "algo.num_steps=4", "+env.kwargs.lengths=[10]").player
    lengths = []
    for _ in range(5):
        lengths.append([(episode.length, episode.episode_return) for episode in player.collect().episodes])
    assert lengths == [[], [], [(10, 55.0)] * 2, [], [(10, 55.0)] * 2]


def test_returns_are_raw_whatever_the_learner_is_to_make_of_rewards(player_of):
    player = player_of(*COUNTING, "algo.num_steps=3", "env.clip_rewards=0.5", "env.normalize_rewards=true").player
    collected = player.collect()
    assert collected.rollout.rewards[:, 0].tolist() == [1, 2, 3]
    assert collected.episodes == [Episode(6.0, 3)] * 2


@pytest.mark.parametrize("env", ["env=cartpole", "id=Picture-v0", "id=Mixed-v0", "id=Reaching-v0"])
def test_the_same_seeds_give_the_same_rollouts(player_of, env):
    first, second = player_of(env).player, player_of(env).player
    for _ in range(2):
        one, two = first.collect().rollout, second.collect().rollout
        assert equal(one, two)


def test_another_generator_seed_gives_other_actions(player_of):
    first, second = player_of("env=cartpole"), player_of("env=cartpole", seed=1)
    second.policy.load_state_dict(first.policy.state_dict())
    assert not torch.equal(first.player.collect().rollout.actions, second.player.collect().rollout.actions)


@pytest.mark.parametrize(
    "overrides", [("env=cartpole",), ("id=Picture-v0",), ("id=Mixed-v0",), ("id=Reaching-v0",),
                  ("id=Reaching-v0", "env.action_bounds=tanh")],
)  # fmt: skip
def test_log_probabilities_are_those_of_the_policy_that_acted(player_of, overrides):
    made = player_of(*overrides)
    rollout = made.player.collect().rollout
    with torch.no_grad():
        for step in range(0, rollout.actions.shape[0], 16):
            want = made.policy.actor.log_prob(rollout.obs[step], rollout.actions[step])
            torch.testing.assert_close(rollout.log_prob[step], want, atol=1e-5, rtol=1e-5)


def test_actions_are_drawn_from_the_policy_as_it_is_now(player_of):
    made = player_of("env=cartpole")
    made.player.collect()
    with torch.no_grad():
        made.policy.actor.head.bias.copy_(torch.tensor([50.0, -50.0]))
    assert not made.player.collect().rollout.actions.any()


def test_actions_follow_the_policys_probabilities(player_of):
    made = player_of(*COUNTING, "algo.num_steps=4000")
    with torch.no_grad():
        made.policy.actor.head.weight.zero_()
        made.policy.actor.head.bias.copy_(torch.tensor([0.0, np.log(3)]))
    assert float(made.player.collect().rollout.actions.double().mean()) == pytest.approx(0.75, abs=0.02)


def test_real_actions_are_kept_as_sampled_not_as_bounded(player_of):
    made = player_of("id=Reaching-v0", "algo.log_std_init=1")
    rollout = made.player.collect().rollout
    assert float(rollout.actions.abs().max()) > 2
    taken = rollout.obs[1:, 0][rollout.rewards[:, 0] < 0]
    assert float(taken.abs().max()) <= 2


def test_pictures_stay_bytes_and_are_those_of_the_environment(player_of):
    made = player_of("id=Picture-v0", "env.num_envs=1", "algo.num_steps=30", "algo.per_rank_batch_size=null")
    rollout = made.player.collect().rollout
    pictures = rollout.obs[:-1, 0].view(30, 3, 8, 8).float()
    side = (pictures[..., 4:].mean((1, 2, 3)) > pictures[..., :4].mean((1, 2, 3))).long()
    assert torch.equal((rollout.actions[:, 0] == side).float(), rollout.rewards[:, 0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8])
def test_rows_in_chunks_give_what_they_give_at_once(dtype):
    rows = torch.arange(2 * IMAGE_ROWS_AT_ONCE + 5).to(dtype).view(-1, 1)
    sizes = []

    def double(part, other):
        sizes.append(part.shape[0])
        return (part.float() + other.float()).squeeze(-1)

    assert torch.equal(in_chunks(double, rows, rows), 2 * rows.float().squeeze(-1))
    assert sizes == ([IMAGE_ROWS_AT_ONCE] * 2 + [5] if dtype == torch.uint8 else [2 * IMAGE_ROWS_AT_ONCE + 5])


def test_environments_that_cannot_be_put_back_begin_with_training_seeds_drawn_anew(player_of, monkeypatch):
    """Evaluation seeds lie at and above 2^31."""
    player = player_of("env=cartpole", "env.num_envs=64", "algo.num_steps=2").player
    state = replace(player.state(), environments=[])
    drawn = []
    reset = player._envs.reset
    monkeypatch.setattr(player._envs, "reset", lambda seeds, rows: (drawn.append(seeds), reset(seeds, rows)))
    assert player.load_state(state) == list(range(64))
    (seeds,) = drawn
    assert all(42 <= seed < 2**31 for seed in seeds)
    assert max(seeds) > 2**30
    assert len(set(seeds)) == 64
    assert player.state().lengths.tolist() == [0] * 64
