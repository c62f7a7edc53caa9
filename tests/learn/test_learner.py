from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from lightning.fabric import Fabric

from rlexp.algos.losses import normalized
from rlexp.collect.player import Player
from rlexp.data.rollout import Rollout
from rlexp.data.state import LearnerState
from rlexp.files.codec import decode, encode
from rlexp.learn.fresh import Fresh
from tests.helpers import agent, composed, generator, learner, recording, state_of

CARTPOLE = ("env=cartpole", "env.num_envs=3", "algo.num_steps=35", "algo.per_rank_batch_size=32")
ONE_STEP = ("algo.per_rank_batch_size=null", "algo.update_epochs=1")


@pytest.fixture
def made(fabric):
    """Return a function that gives config, policy, learner and player."""
    players = []

    def make(*overrides, record=False):
        config, _, policy, player = agent(*overrides)
        players.append(player)
        if record:
            recording(config)
        return config, policy, learner(config, policy, fabric), player

    yield make
    for player in players:
        player.close()


# Steps and minibatches


@pytest.mark.parametrize("env", ["env=cartpole", "env=pendulum", "id=Picture-v0", "id=Mixed-v0"])
def test_on_the_first_step_the_ratio_is_one(made, env):
    _, _, teacher, player = made(env, *ONE_STEP, "algo.normalize_advantages=false")
    metrics = teacher.update(player.collect().rollout, 1.0)
    assert abs(metrics.approx_kl) < 1e-6
    assert metrics.clip_fraction == 0


def test_on_later_steps_the_ratio_moves(made):
    _, _, teacher, player = made(*CARTPOLE, "algo.learning_rate=1e-2")
    assert teacher.update(player.collect().rollout, 1.0).approx_kl > 1e-4


@pytest.mark.parametrize(("size", "sizes"), [(32, [26, 26, 26, 27]), (35, [35] * 3), (104, [52, 53]), ("null", [105])])
def test_each_epochs_minibatches_cover_every_row_once_and_differ_by_one_at_most(made, size, sizes):
    config, _, teacher, player = made(*CARTPOLE[:-1], f"algo.per_rank_batch_size={size}", record=True)
    rollout = player.collect().rollout
    teacher.update(rollout, 1.0)
    rows = {tuple(row) for row in rollout.obs[:-1].flatten(0, 1).tolist()}
    assert len(rows) == 105
    count = len(sizes)
    assert len(config.algo.seen) == 4 * count
    for start in range(0, 4 * count, count):
        epoch = config.algo.seen[start : start + count]
        assert sorted(len(batch.obs) for batch in epoch) == sizes
        assert {tuple(row) for batch in epoch for row in batch.obs.tolist()} == rows


def test_the_columns_of_a_minibatch_belong_together(made):
    config, _, teacher, player = made(*CARTPOLE, "algo.update_epochs=1", record=True)
    rollout = player.collect().rollout
    teacher.update(rollout, 1.0)
    index = {tuple(row): i for i, row in enumerate(rollout.obs[:-1].flatten(0, 1).tolist())}
    for batch in config.algo.seen:
        rows = torch.tensor([index[tuple(row)] for row in batch.obs.tolist()])
        assert torch.equal(batch.actions, rollout.actions.flatten()[rows])
        assert torch.equal(batch.log_prob, rollout.log_prob.flatten()[rows])


def test_every_epoch_has_an_order_of_its_own(made):
    config, _, teacher, player = made(*CARTPOLE, "algo.update_epochs=2", record=True)
    teacher.update(player.collect().rollout, 1.0)
    assert not torch.equal(config.algo.seen[0].obs, config.algo.seen[4].obs)


@pytest.mark.parametrize("normalize", [True, False])
def test_advantages_are_normalised_on_request_in_each_minibatch(made, normalize):
    config, _, teacher, player = made(*CARTPOLE, f"algo.normalize_advantages={normalize}", record=True)
    teacher.update(player.collect().rollout, 1.0)
    means = torch.stack([batch.advantages.mean() for batch in config.algo.seen])
    deviations = torch.stack([batch.advantages.std() for batch in config.algo.seen])
    normal = bool((means.abs() < 1e-5).all()) and bool(((deviations - 1).abs() < 1e-4).all())
    assert normal == normalize


