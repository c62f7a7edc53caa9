"""`env.wrappers`: order, arguments, raw returns of whole episodes, evaluation, and what is refused."""

import gymnasium
import numpy as np
import pytest

from rlexp.collect.player import Player
from rlexp.config.code import wrappers_of
from rlexp.envs import check_environment, make_environments, ordinary
from rlexp.envs.make import make_environment
from rlexp.envs.wrapper_state import load_wrapper_states, wrapper_states
from rlexp.errors import ConfigError
from rlexp.run.evaluation import evaluate
from tests.helpers import agent, build_policy, composed, generator


def layers(env):
    found = []
    while isinstance(env, gymnasium.Wrapper):
        found.append(type(env).__name__)
        env = env.env
    return found


def test_wrappers_are_applied_in_the_order_written_with_their_arguments():
    config = composed(
        "id=CartPole-v1",
        "env.wrappers=[{wrapper: time_limit, max_episode_steps: 9}, {wrapper: 'tests.own:Doubled', factor: 5.0}, "
        "flatten]",
    )
    env = make_environment(config.env)
    assert layers(env)[:4] == ["FlattenObservation", "Doubled", "TimeLimit", "RawReturns"]
    assert env.env.factor == 5.0
    env.reset(seed=0)
    assert env.step(0)[1] == pytest.approx(5.001)


@pytest.mark.parametrize("vectorization", ["sync", "async"])
def test_returns_are_the_raw_ones_of_whole_episodes_whatever_wrappers_do(vectorization):
    wrapped = "env.wrappers=[tests.own:Lives, {wrapper: 'tests.own:Doubled', factor: 3.0}]"
    plain = agent("id=CartPole-v1", "env.num_envs=3", "algo.num_steps=200")
    made = agent(
        "id=CartPole-v1", "env.num_envs=3", "algo.num_steps=200", wrapped, f"env.vectorization={vectorization}"
    )
    try:
        before, after = plain.player.collect(), made.player.collect()
    finally:
        plain.player.close()
        made.player.close()
    # The same games: the first life of each begins with the same observation, actions have the same noise.
    assert len(after.episodes) > 5
    assert all(episode.episode_return == episode.length for episode in after.episodes)  # a reward of 1 a step
    assert all(episode.shaped > 3 * episode.episode_return for episode in after.episodes)
    assert all(episode.shaped is None for episode in before.episodes)
    ends = after.rollout.terminated.sum().item()
    assert ends > 2 * len(after.episodes)  # the learner sees the end of each life


def test_an_episode_that_a_wrapper_cuts_is_whole():
    limit = "env.wrappers=[{wrapper: time_limit, max_episode_steps: 20}]"
    made = agent("id=Pendulum-v1", "env.num_envs=2", "algo.num_steps=50", "algo.per_rank_batch_size=10", limit)
    collected = made.player.collect()
    assert [episode.length for episode in collected.episodes] == [20] * 4
    rewards = collected.rollout.rewards
    assert collected.episodes[0].episode_return == pytest.approx(rewards[:20, 0].sum().item(), rel=1e-5)
    assert collected.rollout.truncated.sum().item() == 4
    made.player.close()


def test_evaluation_plays_whole_episodes_without_what_is_for_training_alone():
    words = ("id=CartPole-v1", "eval.max_episode_steps=500")
    train_only = "env.wrappers=[{wrapper: 'tests.own:Lives', train_only: true}, clip_reward]"
    results = []
    for extra in ((), (train_only,), ("env.wrappers=[tests.own:Lives, 'tests.own:Doubled']",)):
        config = composed(*words, *extra)
        config.env = ordinary(config.env)
        envs = make_environments(config.env, 1)
        policy = build_policy(config, envs.spec)
        with_zeros = {name: value * 0 for name, value in policy.state_dict().items()}
        policy.load_state_dict(with_zeros)
        results.append(evaluate(config, policy.actor, 3, seed=1))
    assert results[1].returns == results[0].returns == results[2].returns
    assert results[1].lengths == results[0].lengths == results[2].lengths


def test_an_evaluation_that_is_cut_reports_the_raw_rewards_so_far():
    config = composed("id=Pendulum-v1", "eval.max_episode_steps=10", "env.wrappers=[tests.own:Doubled]")
    plain = composed("id=Pendulum-v1", "eval.max_episode_steps=10")
    envs = make_environments(config.env, 1)
    policy = build_policy(config, envs.spec)
    assert evaluate(config, policy.actor, 2, seed=1).returns == pytest.approx(
        evaluate(plain, policy.actor, 2, seed=1).returns
    )


