import dataclasses
import math

import pytest
import torch

from rlexp.algos import A2C, PPO
from rlexp.algos.base import Sizes
from rlexp.algos.losses import (
    approximate_kl,
    clipped_surrogate,
    clipped_value_loss,
    explained_variance,
    mean,
    normalized,
    policy_gradient,
    value_loss,
)
from rlexp.algos.on_policy import OnPolicy
from rlexp.data.batch import Batch, Prediction
from rlexp.errors import ConfigError


def vector(*values, grad=False):
    return torch.tensor(values, dtype=torch.float64, requires_grad=grad)


def range_of(clip_coef):
    return torch.tensor(clip_coef, dtype=torch.float64)


def batch(log_prob, advantages, returns, values):
    rows = len(log_prob)
    return Batch(torch.zeros(rows, 1), torch.zeros(rows), log_prob, advantages, returns, values)


# Four rows: ratios 1.5 and 0.5 with advantages 2 and -2 each, epsilon 0.2.
RATIOS, ADVANTAGES = (1.5, 1.5, 0.5, 0.5), (2.0, -2.0, 2.0, -2.0)


def test_clipped_surrogate_by_hand():
    # minima: 1.2 * 2 (clipped); 1.5 * -2; 0.5 * 2; 0.8 * -2 (clipped): 2.4 - 3 + 1 - 1.6 = -1.2
    assert float(clipped_surrogate(vector(*RATIOS), vector(*ADVANTAGES), range_of(0.2))) == pytest.approx(1.2 / 4)


def test_clipped_surrogate_has_no_gradient_where_clipping_acts_and_minus_the_advantage_elsewhere():
    ratio = vector(*RATIOS, grad=True)
    clipped_surrogate(ratio, vector(*ADVANTAGES), range_of(0.2)).backward()
    assert ratio.grad.tolist() == [0.0, 2.0 / 4, -2.0 / 4, 0.0]


def test_inside_the_range_the_surrogate_is_the_plain_ratio_times_advantage():
    ratio = vector(1.1, 0.9, 1.0, grad=True)
    loss = clipped_surrogate(ratio, vector(1.0, 2.0, -3.0), range_of(0.2))
    assert loss.item() == pytest.approx(-(1.1 + 1.8 - 3.0) / 3)
    loss.backward()
    assert ratio.grad.tolist() == pytest.approx([-1 / 3, -2 / 3, 1.0])


def test_clipped_surrogate_equals_the_maximum_of_losses_of_the_37_details():
    draw = torch.Generator().manual_seed(0)
    ratio, advantages = (torch.randn(100, generator=draw, dtype=torch.float64) for _ in range(2))
    ratio = ratio.abs() * 2
    second = torch.max(-advantages * ratio, -advantages * torch.clamp(ratio, 0.8, 1.2)).mean()
    torch.testing.assert_close(clipped_surrogate(ratio, advantages, range_of(0.2)), second)


def test_policy_gradient_by_hand():
    log_prob = vector(-1.0, -2.0, grad=True)
    loss = policy_gradient(log_prob, log_prob.detach(), vector(3.0, -1.0))
    assert loss.item() == pytest.approx((3 - 2) / 2)
    loss.backward()
    assert log_prob.grad.tolist() == [-1.5, 0.5]


def test_actions_of_an_older_policy_give_the_policy_gradient_of_the_policy_now():
    """Every action of a choice among three, as often as the older policy takes it: the mean gradient is exact.

    The policy gradient is worked out a second way: the derivative of the mean reward sum_a pi(a) A(a) itself.
    """
    old, advantages = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64), vector(2.0, -1.0, 0.5)
    logits = vector(0.3, -0.4, 0.9, grad=True)
    counts = (10 * old).long()
    rows = torch.arange(3).repeat_interleave(counts)
    policy_gradient(logits.log_softmax(0)[rows], old.log()[rows], advantages[rows]).backward()
    truth = vector(0.3, -0.4, 0.9, grad=True)
    (-(truth.softmax(0) * advantages).sum()).backward()
    torch.testing.assert_close(logits.grad, truth.grad)


def test_importance_weights_end_at_ten():
    log_prob = vector(0.0, 0.0, grad=True)
    policy_gradient(log_prob, vector(-50.0, -math.log(4)), vector(1.0, 1.0)).backward()
    assert log_prob.grad.tolist() == pytest.approx([-10 / 2, -4 / 2])


def test_value_loss_is_the_mean_square_without_a_half():
    assert float(value_loss(vector(1.0, 4.0), vector(3.0, 4.0))) == 2.0


def test_clipped_value_loss_counts_the_larger_error():
    # old values 0, epsilon 0.2, returns 1:
    #   value 0.5: clipped to 0.2; errors 0.25 and 0.64, so 0.64
    #   value -3: clipped to -0.2; errors 16 and 1.44, so 16
    #   value 0.1: not clipped; 0.81
    values = vector(0.5, -3.0, 0.1, grad=True)
    loss = clipped_value_loss(values, vector(0.0, 0.0, 0.0), vector(1.0, 1.0, 1.0), range_of(0.2))
    assert loss.item() == pytest.approx((0.64 + 16 + 0.81) / 3)
    loss.backward()
    assert values.grad.tolist() == pytest.approx([0.0, 2 * -4 / 3, 2 * -0.9 / 3])