def test_normalising_advantages_changes_the_weights_that_come_out(made):
    results = []
    for normalize in (True, False):
        _, policy, teacher, player = made(*CARTPOLE, f"algo.normalize_advantages={normalize}")
        teacher.update(player.collect().rollout, 1.0)
        results.append(state_of(policy))
    assert not torch.allclose(*results)


def test_a_minibatch_of_one_row_is_not_normalised_away(made):
    _, policy, teacher, player = made(*CARTPOLE[:2], "algo.num_steps=2", "algo.per_rank_batch_size=1")
    metrics = teacher.update(player.collect().rollout, 1.0)
    assert metrics.policy_loss != 0
    assert bool(state_of(policy).isfinite().all())


def test_target_kl_ends_the_update_after_the_epoch_that_exceeds_it(made):
    config, _, teacher, player = made(*CARTPOLE, "algo.target_kl=1e-9", "algo.update_epochs=7", record=True)
    teacher.update(player.collect().rollout, 1.0)
    assert len(config.algo.seen) == 4


def test_a_generous_target_kl_never_ends_an_update(made):
    config, _, teacher, player = made(*CARTPOLE, "algo.target_kl=1e9", "algo.update_epochs=7", record=True)
    teacher.update(player.collect().rollout, 1.0)
    assert len(config.algo.seen) == 28


@pytest.mark.parametrize(("anneal", "rate"), [(True, 0.0025), (False, 0.01)])
def test_the_learning_rate_is_annealed_on_request(made, anneal, rate):
    _, _, teacher, player = made(*CARTPOLE, f"algo.anneal_lr={anneal}", "algo.learning_rate=0.01")
    assert teacher.update(player.collect().rollout, 0.25).learning_rate == pytest.approx(rate)


def test_the_annealed_rate_is_the_one_that_steps_are_taken_with(made):
    moved = []
    for left in (1.0, 0.5):
        _, policy, teacher, player = made(*CARTPOLE, *ONE_STEP, "algo.optimizer=sgd", "algo.learning_rate=0.1")
        before = state_of(policy)
        teacher.update(player.collect().rollout, left)
        moved.append(state_of(policy) - before)
    torch.testing.assert_close(moved[0], 2 * moved[1], atol=1e-6, rtol=1e-3)


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "rmsprop", "sgd"])
def test_every_optimizer_moves_the_weights(made, optimizer):
    _, policy, teacher, player = made(*CARTPOLE, f"algo.optimizer={optimizer}", "algo.learning_rate=0.01")
    before = state_of(policy)
    teacher.update(player.collect().rollout, 1.0)
    after = state_of(policy)
    assert bool(after.isfinite().all())
    assert float((after - before).abs().max()) > 1e-4


def test_gradients_are_clipped_to_the_norm_of_the_settings(made):
    _, policy, teacher, player = made(
        *CARTPOLE, *ONE_STEP, "algo.optimizer=sgd", "algo.learning_rate=1", "algo.anneal_lr=false",
        "algo.max_grad_norm=0.1",
    )  # fmt: skip
    before = state_of(policy)
    metrics = teacher.update(player.collect().rollout, 1.0)
    assert metrics.grad_norm > 0.1
    assert float((state_of(policy) - before).norm()) == pytest.approx(0.1, rel=1e-3)


def test_a_gradient_norm_of_zero_in_the_settings_turns_clipping_off(made):
    _, policy, teacher, player = made(
        *CARTPOLE, *ONE_STEP, "algo.optimizer=sgd", "algo.learning_rate=1", "algo.max_grad_norm=0"
    )
    before = state_of(policy)
    metrics = teacher.update(player.collect().rollout, 1.0)
    assert float((state_of(policy) - before).norm()) == pytest.approx(metrics.grad_norm, rel=1e-3)


