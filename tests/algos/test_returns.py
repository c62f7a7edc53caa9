import pytest
import torch

from rlexp.algos.returns import discounted_return_sums, gae


def column(*values):
    return torch.tensor(values).unsqueeze(1)


def flags(*values):
    return torch.tensor(values, dtype=torch.bool).unsqueeze(1)


NEVER = flags(0, 0, 0)


def by_definition(rewards, values, next_values, terminated, truncated, gamma, lambda_):
    """A_t = sum over l of (gamma lambda)^l delta_{t+l}, up to the end of the trajectory: float64, no recursion."""
    steps, count = rewards.shape
    advantages = torch.zeros(steps, count, dtype=torch.float64)
    for env in range(count):
        for first in range(steps):
            for step in range(first, steps):
                bootstrap = 0.0 if terminated[step, env] else float(next_values[step, env])
                delta = float(rewards[step, env]) + gamma * bootstrap - float(values[step, env])
                advantages[first, env] += (gamma * lambda_) ** (step - first) * delta
                if terminated[step, env] or truncated[step, env]:
                    break
    return advantages


def random_rollout(seed, steps=20, count=5, end=0.2):
    draw = torch.Generator().manual_seed(seed)
    rewards, values, next_values = (torch.randn(steps, count, generator=draw) for _ in range(3))
    terminated, truncated = (torch.rand(steps, count, generator=draw) < end for _ in range(2))
    return rewards, values, next_values, terminated, truncated


# gamma = 0.5, lambda = 0.5 (so that gamma * lambda = 0.25), rewards 1, 2, 3, values 4, 8, 2, next values 8, 2, 6.


def test_without_an_end_it_is_the_sum_of_discounted_deltas():
    # deltas: 1 + 4 - 4 = 1; 2 + 1 - 8 = -5; 3 + 3 - 2 = 4
    # A_2 = 4; A_1 = -5 + 0.25 * 4 = -4; A_0 = 1 + 0.25 * -4 = 0
    got = gae(column(1.0, 2, 3), column(4.0, 8, 2), column(8.0, 2, 6), NEVER, NEVER, 0.5, 0.5)
    assert got.flatten().tolist() == [0.0, -4.0, 4.0]


def test_a_terminated_step_has_no_bootstrap_and_cuts_the_recursion():
    # delta_1 = 2 - 8 = -6, and A_1 = -6; A_0 = 1 + 0.25 * -6 = -0.5
    got = gae(column(1.0, 2, 3), column(4.0, 8, 2), column(8.0, 2, 6), flags(0, 1, 0), NEVER, 0.5, 0.5)
    assert got.flatten().tolist() == [-0.5, -6.0, 4.0]


def test_a_truncated_step_is_bootstrapped_from_its_last_observation_and_cuts_the_recursion():
    # V(final) = 20: delta_1 = 2 + 10 - 8 = 4, and A_1 = 4; A_0 = 1 + 0.25 * 4 = 2
    got = gae(column(1.0, 2, 3), column(4.0, 8, 2), column(8.0, 20, 6), NEVER, flags(0, 1, 0), 0.5, 0.5)
    assert got.flatten().tolist() == [2.0, 4.0, 4.0]


def test_a_step_that_terminates_and_truncates_at_once_has_no_bootstrap():
    got = gae(column(1.0, 2, 3), column(4.0, 8, 2), column(8.0, 20, 6), flags(0, 1, 0), flags(0, 1, 0), 0.5, 0.5)
    assert got.flatten().tolist() == [-0.5, -6.0, 4.0]


def test_the_last_step_obeys_its_own_end():
    got = gae(column(1.0, 2, 3), column(4.0, 8, 2), column(8.0, 2, 6), flags(0, 0, 1), NEVER, 0.5, 0.5)
    assert got.flatten().tolist() == [1 + 0.25 * (-5 + 0.25 * 1), -5 + 0.25 * 1, 1.0]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("gamma", "lambda_"), [(0.99, 0.95), (0.9, 0.5), (1.0, 1.0), (0.0, 0.7), (0.8, 0.0)])
def test_it_equals_the_definition_summed_step_by_step(seed, gamma, lambda_):
    rollout = random_rollout(seed)
    got = gae(*rollout, gamma, lambda_)
    torch.testing.assert_close(got.double(), by_definition(*rollout, gamma, lambda_), atol=1e-5, rtol=1e-5)


def test_lambda_0_is_the_one_step_error():
    rewards, values, next_values, terminated, truncated = random_rollout(7)
    got = gae(rewards, values, next_values, terminated, truncated, 0.9, 0.0)
    torch.testing.assert_close(got, rewards + 0.9 * next_values * ~terminated - values)


def test_lambda_1_is_the_discounted_return_minus_the_value():
    rewards, values = column(1.0, 2, 3, 4), column(5.0, 6, 7, 8)
    next_values = torch.cat([values[1:], column(9.0)])
    never = flags(0, 0, 0, 0)
    got = gae(rewards, values, next_values, never, never, 0.5, 1.0)
    # G_0 = 1 + 2/2 + 3/4 + 4/8 + 9/16 = 3.8125, and so on
    assert (got + values).flatten().tolist() == [3.8125, 5.625, 7.25, 8.5]


def test_environments_do_not_mix():
    rollout = random_rollout(3)
    whole = gae(*rollout, 0.99, 0.95)
    for env in range(5):
        alone = gae(*(part[:, env : env + 1] for part in rollout), 0.99, 0.95)
        assert torch.equal(alone, whole[:, env : env + 1])


def test_the_inputs_stay_as_they_are():
    rollout = random_rollout(4)
    before = [part.clone() for part in rollout]
    gae(*rollout, 0.99, 0.95)
    assert all(torch.equal(old, new) for old, new in zip(before, rollout, strict=True))


def test_the_value_after_a_terminated_step_may_be_anything():
    rewards, values, next_values, terminated, truncated = random_rollout(5)
    poisoned = next_values.masked_fill(terminated, float("nan"))
    want = gae(rewards, values, next_values, terminated, truncated, 0.99, 0.95)
    assert torch.equal(gae(rewards, values, poisoned, terminated, truncated, 0.99, 0.95), want)


def test_discounted_sums_by_hand():
    # gamma 0.5, an end after the second step: 1; 2 + 0.5; 3 (new episode); 4 + 1.5
    sums = discounted_return_sums(column(1.0, 2, 3, 4), flags(0, 1, 0, 0), torch.zeros(1), 0.5)
    assert sums.flatten().tolist() == [1.0, 2.5, 3.0, 5.5]


def test_discounted_sums_go_on_from_the_rollout_before():
    sums = discounted_return_sums(column(1.0, 2), flags(0, 0), torch.tensor([8.0]), 0.5)
    assert sums.flatten().tolist() == [9.0, 6.5]


def test_discounted_sums_equal_their_definition():
    rewards, _, _, done, _ = random_rollout(6)
    got = discounted_return_sums(rewards, done, torch.zeros(5), 0.9)
    for env in range(5):
        for step in range(20):
            total, power = 0.0, 1.0
            for past in range(step, -1, -1):
                if past < step and done[past, env]:
                    break
                total += power * float(rewards[past, env])
                power *= 0.9
            assert float(got[step, env]) == pytest.approx(total, abs=1e-5)