def test_clipped_value_loss_is_the_plain_one_for_a_wide_range():
    values, old, returns = vector(0.5, -3.0), vector(0.0, 1.0), vector(1.0, 2.0)
    assert float(clipped_value_loss(values, old, returns, range_of(100.0))) == float(value_loss(values, returns))


def test_approximate_kl_by_hand():
    log_ratio = vector(math.log(2), math.log(0.5))
    assert float(approximate_kl(log_ratio)) == pytest.approx((1 - math.log(2) - 0.5 + math.log(2)) / 2)


def test_approximate_kl_is_never_negative_and_zero_for_equal_policies():
    draw = torch.Generator().manual_seed(0)
    rows = torch.randn(1000, generator=draw, dtype=torch.float64)
    assert all(float(approximate_kl(row.view(1))) >= 0 for row in rows)
    assert float(approximate_kl(torch.zeros(3))) == 0


def test_approximate_kl_is_unbiased():
    # actions from p (old); log q/p averaged over p gives KL(p || q)
    p, q = torch.tensor([0.7, 0.3], dtype=torch.float64), torch.tensor([0.4, 0.6], dtype=torch.float64)
    truth = float((p * (p / q).log()).sum())
    actions = torch.multinomial(p, 400_000, replacement=True, generator=torch.Generator().manual_seed(0))
    assert float(approximate_kl((q / p).log()[actions])) == pytest.approx(truth, rel=0.01)


def at(clip_coef, ent_coef=0.1):
    return {"learning_rate": torch.tensor(1e-3), "ent_coef": torch.tensor(ent_coef), "clip_coef": range_of(clip_coef)}


@pytest.mark.parametrize("clip_vloss", [False, True])
def test_ppo_loss_by_hand(clip_vloss):
    algo = PPO(clip_coef=0.2, vf_coef=0.5, ent_coef=0.1, clip_vloss=clip_vloss)
    new = Prediction(log_prob=vector(*RATIOS).log(), entropy=vector(1, 2, 3, 4), values=vector(0.5, -3.0, 0.1, 1.0))
    rows = batch(vector(0, 0, 0, 0), vector(*ADVANTAGES), vector(1, 1, 1, 1), vector(0, 0, 0, 1))
    terms = algo.loss(new, rows, at(0.2))
    value = (0.64 if clip_vloss else 0.25) + 16 + 0.81 + 0
    kl = sum(ratio - 1 - math.log(ratio) for ratio in RATIOS) / 4
    assert float(terms.scalars["policy_loss"]) == pytest.approx(0.3)
    assert float(terms.scalars["value_loss"]) == pytest.approx(value / 4)
    assert float(terms.scalars["entropy_loss"]) == pytest.approx(-2.5)
    assert float(terms.scalars["approx_kl"]) == pytest.approx(kl)
    assert float(terms.scalars["clip_fraction"]) == 1.0
    assert float(terms.loss) == pytest.approx(0.3 + 0.5 * value / 4 - 0.1 * 2.5)


def test_ppo_clips_by_the_range_it_is_given_not_by_its_setting():
    algo = PPO(clip_coef=0.2, ent_coef=0.0, vf_coef=0.0)
    new = Prediction(log_prob=vector(1.5).log(), entropy=vector(0), values=vector(0))
    rows = batch(vector(0), vector(2), vector(0), vector(0))
    assert float(algo.loss(new, rows, at(0.1, 0.0)).scalars["policy_loss"]) == pytest.approx(-2.2)
    assert float(algo.loss(new, rows, at(0.6, 0.0)).scalars["policy_loss"]) == pytest.approx(-3.0)


def test_clip_fraction_counts_the_rows_out_of_range():
    new = Prediction(log_prob=vector(1.5, 1.1, 0.9, 0.7).log(), entropy=vector(0, 0, 0, 0), values=vector(0, 0, 0, 0))
    rows = batch(vector(0, 0, 0, 0), vector(1, 1, 1, 1), vector(0, 0, 0, 0), vector(0, 0, 0, 0))
    assert float(PPO().loss(new, rows, at(0.2)).scalars["clip_fraction"]) == 0.5


def test_a2c_loss_by_hand():
    algo = A2C(vf_coef=0.25, ent_coef=0.1)
    new = Prediction(log_prob=vector(-1, -2), entropy=vector(1, 3), values=vector(1, 4))
    terms = algo.loss(new, batch(vector(-1, -2), vector(3, -1), vector(3, 4), vector(0, 0)), at(0.0))
    assert float(terms.scalars["policy_loss"]) == pytest.approx(0.5)
    assert float(terms.scalars["value_loss"]) == pytest.approx(2.0)
    assert float(terms.scalars["entropy_loss"]) == pytest.approx(-2.0)
    assert float(terms.loss) == pytest.approx(0.5 + 0.25 * 2 - 0.1 * 2)
    assert float(terms.scalars["approx_kl"]) == 0.0
    assert "clip_fraction" not in terms.scalars