def test_one_sgd_step_equals_torch_by_hand(made):
    """The whole path, targets, loss, clipping and step, written a second time with torch's own tools."""
    config, policy, teacher, player = made(
        *CARTPOLE, *ONE_STEP, "algo.optimizer=sgd", "algo.learning_rate=0.5", "algo.ent_coef=0.1",
    )  # fmt: skip
    rollout = player.collect().rollout
    other = agent(*CARTPOLE).policy
    other.load_state_dict(policy.state_dict())
    obs, actions = rollout.obs[:-1].flatten(0, 1), rollout.actions.flatten()
    with torch.no_grad():
        values = other.values(rollout.obs.flatten(0, 1)).view(36, 3)
        advantages, carried = torch.zeros(35, 3), torch.zeros(3)
        for t in reversed(range(35)):
            going_on = (~rollout.terminated[t]).float()
            delta = rollout.rewards[t] + 0.99 * values[t + 1] * going_on - values[t]
            carried = delta + 0.99 * 0.95 * going_on * carried
            advantages[t] = carried
    assert not rollout.truncated.any()
    returns, advantages = (advantages + values[:-1]).flatten(), advantages.flatten()
    distribution = torch.distributions.Categorical(logits=other.actor(obs))
    normal = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
    policy_loss = -((distribution.log_prob(actions) - rollout.log_prob.flatten()).exp() * normal).mean()
    value_loss = torch.nn.functional.mse_loss(other.values(obs), returns)
    loss = policy_loss + config.algo.vf_coef * value_loss - 0.1 * distribution.entropy().mean()
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(other.parameters(), config.algo.max_grad_norm)
    torch.optim.SGD(other.parameters(), lr=0.5).step()

    metrics = teacher.update(rollout, 1.0)
    torch.testing.assert_close(state_of(policy), state_of(other), atol=1e-6, rtol=1e-5)
    assert metrics.value_loss == pytest.approx(float(value_loss.detach()), rel=1e-4)
    assert metrics.entropy_loss == pytest.approx(-float(distribution.entropy().mean().detach()), rel=1e-5)
    assert metrics.grad_norm == pytest.approx(float(norm), rel=1e-4)
    assert metrics.value_mean == pytest.approx(float(values[:-1].mean()), rel=1e-4)
    explained = 1 - np.var((returns - values[:-1].flatten()).numpy()) / np.var(returns.numpy())
    assert metrics.explained_variance == pytest.approx(explained, abs=1e-5)


@pytest.mark.parametrize("algo", ["ppo", "a2c"])
def test_the_same_seed_gives_the_same_weights_and_metrics(made, algo):
    results = []
    for _ in range(2):
        _, policy, teacher, player = made("env=cartpole", f"algo={algo}", "env.normalize_rewards=true")
        metrics = [teacher.update(player.collect().rollout, 1.0) for _ in range(3)]
        results.append((state_of(policy), metrics))
    assert torch.equal(results[0][0], results[1][0])
    assert results[0][1] == results[1][1]


# Rewards and observations


REWARDS = ("id=Counting-v0", "env.num_envs=2", "algo.num_steps=9", "algo.per_rank_batch_size=null")


@pytest.mark.parametrize("more", [(), ("env.normalize_rewards=true", "env.clip_rewards=0.5")])
def test_a_rollout_is_never_rewritten(made, more):
    _, _, teacher, player = made(*REWARDS, "+env.kwargs.end=truncated", "env.normalize_observations=true", *more)
    rollout = player.collect().rollout
    before = {name: value.clone() for name, value in vars(rollout).items()}
    teacher.update(rollout, 1.0)
    assert all(torch.equal(getattr(rollout, name), value) for name, value in before.items())


