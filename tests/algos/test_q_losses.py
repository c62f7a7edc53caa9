"""Losses from a replay memory, held against the equations written out transition by transition."""

import math
from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from rlexp.algos import DQN, SAC, TD3
from rlexp.algos.base import Inputs, Sizes
from rlexp.algos.q_losses import bootstrapped, expected_soft_value, huber, projected, soft_value, squared_error
from rlexp.data.replay import ReplayBatch
from rlexp.data.spaces import ActionSpec, ObservationSpec, SpaceSpec
from rlexp.models.q_network import NoisyLinear

ROWS = 24
REAL = SpaceSpec(ObservationSpec(3, (), ()), ActionSpec("box", (), (2,), (), (-2.0, -1.0), (2.0, 1.0)))
CHOICES = SpaceSpec(ObservationSpec(3, (), ()), ActionSpec("discrete", (3,), (), (0,), (), ()))


def batch_of(spec, noise, weighted=True, seed=4):
    draw = torch.Generator().manual_seed(seed)
    actions = torch.randint(3, (ROWS,), generator=draw)
    if spec.action.low:
        actions = 2 * torch.rand(ROWS, len(spec.action.low), generator=draw) - 1
    return ReplayBatch(
        obs=torch.randn(ROWS, 3, generator=draw),
        actions=actions,
        rewards=torch.randn(ROWS, generator=draw),
        next_obs=torch.randn(ROWS, 3, generator=draw),
        discounts=0.9 * (torch.rand(ROWS, generator=draw) > 0.3),
        noise=torch.randn(ROWS, noise, generator=draw),
        weight=torch.rand(ROWS, generator=draw) if weighted else None,
    )


def built(algorithm, spec, weighted=True):
    """Return an agent whose target networks differ from the networks, a batch and the losses by their parts."""
    torch.manual_seed(5)
    agent = algorithm.build(spec, Inputs(False, None, "clip"))
    with torch.no_grad():
        for part in agent.targets().values():
            for parameter in part.parameters():
                parameter.add_(0.3 * torch.randn_like(parameter))
    batch = batch_of(spec, algorithm.memory(agent).noise, weighted)
    knobs = {name: torch.tensor(value) for name, value in algorithm.knobs(1.0).items()}
    return (
        agent,
        batch,
        {one.part: lambda given, one=one: one.loss(agent, given, knobs) for one in algorithm.objectives()},
    )


def weighted_mean(values, batch):
    return (values if batch.weight is None else values * batch.weight).mean()


def squashed(params, normal):
    """Return actions and their log density, by torch's distributions."""
    mean, log_std = params.chunk(2, -1)
    base = torch.distributions.Normal(mean, log_std.clamp(-20, 2).exp())
    tanh = torch.distributions.TransformedDistribution(base, torch.distributions.TanhTransform())
    before = mean + base.scale * normal
    return before.tanh(), tanh.log_prob(before.tanh()).sum(-1)


def test_a_return_is_bootstrapped_by_its_discount():
    assert bootstrapped(torch.tensor([1.0, 2.0]), torch.tensor([0.5, 0.0]), torch.tensor([4.0, 9.0])).tolist() == [3, 2]


def test_errors_of_critics_add_up():
    errors, weight = torch.tensor([[1.0, 2.0], [3.0, 0.0]]), torch.tensor([1.0, 0.5])
    assert squared_error(errors).item() == pytest.approx((1 + 4 + 9) / 2)
    assert squared_error(errors, weight).item() == pytest.approx((1 + 9 + 0.5 * 4) / 2)
    assert squared_error(errors[0], weight).item() == pytest.approx((1 + 0.5 * 4) / 2)


def test_huber_is_torchs_own():
    errors = torch.linspace(-3, 3, 25, requires_grad=True)
    other = errors.detach().clone().requires_grad_()
    own, theirs = huber(errors), functional.huber_loss(other, torch.zeros(25))
    (slope,), (expected,) = torch.autograd.grad(own, errors), torch.autograd.grad(theirs, other)
    torch.testing.assert_close(own, theirs)
    torch.testing.assert_close(slope, expected)