def test_the_state_of_wrappers_comes_back():
    def built():
        env = gymnasium.wrappers.NormalizeObservation(gymnasium.make("Pendulum-v1"))
        return [gymnasium.wrappers.FrameStackObservation(env, 3), env]

    first, second = built(), built()
    first[0].reset(seed=0)
    for _ in range(5):
        first[0].step(np.array([0.5], np.float32))
    second[0].reset(seed=1)
    load_wrapper_states(second, wrapper_states(first))
    assert second[1].obs_rms.count == first[1].obs_rms.count
    assert np.array_equal(second[1].obs_rms.mean, first[1].obs_rms.mean)
    assert np.array_equal(np.array(second[0].obs_queue), np.array(first[0].obs_queue))
    assert second[0].obs_queue.maxlen == 3


def test_atari_stands_for_several_wrappers_two_of_them_for_training_alone():
    entries = wrappers_of(composed("id=CartPole-v1", "env.wrappers=[atari]").env)
    names = [entry.path.partition(":")[2] for entry in entries]
    assert names == ["AtariPreprocessing", "EpisodicLife", "FireStart", "ClipReward", "FrameStackObservation"]
    assert [entry.train_only for entry in entries] == [False, True, False, True, False]


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("flaten", "env.wrappers[0]: flaten is not known; did you mean flatten?"),
        ("gymnasium.wrappers.FlattenObservation", "write gymnasium.wrappers:FlattenObservation"),
        ("{flatten: {}}", "names no wrapper; write a name, a path package.module:Class, or {wrapper:"),
        ("{wrapper: flatten, train_only: 3}", "train_only=3 is not allowed"),
        ("{wrapper: atari, frame_skip: 2}", "atari stands for several wrappers and takes no arguments"),
    ],
)
def test_an_entry_that_is_no_wrapper_is_refused_at_composition(entry, said):
    with pytest.raises(ConfigError) as error:
        composed("id=CartPole-v1", f"env.wrappers=[{entry}]")
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("tests.own:Doubledd", "tests.own has no Doubledd; did you mean tests.own:Doubled?"),
        ("no_such_module:Wrapper", "there is no module no_such_module"),
        ("json:loads", "is function, but a class derived from gymnasium.core.Wrapper is needed"),
        ("{wrapper: 'tests.own:Doubled', fctor: 1}", "does not wrap this environment: TypeError"),
        ("episodic_life", "is for Atari games, but CartPoleEnv is none"),
        ("minigrid", "is for MiniGrid's observations"),
    ],
)
def test_a_wrapper_that_does_not_fit_is_refused_before_the_start(entry, said):
    config = composed("id=CartPole-v1", f"env.wrappers=[{entry}]")
    with pytest.raises(ConfigError) as error:
        make_environment(config.env)
    assert said in str(error.value)


@pytest.mark.parametrize("word", ["env.vectorization=vector", "env.backend=envpool", "env.backend=torch"])
def test_environments_that_are_stepped_all_at_once_take_no_wrappers(word):
    with pytest.raises(ConfigError, match=r"env\.wrappers"):
        check_environment(composed("id=CartPole-v1", "env.wrappers=[flatten]", word))


def test_a_player_of_wrapped_environments_keeps_its_shaped_returns_between_rollouts():
    made = agent(
        "id=CartPole-v1",
        "env.num_envs=1",
        "algo.num_steps=5",
        "algo.per_rank_batch_size=5",
        "env.wrappers=[tests.own:Doubled]",
    )
    state = [made.player.collect() for _ in range(3)] and made.player.state()
    again = Player(
        make_environments(made.config.env, 1, seeds=[42]),
        [42],
        made.policy.actor,
        made.config.algo.num_steps,
        generator(0),
    )
    assert again.load_state(state) == []
    assert again.state().returns.tolist() == state.returns.tolist()
    made.player.close()


def test_the_state_of_a_file_reaches_no_attribute_but_a_wrappers_own():
    env = gymnasium.wrappers.RescaleAction(gymnasium.make("Pendulum-v1"), -1.0, 1.0)
    before, name = env.env, type(env).__name__
    hostile = {"0": {"env": {"value": 3}, "__class__": {"object": {"reset": {"value": 3}}}, "mine": {"value": 4}}}
    load_wrapper_states([env], hostile)
    assert env.env is before and type(env).__name__ == name and callable(type(env).reset) and env.mine == 4


def test_a_wrapper_that_changes_a_space_is_not_left_out_of_evaluation():
    wrapper = "{wrapper: 'gymnasium.wrappers:TimeAwareObservation', train_only: true}"
    with pytest.raises(ConfigError, match="TimeAwareObservation changes the spaces, so evaluation cannot leave it out"):
        check_environment(composed("id=CartPole-v1", f"env.wrappers=[{wrapper}]"))
    assert check_environment(composed("id=CartPole-v1", "env.wrappers=[clip_reward]")).observation.vector_size == 4