@pytest.mark.parametrize("algo", [PPO(ent_coef=0.5), A2C(ent_coef=0.5)])
def test_descending_the_loss_raises_the_entropy(algo):
    entropy = vector(1.0, 1.0, grad=True)
    new = Prediction(log_prob=vector(-1, -1), entropy=entropy, values=vector(0, 0))
    algo.loss(new, batch(vector(-1, -1), vector(0, 0), vector(0, 0), vector(0, 0)), at(0.2, 0.5)).loss.backward()
    assert entropy.grad.tolist() == [-0.25, -0.25]


@pytest.mark.parametrize("algo", [PPO(), A2C()])
def test_what_is_reported_carries_no_gradient_of_the_kl(algo):
    new = Prediction(log_prob=vector(-1, -2, grad=True), entropy=vector(1, 3), values=vector(1, 4))
    terms = algo.loss(new, batch(vector(-1, -1), vector(3, -1), vector(3, 4), vector(0, 0)), at(0.2))
    for name in ("approx_kl", "clip_fraction"):
        assert name not in terms.scalars or not terms.scalars[name].requires_grad
    assert terms.scalars.keys() == {scalar.name for scalar in algo.scalars}


def test_the_clip_range_is_annealed_only_on_request():
    assert PPO(clip_coef=0.2, anneal_clip_coef=True).knobs(0.25)["clip_coef"] == pytest.approx(0.05)
    assert PPO(clip_coef=0.2).knobs(0.25)["clip_coef"] == 0.2


def test_the_kl_limit_is_target_kl():
    assert PPO().memory(None).target_kl is None
    assert PPO(target_kl=0.03).memory(None).target_kl == 0.03
    assert A2C().memory(None).target_kl is None


def test_large_advantages_that_are_equal_except_rounding_become_nearly_nothing():
    """Around 10,000 float32 steps by 0.001; scaled to a standard deviation of 1 that would be all noise."""
    advantages = torch.tensor([1e4, 1e4, 1e4, 1e4 + 0.001])
    assert float(normalized(advantages).abs().max()) < 0.02
    assert normalized(torch.tensor([2.0, 2.0])).tolist() == [0.0, 0.0]


def test_advantages_that_differ_are_scaled_to_mean_0_and_standard_deviation_1():
    got = normalized(torch.tensor([1.0, 2.0, 6.0]))
    assert got.tolist() == pytest.approx([-2 / 7**0.5, -1 / 7**0.5, 3 / 7**0.5], rel=1e-5)


def test_explained_variance_by_hand():
    values, returns = torch.tensor([1.0, 3.0, 5.0]), torch.tensor([2.0, 3.0, 7.0])
    errors, spread = torch.tensor([1.0, 0.0, 2.0]), torch.tensor([-2.0, -1.0, 3.0])
    expected = 1 - float(errors.var(correction=0)) / float(spread.square().mean())
    assert float(explained_variance(values, returns)) == pytest.approx(expected)
    assert float(explained_variance(values, torch.full((3,), 5.0))) == 0.0
    assert float(explained_variance(values, torch.tensor([1e4, 1e4, 1e4 + 0.001]))) == 0.0


@pytest.mark.parametrize("kind", [A2C, PPO])
def test_a_setting_that_an_algorithm_declares_again_keeps_its_range(kind):
    shared = {item.name: item.metadata for item in dataclasses.fields(OnPolicy)}
    for item in dataclasses.fields(kind):
        if item.name in shared:
            bounds = ("ge", "gt", "le", "lt", "choices")
            assert [item.metadata[b] for b in bounds] == [shared[item.name][b] for b in bounds], item.name


def sizes(least, most):
    return Sizes(steps_per_update=64, least_rows=least, most_rows=most, num_envs=2, ranks=2)


@pytest.mark.parametrize(
    ("rows", "least", "most", "message"),
    [
        (5, 4, 4, "is larger than the 4 transitions that a rank gets"),
        (1, 2, 3, "makes 3 minibatches of the 3 transitions of one rank, but another has only 2"),
        (4, 4, 4, None),
        (1, 2, 2, None),
        (2, 2, 3, None),
        (None, 2, 9, None),
    ],
)
def test_a_minibatch_fits_every_rank(rows, least, most, message):
    algo = PPO(per_rank_batch_size=rows)
    if message is None:
        algo.check(sizes(least, most))
        return
    with pytest.raises(ConfigError, match=message):
        algo.check(sizes(least, most))


def test_networks_have_a_layer():
    with pytest.raises(ConfigError, match="give at least one width"):
        PPO(hidden_sizes=[]).check(sizes(4, 4))


def test_a_weighted_mean_is_over_the_weights_and_nothing_without_any():
    terms = torch.tensor([4.0, 8.0])
    assert mean(terms).item() == 6.0
    assert mean(terms, torch.tensor([1.5, 0.0])).item() == 4.0
    assert mean(terms, torch.tensor([1.0, 1.0])).item() == 6.0
    assert mean(terms, torch.tensor([0.0, 0.0])).item() == 0.0
