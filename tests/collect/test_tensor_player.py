"""The player of environments of tensors hands over rollouts that gymnasium's environments could have given."""

import gymnasium
import numpy as np
import pytest
import torch

from rlexp.collect.tensor_player import TensorPlayer
from rlexp.envs import check_environment
from rlexp.envs.actions import environment_actions
from rlexp.envs.tensors import tensor_environment
from rlexp.learn.compiler import compiler_found
from tests.helpers import build_policy, composed, learner

FIELDS = ("obs", "actions", "rewards", "terminated", "truncated", "log_prob", "final_obs", "valid", "initial_state")
LIMIT = 15


def player_of(*overrides: str, seed: int = 0, compiled: bool = False, device: str = "cpu") -> TensorPlayer:
    return made_of(*overrides, seed=seed, compiled=compiled, device=device)[1]


def made_of(*overrides: str, seed: int = 0, compiled: bool = False, device: str = "cpu"):
    """Return the agent, and a player of 3 environments that are cut after 15 steps, 40 steps a rollout."""
    config = composed(
        "env.num_envs=3", "algo.num_steps=40", "algo.per_rank_batch_size=null", "env.backend=torch",
        f"env.max_episode_steps={LIMIT}", *overrides,
    )  # fmt: skip
    spec = check_environment(config)
    torch.manual_seed(seed)
    policy = build_policy(config, spec).to(device)
    return policy, TensorPlayer(
        tensor_environment(config.env.id), config.env.max_episode_steps, config.env.num_envs, policy.actor,
        config.algo.num_steps, torch.Generator(device).manual_seed(seed), compile_steps=compiled,
    )  # fmt: skip


def state_seen(env_id: str, obs: torch.Tensor) -> np.ndarray:
    """Return the state that looks like `obs`."""
    row = obs.double().numpy()
    if env_id == "Pendulum-v1":
        return np.array([np.arctan2(row[1], row[0]), row[2]])
    if env_id == "Acrobot-v1":
        return np.array([np.arctan2(row[1], row[0]), np.arctan2(row[3], row[2]), row[4], row[5]])
    return row


def assert_equal_rollouts(one, other, **tolerance):
    for name in FIELDS:
        torch.testing.assert_close(getattr(one, name), getattr(other, name), **tolerance)


@pytest.mark.parametrize(
    "overrides",
    [("env=cartpole",), ("env=mountaincar",), ("env=acrobot",), ("env=pendulum", "algo.log_std_init=1"),
     ("env=pendulum", "env.action_bounds=tanh")],
)  # fmt: skip
def test_a_rollout_is_what_gymnasium_answers_to_its_actions(overrides):
    config, made = composed(*overrides), player_of(*overrides)
    made.collect()
    rollout, spec = made.collect().rollout, check_environment(config)
    bounds = config.env.action_bounds
    env = gymnasium.make(config.env.id).unwrapped
    final, ends = iter(rollout.final_obs), 0
    finals = {tuple(place): next(final) for place in rollout.truncated.nonzero().tolist()}
    for i in range(3):
        env.reset(seed=0)
        for step in range(40):
            env.state = state_seen(config.env.id, rollout.obs[step, i])
            taken = environment_actions(rollout.actions[step, i : i + 1].numpy(), spec, bounds)[0]
            obs, reward, terminated, _, _ = env.step(taken)
            assert rollout.rewards[step, i].item() == pytest.approx(float(reward), rel=1e-5, abs=1e-6)
            assert rollout.terminated[step, i].item() == terminated
            if (step, i) in finals:
                np.testing.assert_allclose(finals[step, i].numpy(), obs, rtol=1e-4, atol=1e-5)
            if terminated or (step, i) in finals:
                ends += 1
                env.reset(seed=0)  # which forgets that the pole fell
            else:
                np.testing.assert_allclose(rollout.obs[step + 1, i].numpy(), obs, rtol=1e-4, atol=1e-5)
    assert ends >= 6


def test_episodes_are_cut_at_the_time_limit_and_start_anew():
    rollout = player_of("env=mountaincar").collect().rollout
    assert rollout.truncated[:, 0].nonzero().flatten().tolist() == [LIMIT - 1, 2 * LIMIT - 1]
    assert rollout.final_obs.shape == (6, 2)
    assert bool((rollout.obs[LIMIT, :, 1] == 0).all())  # at rest
    assert not torch.equal(rollout.final_obs[:3], rollout.obs[LIMIT])


def test_a_rollout_has_the_shapes_and_types_of_any_other():
    rollout = player_of("env=pendulum").collect().rollout
    shapes = {name: (tuple(getattr(rollout, name).shape), getattr(rollout, name).dtype) for name in FIELDS}
    assert shapes == {
        "obs": ((41, 3, 3), torch.float32),
        "actions": ((40, 3, 1), torch.float32),
        "rewards": ((40, 3), torch.float32),
        "terminated": ((40, 3), torch.bool),
        "truncated": ((40, 3), torch.bool),
        "log_prob": ((40, 3), torch.float32),
        "final_obs": ((6, 3), torch.float32),
        "valid": ((40, 3), torch.bool),
        "initial_state": ((3, 0), torch.float32),
    }
    assert bool(rollout.valid.all())


def test_the_next_rollout_resumes_where_the_last_one_ended():
    made = player_of("env=cartpole")
    assert torch.equal(made.collect().rollout.obs[-1], made.collect().rollout.obs[0])