def test_soft_values_by_hand():
    values, alpha = torch.tensor([[1.0, 3.0]]), torch.tensor(0.5)
    log_probs = torch.tensor([[0.25, 0.75]]).log()
    expected = 0.25 * (1 - 0.5 * math.log(0.25)) + 0.75 * (3 - 0.5 * math.log(0.75))
    assert expected_soft_value(values, log_probs, alpha).item() == pytest.approx(expected)
    assert soft_value(torch.tensor([2.0]), torch.tensor([-3.0]), alpha).item() == pytest.approx(3.5)


@pytest.mark.parametrize("seed", range(3))
def test_the_projection_is_algorithm_1_of_c51(seed):
    draw = torch.Generator().manual_seed(seed)
    support, step = torch.linspace(-2, 3, 11), 0.5
    chances = torch.rand(ROWS, 11, generator=draw).softmax(-1)
    rewards, discounts = 3 * torch.randn(ROWS, generator=draw), torch.rand(ROWS, generator=draw).round() * 0.9
    expected = torch.zeros(ROWS, 11)
    for row in range(ROWS):
        for atom in range(11):
            moved = min(max((rewards[row] + discounts[row] * support[atom]).item(), -2.0), 3.0)
            place = (moved + 2) / step
            low, high = math.floor(place), math.ceil(place)
            if low == high:
                expected[row, low] += chances[row, atom]
            else:
                expected[row, low] += chances[row, atom] * (high - place)
                expected[row, high] += chances[row, atom] * (place - low)
    found = projected(chances, rewards, discounts, support)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.sum(-1), torch.ones(ROWS))


SACS = {
    "two critics": {},
    "one critic": {"num_critics": 1},
    "critics drawn (REDQ)": {"num_critics": 5, "target_critics": 2, "policy_critics": "mean"},
    "norm (DroQ)": {"critic_layer_norm": True},
}


@pytest.mark.parametrize("settings", SACS.values(), ids=SACS)
@pytest.mark.parametrize("weighted", [False, True])
def test_the_losses_of_sac(settings, weighted):
    algorithm = SAC(hidden_sizes=[8], alpha=0.3, **settings)
    agent, batch, losses = built(algorithm, REAL, weighted)
    critics, targets, alpha = agent.critics, agent.target_critics, 0.3
    found = losses["critics"](batch)
    with torch.no_grad():
        actions, log_prob = squashed(agent.actor(batch.next_obs), batch.noise[:, :2])
        values = targets(batch.next_obs, [], actions)
        chosen = range(algorithm.num_critics)
        if algorithm.target_critics:
            chosen = batch.noise[: algorithm.num_critics, -1].argsort()[: algorithm.target_critics].tolist()
            assert len(set(chosen)) == 2
        least = torch.stack([values[number] for number in chosen]).min(0).values
        goal = batch.rewards + batch.discounts * (least - alpha * log_prob)
    own = critics(batch.obs, [], batch.actions)
    expected = sum(weighted_mean(0.5 * (own[number] - goal) ** 2, batch) for number in range(algorithm.num_critics))
    torch.testing.assert_close(found.loss, expected)
    torch.testing.assert_close(found.errors, (own - goal).abs().mean(0))
    torch.testing.assert_close(found.scalars["q_mean"], own.mean())

    actions, log_prob = squashed(agent.actor(batch.obs), batch.noise[:, 2:4])
    values = critics(batch.obs, [], actions)
    judged = values.mean(0) if algorithm.policy_critics == "mean" else values.min(0).values
    policy = losses["actor"](batch)
    torch.testing.assert_close(policy.loss, (alpha * log_prob - judged).mean())
    torch.testing.assert_close(policy.scalars["entropy"], -log_prob.mean())


def test_the_temperature_rises_where_the_entropy_is_below_its_target():
    for spec, target in ((REAL, -2.0), (CHOICES, 0.5 * math.log(3))):
        algorithm = SAC(hidden_sizes=[8])
        agent, batch, _ = built(algorithm, spec)
        (loss,) = [one.loss for one in algorithm.objectives() if one.part == "temperature"]
        for entropy in (-5.0, 5.0):
            found = loss(agent, batch, {"entropy": torch.tensor(entropy)})
            (slope,) = torch.autograd.grad(found.loss, agent.log_alpha)
            assert slope.item() == pytest.approx(entropy - target)
    assert SAC(target_entropy=1.5)._alpha_loss(agent, batch, {"entropy": torch.tensor(2.0)}).loss == 0  # log 1
    assert [one.part for one in SAC(tune_alpha=False).objectives()] == ["critics", "actor"]


