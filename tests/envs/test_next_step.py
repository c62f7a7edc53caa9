"""Environments that reset on the next step: the reset is no transition, and nothing learns from it or counts it."""

import envpool
import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode

from rlexp.data.rollout import Episode
from rlexp.envs import check_environment, make_environments
from rlexp.errors import ConfigError
from tests.commands import TINY, metrics, only, summary, train
from tests.helpers import agent, composed, learner, state_of

NATIVE, POOL = "env.vectorization=vector", "env.backend=envpool"
BOTH = pytest.mark.parametrize("kind", [NATIVE, POOL])
WHOLE = "algo.per_rank_batch_size=null"


@pytest.fixture
def made():
    """Return `tests.helpers.agent`, whose players are closed in the end."""
    players = []

    def make(*overrides, seed=0):
        players.append(agent(WHOLE, *overrides, seed=seed))
        return players[-1]

    yield make
    for each in players:
        each.player.close()


def equal(first, second):
    return all(torch.equal(getattr(first, name), getattr(second, name)) for name in vars(first))


# What is a transition


@BOTH
def test_the_step_after_an_episodes_end_is_no_transition_also_in_the_next_rollout(made, kind):
    player = made(kind, "env.num_envs=2", "algo.num_steps=5", "env.max_episode_steps=5").player
    first, second, third = (player.collect().rollout for _ in range(3))
    # five steps, one reset, five steps, one reset: the first reset is the first row of the second rollout
    for rollout, resets, ends in ((first, [], [4]), (second, [0], []), (third, [1], [0])):
        want = torch.ones(5, 2, dtype=torch.bool)
        want[resets] = False
        assert torch.equal(rollout.valid, want)
        assert torch.equal(rollout.rewards, want.float())  # CartPole pays 1 a step
        truncated = torch.zeros(5, 2, dtype=torch.bool)
        truncated[ends] = True
        assert torch.equal(rollout.truncated, truncated)
        assert not rollout.terminated.any()


@BOTH
def test_the_final_observation_is_the_one_that_the_last_step_returned(made, kind):
    player = made(kind, "env.num_envs=3", "algo.num_steps=13", "env.max_episode_steps=5").player
    rollout = player.collect().rollout
    assert rollout.truncated.nonzero()[:, 0].tolist() == [4, 4, 4, 10, 10, 10]
    assert torch.equal(rollout.final_obs, rollout.obs[1:][rollout.truncated])
    fresh = rollout.obs[1:][~rollout.valid]
    assert float(fresh.abs().max()) <= 0.05  # where CartPole starts
    assert float(rollout.final_obs.abs().max()) > 0.05


@BOTH
def test_episodes_have_the_lengths_and_returns_of_their_transitions(made, kind):
    player = made(kind, "env.num_envs=2", "algo.num_steps=4", "env.max_episode_steps=5").player
    told = []
    for _ in range(6):
        told.append(player.collect().episodes)
    # ends in steps 5, 11, 17 and 23
    five = [Episode(5.0, 5)] * 2
    assert told == [[], five, five, [], five, five]


def test_without_its_resets_a_native_rollout_is_that_of_single_environments(made):
    single = gymnasium.make("CartPole-v1")
    player = made(NATIVE, "env.num_envs=3", "algo.num_steps=60").player
    rollouts, episodes = [], []
    for _ in range(3):
        collected = player.collect()
        rollouts.append(collected.rollout)
        episodes += collected.episodes
    obs = torch.cat([rollout.obs[:-1] for rollout in rollouts] + [rollouts[-1].obs[-1:]])
    actions, rewards, terminated, valid = (
        torch.cat([getattr(rollout, name) for rollout in rollouts])
        for name in ("actions", "rewards", "terminated", "valid")
    )
    lengths = []
    for env in range(3):
        start = True
        for step in range(180):
            if not valid[step, env]:
                assert start, "a reset follows an end alone"
                continue
            if start:
                single.reset()
                single.unwrapped.state = obs[step, env].double().numpy()
                length = 0
            seen, reward, ended, cut, _ = single.step(int(actions[step, env]))
            length += 1
            np.testing.assert_allclose(obs[step + 1, env], seen, atol=1e-5)
            assert (reward, ended, cut) == (rewards[step, env], terminated[step, env], False)
            start = ended
            lengths += [length] * ended
        assert int((~valid[:, env]).sum()) == int(terminated[:-1, env].sum())
    assert len(lengths) > 10
    assert sorted(episode.length for episode in episodes) == sorted(lengths)
    assert all(episode.episode_return == episode.length for episode in episodes)


