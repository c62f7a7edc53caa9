"""What several ranks do together: own data each, equal weights, averaged gradients, merged statistics, a lag of one."""

import itertools
import os
from contextlib import nullcontext

import numpy as np
import pytest
import torch

from rlexp.collect.build import build_player
from rlexp.data.seeds import Seeds
from rlexp.envs import check_environment
from rlexp.learn.compiler import compiler_found
from tests.helpers import build_policy
from tests.topology.ranks import checkpoint, configured, launched, noted, policy_of

COUPLED = ("topology=coupled", "fabric.devices=2")
DECOUPLED = ("topology=decoupled", "fabric.devices=3")
NORMALIZED = ("env.normalize_observations=true", "env.normalize_rewards=true")
COUNTING = ("env=gym", "env.id=tests.environments:Counting-v0")
ONE_STEP = (
    "algo.per_rank_batch_size=null", "algo.update_epochs=1", "algo.optimizer=sgd", "algo.learning_rate=0.1",
    "algo.anneal_lr=false",
)  # fmt: skip
"""One update is then one step along the clipped gradient of the whole rollout."""


def equal_on_all(ranks: list[dict], key: str) -> None:
    for rank in ranks[1:]:
        assert len(rank[key]) == len(ranks[0][key])
        assert all(torch.equal(one, other) for one, other in zip(rank[key], ranks[0][key], strict=True))


# Data


def test_environment_i_of_rank_r_is_seeded_with_seed_plus_r_times_num_envs_plus_i(tmp_path):
    """Counting shows the seed that it was reset with as the first number of every observation."""
    ranks = noted(tmp_path / "run", *COUNTING, "topology=coupled", "fabric.devices=3", "env.num_envs=2", "seed=100")
    seeds = [[rollout["obs"][:, :, 0] for rollout in rank["rollouts"]] for rank in ranks]
    for index, rollouts in enumerate(seeds):
        for shown in rollouts:
            assert torch.equal(shown, torch.tensor([100.0, 101.0]).add(2 * index).expand_as(shown))


def test_the_player_seeds_all_environments_and_its_trainers_none(tmp_path):
    player, *trainers = noted(tmp_path / "run", *COUNTING, *DECOUPLED, "seed=100")
    assert player["rollouts"] == []
    shown = torch.cat([trainer["rollouts"][0]["obs"][0, :, 0] for trainer in trainers])
    assert shown.tolist() == [100, 101, 102, 103]


@pytest.mark.parametrize("share", ["false", "true"])
def test_two_coupled_ranks_act_differently(share, tmp_path):
    first, second = noted(tmp_path / "run", *COUPLED, f"topology.share_data={share}", updates=1)
    if share == "true":
        actions, observations = first["rollouts"][0]["actions"], first["rollouts"][0]["obs"]
        pairs = (actions[:, :4], actions[:, 4:]), (observations[0, :4], observations[0, 4:])
    else:
        pairs = tuple((first["rollouts"][0][name], second["rollouts"][0][name]) for name in ("actions", "obs"))
    for one, other in pairs:
        assert one.shape == other.shape
        assert not torch.equal(one, other)


@pytest.mark.parametrize("overrides", [COUPLED, DECOUPLED], ids=["coupled", "decoupled"])
def test_shared_data_are_the_same_on_every_trainer(overrides, tmp_path):
    limited = ("env.max_episode_steps=5", *NORMALIZED)
    trainers = noted(tmp_path / "run", *overrides, "topology.share_data=true", *limited)[-2:]
    for one, other in zip(trainers[0]["rollouts"], trainers[1]["rollouts"], strict=True):
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name]) for name in one)
        assert one["truncated"].sum() == one["final_obs"].shape[0] > 0


def test_three_environments_over_two_trainers_are_whole_trajectories_of_one_and_two(tmp_path):
    alone = noted(tmp_path / "alone", "env.num_envs=3", updates=1)[0]["rollouts"][0]
    _, one, two = noted(tmp_path / "run", *DECOUPLED, "env.num_envs=3")
    assert one["rollouts"][0]["rewards"].shape == (16, 1)
    assert two["rollouts"][0]["rewards"].shape == (16, 2)
    for name in ("obs", "actions", "log_prob", "terminated"):
        joined = torch.cat([one["rollouts"][0][name], two["rollouts"][0][name]], 1)
        assert torch.equal(joined, alone[name])
    equal_on_all([one, two], "learned")