def test_log_probabilities_are_those_of_the_policy_that_acted():
    made = player_of("env=cartpole")
    rollout = made.collect().rollout
    with torch.no_grad():
        expected = made._actor.log_prob(rollout.obs[:-1].flatten(0, 1), rollout.actions.flatten())
    torch.testing.assert_close(rollout.log_prob.flatten(), expected)


def test_a_seed_gives_the_same_rollouts_and_another_one_others():
    one, same, other = (player_of("env=cartpole", seed=seed) for seed in (1, 1, 2))
    for _ in range(2):
        first = one.collect().rollout
        assert_equal_rollouts(first, same.collect().rollout, rtol=0, atol=0)
    assert not torch.equal(first.obs, other.collect().rollout.obs)


@pytest.mark.parametrize("env", ["cartpole", "mountaincar"])
def test_episodes_are_those_that_the_rewards_and_ends_tell(env):
    made = player_of(f"env={env}", "algo.num_steps=13", "env.max_episode_steps=17")
    under_way = [[0.0, 0] for _ in range(3)]
    seen = 0
    for _ in range(6):
        collected, expected = made.collect(), []
        rollout = collected.rollout
        done = rollout.terminated | rollout.truncated
        for step in range(13):
            for i in range(3):
                under_way[i][0] += rollout.rewards[step, i].item()
                under_way[i][1] += 1
                if done[step, i]:
                    expected.append(tuple(under_way[i]))
                    under_way[i] = [0.0, 0]
        assert [(episode.episode_return, episode.length) for episode in collected.episodes] == expected
        seen += len(expected)
    assert seen >= 12


def test_a_player_resumes_exactly_from_a_state():
    made, other = player_of("env=acrobot", seed=3), player_of("env=acrobot", seed=3)
    made.collect()
    state = made.state()
    collected = [made.collect() for _ in range(2)]
    other.load_state(state)
    for one in collected:
        again = other.collect()
        assert_equal_rollouts(one.rollout, again.rollout, rtol=0, atol=0)
        assert one.episodes == again.episodes
    assert collected[-1].episodes
    assert all(isinstance(value, torch.Tensor) for value in vars(state).values())


def test_a_state_is_not_changed_by_what_follows():
    made = player_of("env=cartpole")
    state = made.state()
    before = {name: value.clone() for name, value in vars(state).items()}
    made.collect()
    assert all(torch.equal(getattr(state, name), value) for name, value in before.items())


def test_actions_are_drawn_from_the_policy_as_it_is_now():
    made = player_of("env=cartpole")
    made.collect()
    with torch.no_grad():
        made._actor.head.bias.copy_(torch.tensor([50.0, -50.0]))
    assert not made.collect().rollout.actions.any()


@pytest.mark.parametrize("steps", [40, 7, 12])
def test_steps_in_the_pieces_that_are_compiled_are_the_steps_at_once(steps):
    """Pieces of 8, 7 and 6 steps; the function is not compiled here."""
    whole, pieces = (player_of("env=cartpole", f"algo.num_steps={steps}") for _ in range(2))
    pieces._compiled = pieces._steps
    for _ in range(3):
        assert_equal_rollouts(whole.collect().rollout, pieces.collect().rollout, rtol=0, atol=0)


# Compiled


@pytest.mark.slow
@pytest.mark.skipif(not compiler_found(torch.device("cpu")), reason="no C++ compiler")
@pytest.mark.parametrize(
    "overrides",
    [("env=cartpole", "env.normalize_observations=true"), ("env=pendulum", "env.action_bounds=tanh"),
     ("env=mountaincar", "env.clip_observations=0.5"), ("env=acrobot", "algo.num_steps=7")],
)  # fmt: skip
def test_a_compiled_rollout_equals_an_eager_one(overrides, fabric):
    """After an update weights and statistics have changed."""
    policies, (eager, compiled) = zip(*(made_of(*overrides, compiled=choice) for choice in (False, True)), strict=True)
    for _ in range(2):
        one, other = eager.collect(), compiled.collect()
        assert_equal_rollouts(one.rollout, other.rollout, rtol=1e-3, atol=1e-4)
        assert [episode.length for episode in one.episodes] == [episode.length for episode in other.episodes]
        teacher = learner(composed(*overrides, "env.num_envs=3", "algo.per_rank_batch_size=20"), policies[0], fabric)
        teacher.update(one.rollout, 1.0)
        policies[1].load_state_dict(policies[0].state_dict())


@pytest.mark.gpu
@pytest.mark.parametrize("compiled", [False, True])
def test_a_rollout_stays_on_the_gpu_and_obeys_the_rules(compiled):
    made = player_of("env=cartpole", device="cuda", compiled=compiled)
    rollouts = [made.collect().rollout for _ in range(3)]  # all kept: one must not be written over by the next
    rules = tensor_environment("CartPole-v1")
    for rollout in rollouts:
        assert {getattr(rollout, name).device.type for name in FIELDS} == {"cuda"}
        going_on = ~(rollout.terminated | rollout.truncated).flatten()
        reached = rules.step(rollout.obs[:-1].double().flatten(0, 1), rollout.actions.flatten()).states.float()
        torch.testing.assert_close(rollout.obs[1:].flatten(0, 1)[going_on], reached[going_on], rtol=1e-4, atol=1e-5)
