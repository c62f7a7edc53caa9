"""Environments of tensors are those of gymnasium: dynamics, rewards, ends, time limits, first states, new episodes."""

import gymnasium
import numpy as np
import pytest
import torch

from rlexp.envs.tensors import TIME_LIMITS, tensor_environment
from rlexp.envs.tensors.base import transition

IDS = sorted(TIME_LIMITS)
EPISODES = 2
FREE_STEPS = {"Acrobot-v1": 20, "CartPole-v0": 200, "CartPole-v1": 500, "MountainCar-v0": 200, "Pendulum-v1": 100}
"""Steps over which rounding may grow and still be nothing; the Acrobot is chaotic."""


def states_of(env) -> torch.Tensor:
    return torch.tensor(np.asarray(env.unwrapped.state, np.float64)).unsqueeze(0)


def actions_of(action) -> torch.Tensor:
    return torch.as_tensor(action).unsqueeze(0)


def episodes(env_id):
    """Yield gymnasium's environment, the action and the state before each of its steps in some random episodes."""
    env = gymnasium.make(env_id)
    env.action_space.seed(3)
    for seed in range(EPISODES):
        obs, _ = env.reset(seed=seed)
        ended = False
        elapsed = 0
        while not ended:
            before, action = states_of(env), env.action_space.sample()
            obs, reward, terminated, truncated, _ = env.step(action)
            yield env, before, elapsed, action, obs, reward, terminated, truncated
            ended, elapsed = terminated or truncated, elapsed + 1
    env.close()


@pytest.mark.parametrize("env_id", IDS)
def test_every_step_of_whole_episodes_is_gymnasiums(env_id):
    rules, ends = tensor_environment(env_id), 0
    noise = torch.zeros((1, rules.noise_size), dtype=torch.float64)
    for env, before, elapsed, action, obs, reward, terminated, truncated in episodes(env_id):
        reached = rules.step(before, actions_of(action))
        torch.testing.assert_close(reached.states, states_of(env), rtol=1e-12, atol=1e-12)
        assert reached.rewards.item() == pytest.approx(float(reward), rel=1e-12, abs=1e-12)
        step = transition(rules, TIME_LIMITS[env_id], before, torch.tensor([elapsed]), actions_of(action), noise)
        assert (step.terminated.item(), step.truncated.item()) == (terminated, truncated)
        assert step.reached_obs.dtype == torch.float32
        np.testing.assert_allclose(step.reached_obs[0].numpy(), obs, rtol=1e-6, atol=1e-7)
        assert step.elapsed.item() == (0 if terminated or truncated else elapsed + 1)
        ends += terminated or truncated
    assert ends == EPISODES


@pytest.mark.parametrize("env_id", IDS)
def test_an_episode_goes_the_same_way_when_each_resumes_by_itself(env_id):
    rules, env = tensor_environment(env_id), gymnasium.make(env_id)
    env.reset(seed=5)
    env.action_space.seed(5)
    states = states_of(env)
    for _ in range(FREE_STEPS[env_id]):
        action = env.action_space.sample()
        _, _, terminated, truncated, _ = env.step(action)
        states = rules.step(states, actions_of(action)).states
        torch.testing.assert_close(states, states_of(env), rtol=1e-7, atol=1e-7)
        if terminated or truncated:
            break
    env.close()


def test_acrobots_angles_are_turned_back_by_whole_turns():
    rules, env = tensor_environment("Acrobot-v1"), gymnasium.make("Acrobot-v1").unwrapped
    env.reset(seed=0)
    generator = np.random.default_rng(0)
    for _ in range(500):
        fast = generator.uniform([-np.pi, -np.pi, -12, -28], [np.pi, np.pi, 12, 28])
        env.state = fast
        env.step(2)
        reached = rules.step(torch.tensor(fast).unsqueeze(0), torch.tensor([2])).states
        torch.testing.assert_close(reached, states_of(env), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("action", [0, 2])
def test_the_mountain_car_is_stopped_at_the_wall_and_ends_at_the_goal(action):
    rules, env = tensor_environment("MountainCar-v0"), gymnasium.make("MountainCar-v0").unwrapped
    env.reset(seed=0)
    ended = []
    for position, velocity in [(-1.2, -0.05), (-1.19, -0.07), (0.45, 0.07), (0.49, 0.0), (0.55, -0.001), (0.6, 0.07)]:
        env.state = np.array([position, velocity])
        _, _, terminated, _, _ = env.step(action)
        reached = rules.step(torch.tensor([[position, velocity]], dtype=torch.float64), torch.tensor([action]))
        torch.testing.assert_close(reached.states, states_of(env), rtol=1e-12, atol=1e-15)
        assert reached.terminated.item() == terminated
        ended.append(terminated)
    assert any(ended)
    assert not all(ended)


def test_the_pendulums_torque_is_kept_within_its_bounds():
    rules = tensor_environment("Pendulum-v1")
    states = torch.tensor([[0.3, 1.0], [3.0, -2.0]], dtype=torch.float64)
    within, beyond = (rules.step(states, torch.full((2, 1), torque)) for torque in (2.0, 9.0))
    assert torch.equal(within.states, beyond.states)
    assert torch.equal(within.rewards, beyond.rewards)


@pytest.mark.parametrize("env_id", IDS)
def test_first_states_have_gymnasiums_range(env_id):
    rules, env = tensor_environment(env_id), gymnasium.make(env_id)
    noise = torch.rand((4000, rules.noise_size), dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    ours = rules.observe(rules.start(noise))
    theirs = torch.tensor(np.stack([env.reset(seed=seed)[0] for seed in range(1000)]))
    env.close()
    spread = theirs.std(0)
    assert ours.dtype == theirs.dtype
    for quantity in (lambda rows: rows.amin(0), lambda rows: rows.amax(0), lambda rows: rows.mean(0)):
        torch.testing.assert_close(quantity(ours), quantity(theirs), rtol=0, atol=0.1 * float(spread.max()))
    torch.testing.assert_close(ours.std(0), spread, rtol=0.1, atol=1e-6)


@pytest.mark.parametrize("env_id", IDS)
def test_time_limits_are_gymnasiums(env_id):
    assert gymnasium.spec(env_id).max_episode_steps == TIME_LIMITS[env_id]


def test_an_episode_that_ends_starts_anew_and_its_true_end_is_kept():
    rules = tensor_environment("CartPole-v1")
    states = torch.tensor([[2.39, 5.0, 0.0, 0.0], [0.0] * 4, [0.0] * 4], dtype=torch.float64)
    noise = torch.full((3, 4), 0.75, dtype=torch.float64)
    step = transition(rules, 10, states, torch.tensor([4, 9, 4]), torch.tensor([1, 1, 1]), noise)
    assert step.terminated.tolist() == [True, False, False]
    assert step.truncated.tolist() == [False, True, False]
    assert step.elapsed.tolist() == [0, 0, 5]
    torch.testing.assert_close(step.obs[:2], torch.full((2, 4), 0.025))
    assert torch.equal(step.reached_obs, rules.step(states, torch.tensor([1, 1, 1])).states.float())
    assert torch.equal(step.obs[2], step.reached_obs[2])