def test_the_losses_of_sac_of_choices():
    algorithm = SAC(hidden_sizes=[8], alpha=0.3)
    agent, batch, losses = built(algorithm, CHOICES)
    with torch.no_grad():
        chances = agent.actor(batch.next_obs).softmax(-1)
        least = agent.target_critics(batch.next_obs, []).min(0).values
        goal = batch.rewards + batch.discounts * (chances * (least - 0.3 * chances.log())).sum(-1)
    own = agent.critics(batch.obs, [])[:, torch.arange(ROWS), batch.actions]
    expected = sum(weighted_mean(0.5 * (one - goal) ** 2, batch) for one in own)
    torch.testing.assert_close(losses["critics"](batch).loss, expected)

    chances = agent.actor(batch.obs).softmax(-1)
    judged = agent.critics(batch.obs, []).min(0).values.detach()
    policy = losses["actor"](batch)
    torch.testing.assert_close(policy.loss, (chances * (0.3 * chances.log() - judged)).sum(-1).mean())
    torch.testing.assert_close(policy.scalars["entropy"], -(chances * chances.log()).sum(-1).mean())


@pytest.mark.parametrize("limit", [0.5, 0.1])
def test_the_losses_of_td3(limit):
    algorithm = TD3(hidden_sizes=[8], target_noise=0.4, target_noise_limit=limit)
    agent, batch, losses = built(algorithm, REAL)
    with torch.no_grad():
        noise = (0.4 * batch.noise).clamp(-limit, limit)
        actions = (agent.target_head(agent.target_torso(batch.next_obs, [])).tanh() + noise).clamp(-1, 1)
        least = agent.target_critics(batch.next_obs, [], actions).min(0).values
        goal = batch.rewards + batch.discounts * least
    own = agent.critics(batch.obs, [], batch.actions)
    expected = sum(weighted_mean((one - goal) ** 2, batch) for one in own)
    torch.testing.assert_close(losses["critics"](batch).loss, expected)
    judged = agent.critics(batch.obs, [], agent.actor(batch.obs).tanh())[0]
    torch.testing.assert_close(losses["actor"](batch).loss, -judged.mean())


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("atoms", [1, 7])
def test_the_loss_of_dqn(double, atoms):
    algorithm = DQN(hidden_sizes=[8, 8], double=double, atoms=atoms, value_min=-3.0, value_max=3.0, dueling=True)
    agent, batch, losses = built(algorithm, CHOICES)

    def outputs(torso, head, rows):  # of the duelling streams
        features = torso(rows, [])
        advantage, value = features, features
        for number in range(2):
            advantage = head.advantage[number](activated(advantage, number))
            value = head.value[number](activated(value, number))
        advantage = advantage.view(ROWS, 3, atoms)
        return value.view(ROWS, 1, atoms) + advantage - advantage.mean(1, keepdim=True)

    def activated(features, number):
        return features.relu() if number else features

    def values(found):
        return found[..., 0] if atoms == 1 else (found.softmax(-1) * torch.linspace(-3, 3, atoms)).sum(-1)

    now = outputs(agent.actor.torso, agent.actor.head, batch.obs)[torch.arange(ROWS), batch.actions]
    with torch.no_grad():
        following = outputs(agent.target_torso, agent.target_head, batch.next_obs)
        judge = outputs(agent.actor.torso, agent.actor.head, batch.next_obs) if double else following
        after = following[torch.arange(ROWS), values(judge).argmax(-1)]
    found = losses["q"](batch)
    if atoms == 1:
        goal = batch.rewards + batch.discounts * after[:, 0]
        each = functional.huber_loss(now[:, 0], goal, reduction="none")
        torch.testing.assert_close(found.errors, (now[:, 0] - goal).abs())
    else:
        goal = projected(after.softmax(-1), batch.rewards, batch.discounts, torch.linspace(-3, 3, atoms))
        each = functional.kl_div(now.log_softmax(-1), goal, reduction="none").sum(-1)
        torch.testing.assert_close(found.errors, each)
    torch.testing.assert_close(found.loss, weighted_mean(each, batch))
    torch.testing.assert_close(found.scalars["q_mean"], values(now).mean())