def test_without_its_resets_a_pooled_rollout_is_what_envpool_counts_as_steps(made):
    player = made(POOL, "env=lunarlander", "env.num_envs=2", "algo.num_steps=300").player
    collected = player.collect()
    rollout = collected.rollout
    pool = envpool.make_gymnasium("LunarLander-v3", num_envs=2, seed=[42, 43], num_threads=1)
    seen, _ = pool.reset()
    totals, want = np.zeros(2), []
    for step in range(300):
        assert torch.equal(rollout.obs[step], torch.from_numpy(seen))
        seen, rewards, terminated, truncated, infos = pool.step(rollout.actions[step].numpy())
        assert rollout.valid[step].tolist() == (infos["elapsed_step"] > 0).tolist()
        totals += rewards
        for env in (terminated | truncated).nonzero()[0]:
            want.append((infos["elapsed_step"][env], pytest.approx(totals[env], rel=1e-5)))
            totals[env] = 0
    assert len(want) > 2
    assert [(episode.length, episode.episode_return) for episode in collected.episodes] == want


# What a reset must not reach


@BOTH
def test_whatever_stands_in_a_reset_row_the_same_weights_come_out_bit_for_bit(made, fabric, kind):
    overrides = (kind, "env.num_envs=4", "algo.num_steps=30", "env.max_episode_steps=12",
                 "env.normalize_observations=true", "env.normalize_rewards=true")  # fmt: skip

    def update(poison, where):
        config, _, policy, player = made(*overrides)
        teacher, told = learner(config, policy, fabric), []
        for _ in range(3):
            rollout = player.collect().rollout
            bad = ~rollout.valid if where == "resets" else rollout.valid & rollout.valid.cumsum(0).eq(2)
            assert bad.any()
            assert rollout.valid.any()
            if poison:
                rollout.obs[:-1][bad] = float("nan")
                rollout.actions[bad] = 10**6
                rollout.rewards[bad] = float("nan")
                rollout.log_prob[bad] = 1e30
            told.append(teacher.update(rollout, 1.0))
        return state_of(policy), teacher.reward_moments.variance(), told

    clean, poisoned = update(False, "resets"), update(True, "resets")
    assert bool(clean[0].isfinite().all())
    assert torch.equal(clean[0], poisoned[0])
    assert torch.equal(clean[1], poisoned[1])
    assert clean[2] == poisoned[2]
    with pytest.raises((RuntimeError, IndexError)):  # what stands in a transition is used
        update(True, "transitions")


@BOTH
def test_the_normaliser_counts_transitions_alone(made, fabric, kind):
    config, _, policy, player = made(
        kind, "env.num_envs=2", "algo.num_steps=14", "env.max_episode_steps=6", "env.normalize_observations=true"
    )
    rollout = player.collect().rollout
    learner(config, policy, fabric).update(rollout, 1.0)
    assert int(rollout.valid.sum()) == 24
    moments = policy.actor.preprocessor.normalizer.moments
    rows = rollout.obs[:-1][rollout.valid].double()
    torch.testing.assert_close(moments.variance().double(), rows.var(0, correction=0), rtol=1e-4, atol=1e-6)


class Pair:
    """Two ranks that share data, seen from the first."""

    rank, size = 0, 2

    def mean_(self, tensor):
        pass

    def gather(self, tensor):
        return torch.stack([tensor, tensor])


def test_no_minibatch_is_empty_where_resets_leave_an_odd_number_of_rows(made, fabric):
    config, _, policy, player = made(
        NATIVE, "env.num_envs=1", "algo.num_steps=6", "env.max_episode_steps=3", "fabric.devices=2",
        "topology.share_data=true", "algo.per_rank_batch_size=1",
    )  # fmt: skip
    rollout = player.collect().rollout
    assert int(rollout.valid.sum()) == 5
    learner(config, policy, fabric, ranks=Pair()).update(rollout, 1.0)
    assert bool(state_of(policy).isfinite().all())


# Seeds


@BOTH
def test_the_same_seed_gives_the_same_rollouts_and_another_seed_others(made, kind):
    first, second, other = made(kind).player, made(kind).player, made(kind, "seed=7").player
    for _ in range(2):
        one = first.collect().rollout
        assert equal(one, second.collect().rollout)
        assert not torch.equal(one.obs, other.collect().rollout.obs)


def test_the_number_of_threads_changes_nothing(made):
    lander = (POOL, "env=lunarlander", "env.num_envs=5", "algo.num_steps=200")
    first, second = (made(*lander, f"env.threads={threads}").player for threads in (1, 3))
    for _ in range(2):
        assert equal(first.collect().rollout, second.collect().rollout)