def returns_of(made, *more, updates=1):
    """Return the targets of the values with gamma 0: they are the rewards as the loss sees them, in order of time."""
    config, _, teacher, player = made(
        *REWARDS, "algo.gamma=0", "algo.gae_lambda=0", "algo.update_epochs=1", *more, record=True
    )
    for _ in range(updates):
        rollout = player.collect().rollout
        teacher.update(rollout, 1.0)
    rows = {
        tuple(row): float(value)
        for row, value in zip(config.algo.seen[-1].obs.tolist(), config.algo.seen[-1].returns, strict=True)
    }
    return [rows[tuple(row)] for row in rollout.obs[:-1, 0].tolist()]


PAID = [1, 2, 3, 1, 2, 3, 4, 5, 1]


def test_rewards_reach_the_loss_as_they_are_without_settings(made):
    assert returns_of(made) == pytest.approx(PAID, abs=1e-5)


def test_rewards_are_clipped_on_request(made):
    assert returns_of(made, "env.clip_rewards=2.5") == pytest.approx([min(r, 2.5) for r in PAID], abs=1e-5)


def test_normalised_rewards_are_divided_by_the_deviation_of_discounted_sums(made):
    # with gamma 0 the discounted sums are the rewards themselves
    scale = np.sqrt(np.var(PAID) + 1e-8)
    assert returns_of(made, "env.normalize_rewards=true") == pytest.approx([r / scale for r in PAID], rel=1e-4)


def test_normalised_rewards_are_clipped_after_normalising(made):
    scale = np.sqrt(np.var(PAID) + 1e-8)
    got = returns_of(made, "env.normalize_rewards=true", "env.clip_rewards=2")
    assert got == pytest.approx([min(r / scale, 2) for r in PAID], rel=1e-4)


def rewarded(made, rewards, *more):
    """Return what normalised rewards [T, 1] of one environment become."""
    _, _, teacher, player = made(
        "id=Counting-v0", "env.num_envs=1", f"algo.num_steps={len(rewards)}", "algo.per_rank_batch_size=null",
        "env.normalize_rewards=true", *more,
    )  # fmt: skip
    rollout = replace(player.collect().rollout, rewards=torch.tensor(rewards).view(-1, 1))
    return teacher.rewards.scaled(rollout)[:, 0].tolist()


@pytest.mark.parametrize("rewards", [[7.0], [1e6], [-2.0] * 5, [-1e-2] * 3])
def test_a_first_rollout_without_spread_bounds_normalised_rewards(made, rewards):
    # without the clip, with gamma 0: a tenth of the root mean square is the least divisor
    sign = rewards[0] / abs(rewards[0])
    got = rewarded(made, rewards, "algo.gamma=0", "env.clip_rewards=null")
    assert got == pytest.approx([10 * sign] * len(rewards), rel=0.01)


def test_no_reward_at_all_stays_none(made):
    assert rewarded(made, [0.0] * 6) == [0.0] * 6


def test_a_reward_after_ten_thousand_zeros_is_clipped_at_ten_by_default(made):
    rewards = [0.0] * 10_000 + [5.0]
    assert rewarded(made, rewards)[-1] == 10
    # p (1 - p) r^2 is the variance of one r among n
    share = 1 / 10_001
    want = 5 / np.sqrt(25 * share * (1 - share))
    assert rewarded(made, rewards, "env.clip_rewards=null")[-1] == pytest.approx(want, rel=1e-3)


def test_equal_advantages_are_normalised_to_zero_not_to_their_rounding_errors():
    for value in (0.1, 1000.3, -7e5):
        rows = torch.full((333,), value)
        assert float(normalized(rows).abs().max()) < 0.05
    rows = torch.randn(100, generator=generator()) + 1000
    want = (rows.double() - rows.double().mean()) / rows.double().std()
    torch.testing.assert_close(normalized(rows).double(), want, atol=1e-3, rtol=1e-3)


def test_equal_returns_leave_no_variance_to_explain(made):
    _, _, teacher, player = made("env=cartpole", "algo.gamma=0", "algo.gae_lambda=0")
    rollout = player.collect().rollout
    metrics = teacher.update(replace(rollout, rewards=torch.full_like(rollout.rewards, 0.1)), 1.0)
    assert metrics.explained_variance == 0


