"""Recurrent networks: the cells, sequences with episodes that begin inside them, and what follows from states."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn

import rlexp
from rlexp.data.rollout import Rollout
from rlexp.envs import check_environment
from rlexp.errors import ConfigError
from rlexp.models.recurrent import GRU, LSTM, MEMORIES, firsts
from tests.collect.test_tensor_player import player_of
from tests.commands import metrics, summary
from tests.helpers import agent, build_policy, composed, learner, recording
from tests.topology.ranks import launched, resumed

SMALL = (
    "env.num_envs=3", "algo.num_steps=12", "algo.per_rank_batch_size=12", "algo.hidden_sizes=[7]",
    "model.memory_size=5", "model.sequence_length=4",
)  # fmt: skip
CELLS = {"gru": nn.GRUCell, "lstm": nn.LSTMCell}


def cell_of(memory):
    """Return torch's own cell with the weights of one of ours."""
    made = CELLS["gru" if isinstance(memory, GRU) else "lstm"](memory.inner.in_features, memory.size)
    with torch.no_grad():
        made.weight_ih.copy_(memory.inner.weight)
        made.weight_hh.copy_(memory.outer.weight)
        made.bias_ih.copy_(memory.inner.bias)
        made.bias_hh.copy_(memory.outer.bias)
    return made


def stepped(cell, features, state):
    """Return the next state of torch's cell, as ours lies."""
    if isinstance(cell, nn.GRUCell):
        return cell(features, state)
    return torch.cat(cell(features, tuple(state.chunk(2, -1))), -1)


@pytest.mark.parametrize("name", MEMORIES)
def test_a_cell_is_torchs_own(name):
    torch.manual_seed(0)
    memory = MEMORIES[name](4, 6)
    for layer in (memory.inner, memory.outer):
        nn.init.normal_(layer.bias)
    features, state = torch.randn(5, 4), torch.randn(5, memory.state_size)
    ours = memory.step(memory.inputs(features), state)
    assert torch.allclose(ours, stepped(cell_of(memory), features, state), atol=1e-6)
    assert torch.equal(memory.output(ours), ours[:, :6])


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("name", MEMORIES)
def test_sequences_and_their_gradients_equal_a_plain_unrolled_loop(name, shared):
    words = (*SMALL, f"model={name}", f"algo.shared_torso={str(shared).lower()}")
    _, envs, policy, _ = agent(*words)
    torch.manual_seed(1)
    count, length, width = 3, 4, envs.spec.observation.row_size
    rows, actions = torch.randn(count * length, width), torch.randint(2, (count * length,))
    states = torch.randn(count, policy.state_size)
    first = torch.zeros(count, length, dtype=torch.bool)
    first[0, 2] = first[2, 1] = first[2, 3] = True
    other = copy.deepcopy(policy)
    new = policy(rows, actions, states, first.flatten())
    (new.log_prob.sum() + 2 * new.entropy.sum() + 3 * new.values.square().sum()).backward()

    def features(torso, column):
        outputs = []
        state = states[:, column : column + torso.state_size]
        for step in range(length):
            state = state * (~first[:, step, None])
            memory = torso.memory
            gates = rows.view(count, length, width)[:, step] @ memory.inner.weight.T + memory.inner.bias
            state = memory.step(gates, state)
            outputs.append(torso.layers[0](memory.output(state)).tanh())
        return torch.stack(outputs, 1).flatten(0, 1)

    seen = features(other.actor.torso, 0)
    distribution = torch.distributions.Categorical(logits=other.actor.head(seen))
    valued = seen if shared else features(other.critic.torso, other.actor.state_size)
    values = other.critic.head(valued).squeeze(-1)
    loss = distribution.log_prob(actions).sum() + 2 * distribution.entropy().sum() + 3 * values.square().sum()
    loss.backward()
    assert torch.allclose(new.values, values, atol=1e-6)
    assert torch.allclose(new.log_prob, distribution.log_prob(actions), atol=1e-6)
    for (key, ours), theirs in zip(policy.named_parameters(), other.parameters(), strict=True):
        assert torch.allclose(ours.grad, theirs.grad, atol=1e-4), key