def test_what_is_after_a_termination_counts_for_nothing():
    for algorithm, spec in (
        (SAC(hidden_sizes=[8]), REAL),
        (TD3(hidden_sizes=[8]), REAL),
        (DQN(hidden_sizes=[8]), CHOICES),
    ):
        _, batch, losses = built(algorithm, spec)
        other = torch.where(batch.discounts.unsqueeze(1) == 0, 7.0, batch.next_obs)
        assert (other != batch.next_obs).any()
        part = "q" if spec is CHOICES else "critics"
        assert losses[part](batch).loss == losses[part](replace(batch, next_obs=other)).loss


def test_noisy_layers_by_hand():
    torch.manual_seed(6)
    layer, features, noise = NoisyLinear(3, 2, 0.5), torch.randn(4, 3), torch.randn(5)
    scaled = [math.copysign(math.sqrt(abs(number)), number) for number in noise.tolist()]
    expected = torch.zeros(4, 2)
    for row in range(4):
        for out in range(2):
            total = layer.bias[out] + layer.bias_sigma[out] * scaled[3 + out]
            for number in range(3):
                weight = layer.weight[out, number] + layer.weight_sigma[out, number] * scaled[number] * scaled[3 + out]
                total = total + weight * features[row, number]
            expected[row, out] = total
    torch.testing.assert_close(layer.perturbed(features, noise), expected)
    torch.testing.assert_close(layer(features), features @ layer.weight.t() + layer.bias)
    assert layer.weight_sigma.unique().item() == pytest.approx(0.5 / math.sqrt(3))


def test_epsilon_falls_linearly_over_its_share_of_the_run():
    algorithm = DQN(epsilon_start=0.9, epsilon_end=0.1, epsilon_fraction=0.5, learning_rate=0.25, anneal_lr=True)
    found = [algorithm.knobs(left)["epsilon"] for left in (1.0, 0.75, 0.5, 0.25, 0.0)]
    assert found == pytest.approx([0.9, 0.5, 0.1, 0.1, 0.1])
    assert algorithm.knobs(0.5)["learning_rate"] == pytest.approx(0.125)
    steps = [algorithm.exploration(algorithm.knobs(0.75), count) for count in (999, 1000)]
    assert [(one.amount, one.uniform) for one in steps] == [(0.5, True), (0.5, False)]


def test_gradient_steps_are_owed_for_what_follows_the_start_of_learning():
    sizes = Sizes(steps_per_update=8, least_rows=8, most_rows=8, num_envs=2, ranks=1, updates=100)
    assert SAC(learning_starts=300, replay_ratio=0.5).optimizer_steps(sizes) == 250
    assert SAC(learning_starts=900, replay_ratio=0.5).optimizer_steps(sizes) == 0


def test_each_pass_through_noisy_layers_has_noise_of_its_own():
    algorithm = DQN(hidden_sizes=[8], noisy=True, per_rank_batch_size=ROWS)
    agent, batch, losses = built(algorithm, CHOICES)
    size = agent.actor.noise_size
    assert size == 8 + 3
    assert batch.noise.numel() >= 3 * size > batch.noise.numel() - ROWS
    own, target, judge = batch.noise.flatten()[: 3 * size].split(size)
    now = agent.actor.outputs(batch.obs, own)[torch.arange(ROWS), batch.actions, 0]
    best = agent.actor.outputs(batch.next_obs, judge)[..., 0].argmax(-1)
    after = agent.target_outputs(batch.next_obs, target)[torch.arange(ROWS), best, 0].detach()
    each = functional.huber_loss(now, batch.rewards + batch.discounts * after, reduction="none")
    torch.testing.assert_close(losses["q"](batch).loss, weighted_mean(each, batch))
    assert DQN(hidden_sizes=[8]).memory(agent).noise == 0