def test_the_first_normalised_rollout_is_bounded_too(made):
    _, policy, _, _ = made("env=cartpole", "env.normalize_observations=true")
    huge = torch.tensor([[1e6, -1e6, 1.0, 0.0]])
    assert policy.actor.preprocessor(huge)[0].tolist() == [[10, -10, 1, 0]]


@pytest.mark.parametrize(
    ("words", "observations", "rewards"),
    [
        ((), None, None),
        (("env.normalize_observations=true",), 10, None),
        (("env.normalize_rewards=true",), None, 10),
        (("env.normalize_observations=true", "env.clip_observations=null"), None, None),
        (("env.normalize_rewards=true", "env.clip_rewards=null"), None, None),
        (("env.clip_observations=5", "env.clip_rewards=0.5"), 5, 0.5),
    ],
)
def test_auto_clips_at_ten_what_is_normalised(words, observations, rewards):
    env = composed(*words).env
    assert (env.observation_limit, env.reward_limit) == (observations, rewards)


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true", "32-true"])
@pytest.mark.parametrize("env", ["env=cartpole", "env=pendulum"])
def test_recorded_log_probabilities_are_those_of_the_distribution_that_was_sampled(precision, env):
    """The noise of the rollout and the parameters at each step, in the precision of training, give its actions.

    The weights are large, so that float32 and bfloat16 choose other actions.
    """
    fabric = Fabric(accelerator="cpu", devices=1, precision=precision)
    config, envs, policy, _ = agent(env, f"fabric.precision={precision}", *ONE_STEP, "algo.normalize_advantages=false")
    with torch.no_grad():
        policy.actor.head.weight.normal_(0, 3, generator=generator())
    player = Player(envs, [1, 2, 3, 4], policy.actor, 64, generator(5), fabric.autocast)
    rollout, noise = player.collect().rollout, policy.actor.distribution.noise((64, 4), generator(5))
    player.close()
    with torch.no_grad(), fabric.autocast():
        params = torch.stack([policy.actor(rows).float() for rows in rollout.obs[:-1]])
    if env == "env=cartpole":
        actions = (params + noise).argmax(-1)
        want = torch.distributions.Categorical(logits=params).log_prob(actions)
    else:
        normal = torch.distributions.Normal(params[..., :1], params[..., 1:].exp())
        actions = normal.loc + normal.scale * noise
        want = normal.log_prob(actions).sum(-1)
    torch.testing.assert_close(rollout.actions, actions, atol=1e-2, rtol=0)
    torch.testing.assert_close(rollout.log_prob, want, atol=0.03, rtol=0.01)
    assert abs(learner(config, policy, fabric).update(rollout, 1.0).approx_kl) < 1e-4


def test_reward_statistics_carry_discounted_sums_from_rollout_to_rollout(made):
    _, _, teacher, player = made(*REWARDS, "env.normalize_rewards=true", "algo.gamma=0.5")
    sums, total = [], 0.0
    for _ in range(3):
        rollout = player.collect().rollout
        teacher.update(rollout, 1.0)
        for reward, done in zip(rollout.rewards[:, 0].tolist(), rollout.terminated[:, 0].tolist(), strict=True):
            total += reward
            sums.append(total)
            total = 0.0 if done else 0.5 * total
    assert float(teacher.reward_moments.mean) == pytest.approx(np.mean(sums), rel=1e-5)
    assert float(teacher.reward_moments.variance()) == pytest.approx(np.var(sums), rel=1e-5)
    assert int(teacher.reward_moments.count) == 2 * 27