@pytest.mark.parametrize("name", MEMORIES)
def test_a_sequence_cut_in_two_with_its_state_handed_over_equals_the_whole(name):
    memory = MEMORIES[name](4, 6)
    torch.manual_seed(2)
    features, state, first = torch.randn(9, 2, 4), torch.randn(2, memory.state_size), torch.rand(9, 2) < 0.3
    whole = memory.scan(features, state, first)
    begin = memory.scan(features[:5], state, first[:5])
    end = memory.scan(features[5:], begin[-1], first[5:])
    assert torch.allclose(whole, torch.cat([begin, end]), atol=1e-6)
    assert isinstance(memory, GRU | LSTM)


ENDS = {
    "same step": ("env.max_episode_steps=7",),
    "next step": ("env.max_episode_steps=7", "env.vectorization=vector"),
}


@pytest.mark.parametrize("ends", ENDS)
@pytest.mark.parametrize("shared", ["false", "true"])
def test_what_a_learner_finds_along_a_rollout_is_what_happened(shared, ends):
    words = (*SMALL, "model=gru", f"algo.shared_torso={shared}", *ENDS[ends])
    config, _, policy, player = agent(*words)
    critic, remembered = torch.zeros(3, policy.critic_state_size), 0
    for _ in range(3):
        rollout = player.collect().rollout
        found, before = policy.unrolled(rollout, critic), critic
        assert_followed(policy, rollout, found, before, config.model.sequence_length)
        critic = found.critic
        remembered += int(rollout.initial_state.any())
    assert remembered


def assert_followed(policy, rollout: Rollout, found, critic, length):
    """Walk along a rollout step by step, one environment at a time."""
    steps, count = rollout.rewards.shape
    final = {
        tuple(place): row for place, row in zip(rollout.truncated.nonzero().tolist(), rollout.final_obs, strict=True)
    }
    finals = dict.fromkeys(final)
    for env in range(count):
        states = [rollout.initial_state[env], critic[env] if rollout.initial_state[env].any() else 0 * critic[env]]
        ended = False
        for step in range(steps):
            if ended:
                states = [0 * state for state in states]
            if step % length == 0:
                expected = torch.cat(states)
                assert torch.allclose(found.states[env * steps // length + step // length], expected, atol=1e-6)
            assert bool(found.first[step, env]) == (ended and step > 0)
            value, states = walked(policy, rollout.obs[step, env], states)
            assert torch.allclose(found.values[step, env], value, atol=1e-6)
            if (step, env) in final:
                finals[step, env] = walked(policy, final[step, env], states)[0]
            ended = bool(rollout.terminated[step, env] | rollout.truncated[step, env] | ~rollout.valid[step, env])
        states = [0 * state for state in states] if ended else states
        assert torch.allclose(found.values[steps, env], walked(policy, rollout.obs[steps, env], states)[0], atol=1e-6)
    assert torch.allclose(found.final, torch.stack(list(finals.values())) if finals else torch.empty(0), atol=1e-6)


@torch.no_grad()
def walked(policy, row, states):
    """Return the value of one observation and the states after it."""
    _, actor = policy.actor.step(row[None], states[0][None])
    if policy.shared_torso:
        torso, after = policy.actor.torso, [actor[0], states[1]]
        hidden = torso.memory.output(actor)
    else:
        torso = policy.critic.torso
        critic = torso.memory.step(torso.memory.inputs(row[None]), states[1][None])
        after, hidden = [actor[0], critic[0]], torso.memory.output(critic)
    return policy.critic.of_features(torso.connected(hidden))[0], after


@pytest.mark.parametrize("ends", ENDS)
def test_the_first_minibatch_finds_the_probabilities_that_were_played(ends, fabric):
    words = (*SMALL, "model=lstm", "algo.update_epochs=1", "algo.per_rank_batch_size=36", *ENDS[ends])
    config, _, policy, player = agent(*words)
    teacher = learner(config, policy, fabric)
    for _ in range(3):
        rollout = player.collect().rollout
        update = teacher.update(rollout, 1e-9)  # hardly any step: the next rollout is played by the same weights
        assert abs(update.approx_kl) < 1e-9 and update.clip_fraction == 0


@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_environments_of_tensors_carry_states_and_play_what_is_learned_from(compiled, fabric):
    words = (*SMALL, "env.backend=torch", "model=gru", "algo.update_epochs=1", "algo.per_rank_batch_size=36")
    made = player_of(*words, "env.max_episode_steps=5", compiled=compiled)
    config = composed(*words, "compile=false")
    policy = build_policy(config, check_environment(config))
    policy.actor.load_state_dict(made._actor.state_dict())
    teacher = learner(config, policy, fabric)
    for number in range(3):
        rollout = made.collect().rollout
        assert number == 0 or rollout.initial_state.any()
        assert abs(teacher.update(rollout, 1e-9).approx_kl) < 1e-6


def test_minibatches_are_whole_sequences_of_valid_steps(fabric):
    config = composed(
        *SMALL, "model=gru", "algo.per_rank_batch_size=12", "env.max_episode_steps=7", "env.vectorization=vector"
    )
    algorithm = recording(config)
    _, _, policy, player = agent(*SMALL, "model=gru", "env.max_episode_steps=7", "env.vectorization=vector")
    teacher = learner(config, policy, fabric)
    rollout = player.collect().rollout
    teacher.update(rollout, 1.0)
    seen = algorithm.seen[:3]
    assert [batch.units for batch in seen] == [3, 3, 3] and all(len(batch.obs) == 12 for batch in seen)
    assert sum(float(batch.weight.sum()) for batch in seen) == rollout.valid.sum()
    by_env = rollout.obs[:-1].transpose(0, 1).reshape(9, 4, -1)
    for sequence in torch.cat([batch.obs for batch in seen]).view(9, 4, -1):
        assert any(torch.equal(sequence, one) for one in by_env)


def test_invalid_steps_reach_no_weight(fabric):
    words = (*SMALL, "model=gru", "env.max_episode_steps=7", "env.vectorization=vector", "algo.per_rank_batch_size=36")
    weights = []
    for junk in (0.0, 1e6):
        config, _, policy, player = agent(*words)
        teacher = learner(config, policy, fabric)
        rollout = player.collect().rollout
        assert not rollout.valid.all()
        invalid = ~rollout.valid
        rollout.log_prob[invalid], rollout.rewards[invalid] = -1.0 - junk, junk
        teacher.update(rollout, 1.0)
        weights.append(teacher.weights.clone())
    assert torch.equal(*weights)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["algo.num_steps=100", "model.sequence_length=16"],
            "algo.num_steps=100 is no multiple of model.sequence_length=16; .*length=10",
        ),
        (
            ["algo.per_rank_batch_size=8"],
            "algo.per_rank_batch_size=8 is less than one sequence of",
        ),
        (["model.memory=rnn"], "model.memory=rnn is not a choice; allowed: none, gru, lstm"),
    ],
)
def test_what_does_not_fit_is_one_line(words, said):
    with pytest.raises(ConfigError, match=said):
        composed("model=gru", *words)