def test_each_pooled_environment_has_a_seed_of_its_own():
    config = composed(POOL, "env.num_envs=3").env
    rows = {}
    for seeds in ([42, 43, 44], [44, 42, 7]):
        envs = make_environments(config, 3)
        out = np.zeros((3, 4), np.float32)
        envs.reset(seeds, out)
        envs.close()
        rows[tuple(seeds)] = out
    first, second = rows.values()
    assert np.array_equal(first[0], second[1])
    assert np.array_equal(first[2], second[0])
    assert len(np.unique(np.concatenate([first, second]), axis=0)) == 4


# What there is


@pytest.mark.parametrize(
    "env_id", ["Acrobot-v1", "MountainCar-v0", "Pendulum-v1", "LunarLander-v3", "BipedalWalker-v3", "FrozenLake-v1"]
)
def test_envpool_steps_the_environments_that_gymnasium_evaluates(made, env_id):
    bounds = made(POOL, "env=gym", f"env.id={env_id}", "algo.num_steps=210")
    assert bounds.envs.spec == check_environment(bounds.config)
    collected = bounds.player.collect()
    rollout = collected.rollout
    assert bool(rollout.obs.isfinite().all())
    limit = gymnasium.spec(env_id).max_episode_steps
    assert all(episode.length <= limit for episode in collected.episodes)
    if env_id == "Pendulum-v1":
        assert rollout.truncated.nonzero()[:, 0].unique().tolist() == [limit - 1]


def test_keyword_arguments_reach_the_native_environment(made):
    rollout = made(NATIVE, "+env.kwargs.sutton_barto_reward=true").player.collect().rollout
    assert torch.equal(rollout.rewards, -rollout.terminated.float())


def refusal(*overrides):
    with pytest.raises(ConfigError) as caught:
        check_environment(composed(*overrides))
    line = str(caught.value)
    assert "\n" not in line
    return line


def test_a_native_environment_that_does_not_build_is_named_with_its_reason():
    def fails(num_envs, **kwargs):
        raise ValueError("no room\n  for so many")

    gymnasium.register("Fails-v0", entry_point="tests.environments:Constant", vector_entry_point=fails)
    line = refusal("id=Fails-v0", NATIVE)
    assert "env.vectorization=vector: Fails-v0 does not build: ValueError: no room for so many" in line


@pytest.mark.parametrize("mode", [AutoresetMode.SAME_STEP, None])
def test_a_native_environment_that_resets_otherwise_is_refused(mode):
    class Otherwise(gymnasium.vector.VectorEnv):
        metadata = {} if mode is None else {"autoreset_mode": mode}

        def __init__(self, num_envs, **kwargs):
            self.num_envs = num_envs

    name = f"Otherwise{'' if mode is None else 'Same'}-v0"
    gymnasium.register(name, entry_point="tests.environments:Constant", vector_entry_point=Otherwise)
    line = refusal(f"id={name}", NATIVE)
    assert "declares autoreset_mode=" in line
    assert "give env.vectorization=sync or async" in line


def test_a_native_environment_of_other_spaces_is_refused():
    def cartpole(num_envs, **kwargs):
        return gymnasium.make_vec("CartPole-v1", num_envs, vectorization_mode="vector_entry_point")

    gymnasium.register("Foreign-v0", entry_point="tests.environments:Constant", vector_entry_point=cartpole)
    assert "the spaces of Foreign-v0 are not those of gymnasium's" in refusal("id=Foreign-v0", NATIVE)


# The command


def test_the_command_trains_on_a_native_environment_and_videos_the_test_episode(tmp_path):
    done = train(*TINY, NATIVE, "capture_video=true", "hydra.run.dir=RUN", cwd=tmp_path)
    assert "capture_video=true records the test episode only" in done.stdout
    only(tmp_path / "RUN" / "videos" / "test", "*.mp4")
    assert not (tmp_path / "RUN" / "videos" / "train").exists()
    values = summary(tmp_path / "RUN")
    assert (values["state"], values["env_steps"], len(values["eval"]["returns"])) == ("completed", 512, 3)
    for row in metrics(tmp_path / "RUN"):
        assert row["Rewards/rew_avg"] == row["Game/ep_len_avg"]  # CartPole pays 1 a step


@pytest.mark.slow
def test_the_command_trains_on_a_pool_with_a_player_and_two_trainers(tmp_path):
    train(*TINY, POOL, "topology=decoupled", "fabric.devices=3", "eval.episodes=1", "hydra.run.dir=RUN", cwd=tmp_path)
    values = summary(tmp_path / "RUN")
    assert (values["state"], values["world_size"], values["env_steps"]) == ("completed", 3, 512)
    assert all(np.isfinite(float(row["Loss/value_loss"])) for row in metrics(tmp_path / "RUN"))