# Weights


@pytest.mark.parametrize(
    "overrides",
    [
        COUPLED,
        (*COUPLED, "topology.share_data=true"),
        ("topology=coupled", "fabric.devices=3", "algo.per_rank_batch_size=7"),
        DECOUPLED,
        (*DECOUPLED, "topology.share_data=true"),
        (*DECOUPLED, "topology.overlap=true", "topology.share_data=true"),
        ("topology=decoupled", "fabric.devices=4", "env.num_envs=5", "algo.per_rank_batch_size=7"),
        (*DECOUPLED, "env.num_envs=3", "topology.share_data=true", "algo.per_rank_batch_size=7"),
        (*COUPLED, "algo.target_kl=1e-4", "algo.update_epochs=5"),
    ],
    ids=[
        "coupled", "shared", "odd batches", "decoupled", "decoupled shared", "overlap shared", "uneven",
        "uneven shared", "early stop",
    ],
)  # fmt: skip
def test_after_every_update_all_trainers_hold_equal_weights_and_tell_the_same(overrides, tmp_path):
    ranks = noted(tmp_path / "run", *overrides, *NORMALIZED)
    trainers = ranks[1:] if "topology=decoupled" in overrides else ranks
    assert len(trainers[0]["learned"]) == 4
    equal_on_all(trainers, "learned")
    assert all(trainer["metrics"] == trainers[0]["metrics"] for trainer in trainers)
    for name, value in ranks[0]["policy"].items():  # the player's too, statistics included
        assert all(torch.equal(rank["policy"][name], value) for rank in ranks), name
    learned = trainers[0]["learned"]
    assert not any(torch.equal(one, other) for one, other in itertools.pairwise(learned))


def test_ranks_begin_with_the_weights_that_one_rank_begins_with(tmp_path):
    (alone,) = noted(tmp_path / "alone", updates=1)
    for name, overrides in {"coupled": COUPLED, "decoupled": DECOUPLED}.items():
        for rank in noted(tmp_path / name, *overrides, updates=1):
            for acting in rank["acting"]:
                assert torch.equal(acting, alone["acting"][0])


# Lag


@pytest.mark.parametrize("devices", [2, 3])
def test_without_overlap_the_player_acts_with_the_weights_of_the_last_update(devices, tmp_path):
    player, trainer = noted(tmp_path / "run", "topology=decoupled", f"fabric.devices={devices}", updates=6)[:2]
    assert len(player["acting"]) == 6
    for acting, learned in zip(player["acting"][1:], trainer["actors"], strict=False):
        assert torch.equal(acting, learned)


@pytest.mark.parametrize("devices", [2, 3])
def test_with_overlap_the_player_acts_with_the_weights_of_exactly_one_update_before(devices, tmp_path):
    player, trainer = noted(
        tmp_path / "run", "topology=decoupled", f"fabric.devices={devices}", "topology.overlap=true", updates=6
    )[:2]
    acting, learned = player["acting"], trainer["actors"]
    assert len(acting) == len(learned) == 6
    assert torch.equal(acting[0], acting[1])
    for collected, weights in zip(acting[2:], learned, strict=False):
        assert torch.equal(collected, weights)
    assert torch.equal(player["last"], learned[-1])


def test_with_overlap_the_log_probabilities_are_those_of_the_weights_that_acted(tmp_path):
    player, trainer = noted(
        tmp_path / "run", "topology=decoupled", "fabric.devices=2", "topology.overlap=true", updates=5
    )
    config = configured(updates=1)
    policy = build_policy(config, check_environment(config))
    for weights, rollout in zip(player["acting"], trainer["rollouts"], strict=True):
        torch.nn.utils.vector_to_parameters(weights, policy.actor.parameters())
        with torch.no_grad():
            told = policy.actor.log_prob(rollout["obs"][:-1].flatten(0, 1), rollout["actions"].flatten())
        torch.testing.assert_close(told.view(16, 4), rollout["log_prob"])


# Gradients