def test_a_policy_carries_its_state(tmp_path):
    launched(tmp_path / "run", "model=gru", "model.sequence_length=8", updates=3)
    policy = rlexp.load(tmp_path / "run")
    env = policy.make_env()
    observation, _ = env.reset(seed=3)
    state, seen = None, []
    for _ in range(4):
        seen.append(observation)
        action, state = policy.act(observation, state)
        observation, *_ = env.step(action)
    assert state.shape == (1, 64)
    both = np.stack([seen[0], seen[0]])
    _, twice = policy.act(both)
    for observation in seen[1:]:
        _, twice = policy.act(np.stack([observation, observation]), twice)
    assert torch.allclose(twice[:1], state, atol=1e-6) and torch.equal(twice[0], twice[1])


def test_a_resumed_run_may_be_longer_and_evaluates(tmp_path):
    words = ("model=lstm", "model.sequence_length=8", "eval.episodes=2", "checkpoint.every=1")
    launched(tmp_path / "run", *words, updates=2)
    resumed(tmp_path / "run", *words, updates=4)
    assert len(metrics(tmp_path / "run")) == 4 and summary(tmp_path / "run")["eval"]["episodes"] == 2
    assert math.isfinite(float(metrics(tmp_path / "run")[-1]["Loss/value_loss"]))


def test_firsts_follow_ends_and_resets():
    flags = [torch.tensor(column, dtype=torch.bool)[:, None] for column in ([0, 1, 0, 0], [0, 0, 0, 1], [1, 1, 0, 1])]
    assert firsts(*flags).flatten().tolist() == [False, False, True, True, True]