def test_observation_statistics_are_those_of_all_observations_acted_on(made):
    _, policy, teacher, player = made("env=cartpole", "env.normalize_observations=true")
    seen = []
    for _ in range(3):
        rollout = player.collect().rollout
        seen.append(rollout.obs[:-1].flatten(0, 1).double().numpy())
        teacher.update(rollout, 1.0)
    moments = policy.actor.preprocessor.normalizer.moments
    np.testing.assert_allclose(moments.mean, np.concatenate(seen).mean(0), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(moments.variance(), np.concatenate(seen).var(0), rtol=1e-9)


def test_the_vector_of_a_dict_with_images_is_normalised_too(made):
    _, policy, teacher, player = made("id=Mixed-v0", "env.normalize_observations=true")
    rollout = player.collect().rollout
    teacher.update(rollout, 1.0)
    places = rollout.obs[:-1, :, :8].contiguous().view(torch.float32).flatten(0, 1).double()
    np.testing.assert_allclose(policy.actor.preprocessor.normalizer.moments.mean, places.mean(0), rtol=1e-9)


def test_with_normalised_observations_the_first_ratio_is_one_in_every_update(made):
    _, _, teacher, player = made("env=cartpole", *ONE_STEP, "env.normalize_observations=true")
    for _ in range(3):
        assert abs(teacher.update(player.collect().rollout, 1.0).approx_kl) < 1e-6


# Rows that are no transition


def with_invalid_rows(made, poison, ending):
    """Return weights, metrics and minibatches after a rollout with an invalid row after each end of an episode.

    Environment 0 ends with step 2, environment 1 with step 4; the rows after them hold `poison`, and so does what an
    environment that resets on the next step has no use for.
    """
    config, policy, teacher, _ = made(
        "env=cartpole", "env.num_envs=2", "algo.num_steps=8", "algo.per_rank_batch_size=5",
        "env.normalize_observations=true", "env.normalize_rewards=true", record=True,
    )  # fmt: skip
    draw = generator(1)
    obs, rewards = torch.randn(9, 2, 4, generator=draw), torch.randn(8, 2, generator=draw)
    log_prob, final = -torch.rand(8, 2, generator=draw), torch.randn(2, 4, generator=draw)
    ended, valid = torch.zeros(8, 2, dtype=torch.bool), torch.ones(8, 2, dtype=torch.bool)
    for step, env in ((2, 0), (4, 1)):
        ended[step, env] = True
        valid[step + 1, env] = False
    obs[:-1][~valid], rewards[~valid], log_prob[~valid] = poison, poison, poison
    never = torch.zeros_like(ended)
    rollout = Rollout(
        obs=obs,
        actions=torch.randint(2, (8, 2), generator=draw),
        rewards=rewards,
        terminated=ended if ending == "terminated" else never,
        truncated=ended if ending == "truncated" else never,
        log_prob=log_prob,
        final_obs=final if ending == "truncated" else final[:0],
        valid=valid,
        initial_state=torch.empty(2, 0),
    )
    metrics = [teacher.update(rollout, 1.0) for _ in range(2)]
    return state_of(policy), teacher.reward_moments.variance(), metrics, config.algo.seen, rollout


@pytest.mark.parametrize("ending", ["terminated", "truncated"])
def test_invalid_rows_reach_no_loss_and_no_statistic(made, ending):
    weights, variance, metrics, seen, rollout = with_invalid_rows(made, 0.0, ending)
    poisoned = with_invalid_rows(made, float("nan"), ending)
    assert bool(weights.isfinite().all())
    assert torch.equal(weights, poisoned[0])
    assert torch.equal(variance, poisoned[1])
    assert metrics == poisoned[2]
    assert all(np.isfinite(value) for each in metrics for value in vars(each).values())
    rows = {tuple(row) for row in rollout.obs[:-1][rollout.valid].tolist()}
    for start in range(0, len(seen), 3):
        epoch = seen[start : start + 3]
        assert sorted(len(batch.obs) for batch in epoch) == [4, 5, 5]
        assert {tuple(row) for batch in epoch for row in batch.obs.tolist()} == rows


def test_an_invalid_row_separates_episodes_like_their_end(made):
    """Advantages equal those of the two episodes, each alone."""
    config, policy, teacher, _ = made(
        "env=cartpole", "env.num_envs=1", "algo.num_steps=5", *ONE_STEP, "algo.normalize_advantages=false", record=True
    )
    draw = generator(2)
    obs, rewards = torch.randn(6, 1, 4, generator=draw), torch.randn(5, 1, generator=draw)
    whole = Rollout(
        obs=obs,
        actions=torch.zeros(5, 1, dtype=torch.int64),
        rewards=rewards,
        terminated=torch.tensor([[0], [1], [0], [0], [0]]).bool(),
        truncated=torch.zeros(5, 1, dtype=torch.bool),
        log_prob=torch.zeros(5, 1),
        final_obs=obs.new_empty(0, 4),
        valid=torch.tensor([[1], [1], [0], [1], [1]]).bool(),
        initial_state=torch.empty(1, 0),
    )
    with torch.no_grad():
        values = policy.values(obs[:, 0]).tolist()
    r, gamma, lambda_ = rewards[:, 0].tolist(), config.algo.gamma, config.algo.gae_lambda
    a4 = r[4] + gamma * values[5] - values[4]
    a3 = r[3] + gamma * values[4] - values[3] + gamma * lambda_ * a4
    a1 = r[1] - values[1]
    a0 = r[0] + gamma * values[1] - values[0] + gamma * lambda_ * a1
    teacher.update(whole, 1.0)
    batch = config.algo.seen[0]
    got = {tuple(row): float(value) for row, value in zip(batch.obs.tolist(), batch.advantages, strict=True)}
    want = [a0, a1, a3, a4]
    assert [got[tuple(obs[t, 0].tolist())] for t in (0, 1, 3, 4)] == pytest.approx(want, abs=1e-5)


# What a critic learns


def value_learned(made, as_termination):
    _, policy, teacher, player = made(
        "id=Constant-v0", "env.num_envs=4", "algo.num_steps=40", "algo.per_rank_batch_size=null", "algo.gamma=0.9",
        "algo.learning_rate=0.02", "algo.update_epochs=10", "algo.clip_vloss=false", "algo.max_grad_norm=0",
    )  # fmt: skip
    updates = 40
    for update in range(updates):
        rollout = player.collect().rollout
        assert int(rollout.truncated.sum()) == 16
        assert not rollout.terminated.any()
        if as_termination:
            never = torch.zeros_like(rollout.truncated)
            rollout = replace(rollout, terminated=rollout.truncated, truncated=never, final_obs=rollout.final_obs[:0])
        teacher.update(rollout, 1 - update / updates)
    return float(policy.values(torch.ones(1, 1)).detach())


def test_the_value_of_constant_reward_under_a_time_limit_is_that_of_a_life_without_end(made):
    assert value_learned(made, as_termination=False) == pytest.approx(1 / (1 - 0.9), rel=0.02)


def test_the_value_would_be_far_less_if_truncation_counted_as_termination(made):
    """The test above can fail: what it learns from is the difference."""
    assert value_learned(made, as_termination=True) < 7


# State


def test_the_state_holds_plain_types_and_tensors_alone(made):
    _, _, teacher, player = made("env=cartpole", "env.normalize_rewards=true")
    teacher.update(player.collect().rollout, 1.0)
    state = decode(encode(teacher.learner.state()), LearnerState)
    assert float(state.reward_moments["count"]) == float(teacher.reward_moments.count)
    assert state.optimizers["policy"]["state"][0]["step"] == 16


def test_what_is_reported_of_a_rollout_is_of_its_valid_rows():
    draw = torch.Generator().manual_seed(0)
    values, returns = torch.randn(9, generator=draw), torch.randn(9, generator=draw)
    weight = torch.tensor([1.0, 1, 0, 1, 0, 1, 1, 1, 1])
    found = Fresh.report(SimpleNamespace(_batch=SimpleNamespace(values=values, returns=returns, weight=weight)))
    own = weight == 1
    expected = 1 - (returns[own] - values[own]).var(correction=0) / returns[own].var(correction=0)
    torch.testing.assert_close(found, torch.stack([expected, values[own].mean()]))