def hand_made_advantages(rollout, values: np.ndarray, final: np.ndarray, gamma: float, gae_lambda: float):
    """Return advantages [T, N] by the sums of GAE's definition, one step of one environment at a time."""
    terminated, truncated = rollout.terminated.numpy(), rollout.truncated.numpy()
    rewards = rollout.rewards.numpy().astype(np.float64)
    after = values[1:].copy()
    after[truncated] = final
    delta = rewards + gamma * after * ~terminated - values[:-1]
    advantages = np.zeros_like(delta)
    for env in range(delta.shape[1]):
        for start in range(delta.shape[0]):
            weight = 1.0
            for step in range(start, delta.shape[0]):
                advantages[start, env] += weight * delta[step, env]
                if terminated[step, env] or truncated[step, env]:
                    break
                weight *= gamma * gae_lambda
    return advantages


def hand_made_gradient(index: int, overrides: tuple[str, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the weights that a rank begins with and the gradient of PPO's loss on its first rollout, both flat."""
    config = configured(*overrides, updates=1)
    torch.manual_seed(config.seed)
    spec = check_environment(config)
    policy = build_policy(config, spec)
    seeds = Seeds(config.seed, config.env.num_envs, spawn=False)
    draw = seeds.generator("sampling", index, torch.device("cpu"))
    rollout = build_player(config, policy.actor, seeds.environments(index), draw, nullcontext, None).collect().rollout
    algo = config.algo
    with torch.no_grad():
        values = policy.values(rollout.obs.flatten(0, 1)).view(17, -1)
        final = policy.values(rollout.final_obs) if len(rollout.final_obs) else torch.empty(0)
    advantages = torch.from_numpy(
        hand_made_advantages(rollout, values.double().numpy(), final.double().numpy(), algo.gamma, algo.gae_lambda)
    ).flatten()
    returns, old = advantages + values[:-1].flatten(), values[:-1].flatten().double()
    scaled = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
    logits = policy.actor(rollout.obs[:-1].flatten(0, 1)).double().log_softmax(-1)
    log_prob = logits.gather(1, rollout.actions.flatten().unsqueeze(1)).squeeze(1)
    ratio = (log_prob - rollout.log_prob.flatten().double()).exp()
    surrogate = torch.minimum(ratio * scaled, ratio.clamp(1 - algo.clip_coef, 1 + algo.clip_coef) * scaled)
    new = policy.values(rollout.obs[:-1].flatten(0, 1)).double()
    clipped = old + (new - old).clamp(-algo.clip_coef, algo.clip_coef)
    value_loss = torch.maximum((new - returns) ** 2, (clipped - returns) ** 2).mean()
    entropy = -(logits.exp() * logits).sum(-1).mean()
    loss = -surrogate.mean() + algo.vf_coef * value_loss - algo.ent_coef * entropy
    in_order = list(policy.parameters())
    gradient = torch.cat([part.flatten() for part in torch.autograd.grad(loss, in_order)])
    return torch.cat([part.detach().flatten() for part in in_order]), gradient


@pytest.mark.parametrize("limit", ["", "env.max_episode_steps=6"], ids=["", "truncated"])
def test_the_first_step_of_two_coupled_ranks_is_a_hand_made_step_along_the_mean_of_both_gradients(limit, tmp_path):
    overrides = (*ONE_STEP, *filter(None, [limit]))
    ranks = noted(tmp_path / "run", *COUPLED, *overrides, updates=1)
    weights, first = hand_made_gradient(0, overrides)
    again, second = hand_made_gradient(1, overrides)
    assert torch.equal(weights, again)
    assert (first - second).norm() > 0.1 * first.norm()  # else the mean would prove nothing
    mean = (first + second) / 2
    stepped = weights - 0.1 * mean * min(1.0, 0.5 / (float(mean.norm()) + 1e-6))
    torch.testing.assert_close(ranks[0]["learned"][0], stepped, rtol=1e-5, atol=1e-7)
    assert (stepped - weights).abs().max() > 1e-3
    assert ranks[0]["metrics"][0]["grad_norm"] == pytest.approx(float(mean.norm()), rel=1e-4)


FULL_BATCH = (*ONE_STEP, "algo.normalize_advantages=false", "env.max_episode_steps=6")
"""Parts of equal size then have gradients whose mean is the gradient of the whole."""


@pytest.mark.parametrize("share", ["false", "true"])
def test_trainers_that_each_take_a_part_of_the_data_step_as_one_with_all_of_it(share, tmp_path):
    (alone,) = noted(tmp_path / "alone", *FULL_BATCH, *NORMALIZED)
    _, trainer, _ = noted(tmp_path / "run", *DECOUPLED, f"topology.share_data={share}", *FULL_BATCH, *NORMALIZED)
    for one, parted in zip(alone["learned"], trainer["learned"], strict=True):
        torch.testing.assert_close(one, parted, rtol=1e-4, atol=1e-6)
    for whole, parts in zip(alone["metrics"], trainer["metrics"], strict=True):
        for name in ("policy_loss", "value_loss", "entropy_loss", "grad_norm", "value_mean"):
            assert whole[name] == pytest.approx(parts[name], rel=1e-3, abs=1e-6), name


# Statistics


@pytest.mark.parametrize(
    "overrides",
    [COUPLED, (*COUPLED, "topology.share_data=true"), DECOUPLED, (*DECOUPLED, "topology.share_data=true")],
    ids=["coupled", "shared", "decoupled", "decoupled shared"],
)
def test_observation_statistics_are_those_of_all_data_on_all_ranks(overrides, tmp_path):
    ranks = noted(tmp_path / "run", *overrides, *NORMALIZED, "env.max_episode_steps=7", "env.num_envs=3")
    trainers = ranks[-2:]
    if "topology.share_data=true" in overrides:
        trainers = trainers[:1]  # each has seen everything
    seen = [rollout["obs"][:-1].flatten(0, 1) for trainer in trainers for rollout in trainer["rollouts"]]
    rows = torch.cat(seen).double()
    assert rows.shape[0] == 4 * 16 * 3 * (1 if "topology=decoupled" in overrides else 2)
    for rank in ranks:
        moments = {name.rpartition(".")[2]: value for name, value in rank["policy"].items() if "moments" in name}
        assert moments["count"] == rows.shape[0]
        torch.testing.assert_close(moments["mean"], rows.mean(0), rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(moments["squares"], (rows - rows.mean(0)).square().sum(0), rtol=1e-9, atol=1e-12)


def test_reward_statistics_of_parted_data_equal_those_of_all_data(tmp_path):
    moments = []
    for name, overrides in {
        "alone": (), "parted": DECOUPLED, "shared": (*DECOUPLED, "topology.share_data=true"),
    }.items():  # fmt: skip
        frozen = ("algo.learning_rate=1e-30", "env.max_episode_steps=7")  # so that all play the same
        launched(tmp_path / name, *overrides, *NORMALIZED, *frozen, updates=3)
        moments.append(checkpoint(tmp_path / name).learner.reward_moments)
    assert moments[0]["count"] == 3 * 16 * 4
    for other in moments[1:]:
        for key, value in moments[0].items():
            torch.testing.assert_close(other[key], value, rtol=1e-9, atol=1e-12)


# Episodes


@pytest.mark.parametrize("overrides", [COUPLED, DECOUPLED], ids=["coupled", "decoupled"])
def test_episodes_of_all_ranks_are_reported(overrides, tmp_path):
    """Counting's episodes of 4 steps return 10; every environment ends four of them in 16 steps."""
    told = launched(tmp_path / "run", *COUNTING, *overrides, "+env.kwargs.lengths=[4]")
    assert told["objective"] == 10
    environments = 8 if overrides is COUPLED else 4
    assert told["env_steps"] == 4 * 16 * environments
    assert told["updates"] == 4
    assert told["world_size"] == (2 if overrides is COUPLED else 3)


def test_a_run_leaves_the_environment_variables_as_they_were(tmp_path):
    before = dict(os.environ)
    launched(tmp_path / "run", *COUPLED, updates=1)
    assert dict(os.environ) == before
    assert policy_of(tmp_path / "run")


@pytest.mark.slow
@pytest.mark.skipif(not compiler_found(torch.device("cpu")), reason="no C++ compiler")
def test_compiled_ranks_learn_what_eager_ones_do(tmp_path):
    eager, compiled = (
        noted(tmp_path / word, "fabric.devices=2", f"compile={word}", "algo.per_rank_batch_size=16", updates=2)
        for word in ("false", "true")
    )
    equal_on_all(compiled, "learned")
    for one, other in zip(eager[0]["learned"][:1], compiled[0]["learned"][:1], strict=True):
        torch.testing.assert_close(other, one, atol=1e-4, rtol=1e-4)
