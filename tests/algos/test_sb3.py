"""First updates of SAC, TD3 and DQN equal those of Stable-Baselines3 with the same weights, batches and noise."""

from types import SimpleNamespace

import gymnasium
import pytest
import torch

from rlexp.algos import DQN, SAC, TD3
from rlexp.algos.base import Inputs
from rlexp.data.replay import ReplayBatch
from rlexp.data.spaces import ActionSpec, ObservationSpec, SpaceSpec
from rlexp.learn.precision import Float32
from rlexp.learn.ranks import OneRank
from rlexp.learn.stepper import Stepper

pytestmark = pytest.mark.extras
sb3 = pytest.importorskip("stable_baselines3", reason="Stable-Baselines3 is not installed (make bench-extras)")

ROWS, UPDATES, WIDTHS = 64, 4, [32, 24]


def batches(spec: SpaceSpec, noise: int) -> list[ReplayBatch]:
    draw = torch.Generator().manual_seed(0)
    width, size = spec.observation.vector_size, len(spec.action.low)

    def one() -> ReplayBatch:
        actions = torch.randint(2, (ROWS,), generator=draw)
        if size:
            actions = 2 * torch.rand(ROWS, size, generator=draw) - 1
        return ReplayBatch(
            obs=torch.randn(ROWS, width, generator=draw),
            actions=actions,
            rewards=torch.randn(ROWS, generator=draw),
            next_obs=torch.randn(ROWS, width, generator=draw),
            discounts=0.99 * (torch.rand(ROWS, generator=draw) > 0.2),
            noise=torch.randn(ROWS, noise, generator=draw),
        )

    return [one() for _ in range(UPDATES)]


def train_peer(model, given: list[ReplayBatch]) -> None:
    """Let Stable-Baselines3 learn from our batches."""
    samples = iter(
        SimpleNamespace(
            observations=batch.obs,
            actions=batch.actions if batch.actions.dim() > 1 else batch.actions.unsqueeze(1),
            next_observations=batch.next_obs,
            dones=(batch.discounts == 0).float().unsqueeze(1),
            rewards=batch.rewards.unsqueeze(1),
            discounts=None,
        )
        for batch in given
    )
    model.replay_buffer.sample = lambda *args, **kwargs: next(samples)
    model.set_logger(sb3.common.logger.configure(None, []))
    for _ in given:
        model.train(gradient_steps=1, batch_size=ROWS)


def copied(pairs) -> None:
    with torch.no_grad():
        for own, other in pairs:
            own.copy_(other)


def close(pairs) -> None:
    for own, other in pairs:
        torch.testing.assert_close(own, other, rtol=1e-5, atol=1e-5)


def linears(sequence) -> list[torch.nn.Linear]:
    return [layer for layer in sequence if isinstance(layer, torch.nn.Linear)]


def critic_pairs(ensemble, critic):
    for number, net in enumerate(critic.q_networks):
        for layer, linear in enumerate(linears(net)):
            yield ensemble.weights[layer][number], linear.weight.t()
            yield ensemble.biases[layer][number, 0], linear.bias


def layer_pairs(layers, linears_of_peer):
    for own, other in zip(layers, linears_of_peer, strict=True):
        yield own.weight, other.weight
        yield own.bias, other.bias


PENDULUM = SpaceSpec(ObservationSpec(3, (), ()), ActionSpec("box", (), (1,), (), (-2.0,), (2.0,)))
CARTPOLE = SpaceSpec(ObservationSpec(4, (), ()), ActionSpec("discrete", (2,), (), (0,), (), ()))


def learned(algorithm, spec, agent, given, compile_steps):
    stepper = Stepper(algorithm, agent, algorithm.descent(), Float32(), OneRank(), compile_steps)
    knobs = {name: torch.tensor(value) for name, value in algorithm.knobs(1.0).items()}
    stepper.learning_rates(algorithm.knobs(1.0))
    for batch in given:
        stepper.take(batch, knobs)


@pytest.mark.parametrize("compile_steps", [False, True])
def test_sac(compile_steps, monkeypatch):
    model = sb3.SAC("MlpPolicy", gymnasium.make("Pendulum-v1"), policy_kwargs={"net_arch": WIDTHS}, seed=1)
    algorithm = SAC(hidden_sizes=WIDTHS, alpha=1.0)
    agent = algorithm.build(PENDULUM, Inputs(False, None, "clip"))
    actor = model.actor
    head = [torch.cat([actor.mu.weight, actor.log_std.weight]), torch.cat([actor.mu.bias, actor.log_std.bias])]

    def pairs():
        yield from layer_pairs(agent.actor.torso.layers, linears(actor.latent_pi))
        yield from critic_pairs(agent.critics.ensemble, model.critic)
        yield from critic_pairs(agent.target_critics.ensemble, model.critic_target)

    copied([*pairs(), (agent.actor.head.weight, head[0]), (agent.actor.head.bias, head[1])])
    given = batches(PENDULUM, algorithm.memory(agent).noise)
    queue = [part for batch in given for part in (batch.noise[:, 1:2], batch.noise[:, :1])]  # now, then next
    monkeypatch.setattr(torch.distributions.normal, "_standard_normal", lambda *args, **kwargs: queue.pop(0))
    train_peer(model, given)
    assert not queue
    learned(algorithm, PENDULUM, agent, given, compile_steps)
    after = [torch.cat([actor.mu.weight, actor.log_std.weight]), torch.cat([actor.mu.bias, actor.log_std.bias])]
    close([*pairs(), (agent.actor.head.weight, after[0]), (agent.actor.head.bias, after[1])])
    close([(agent.log_alpha, model.log_ent_coef)])
    assert not torch.allclose(head[0], after[0], atol=1e-4)


@pytest.mark.parametrize("compile_steps", [False, True])
def test_td3(compile_steps, monkeypatch):
    settings = {"policy_kwargs": {"net_arch": WIDTHS}, "learning_rate": 3e-4, "seed": 1}
    model = sb3.TD3("MlpPolicy", gymnasium.make("Pendulum-v1"), **settings)
    algorithm = TD3(hidden_sizes=WIDTHS)
    agent = algorithm.build(PENDULUM, Inputs(False, None, "clip"))

    def pairs():
        own = [*agent.actor.torso.layers, agent.actor.head]
        yield from layer_pairs(own, linears(model.actor.mu))
        yield from layer_pairs([*agent.target_torso.layers, agent.target_head], linears(model.actor_target.mu))
        yield from critic_pairs(agent.critics.ensemble, model.critic)
        yield from critic_pairs(agent.target_critics.ensemble, model.critic_target)

    copied(pairs())
    given = batches(PENDULUM, algorithm.memory(agent).noise)
    queue = [batch.noise for batch in given]
    monkeypatch.setattr(torch.Tensor, "normal_", lambda self, mean, std: self.copy_(queue.pop(0) * std))
    train_peer(model, given)
    assert not queue
    monkeypatch.undo()
    learned(algorithm, PENDULUM, agent, given, compile_steps)
    close(pairs())


@pytest.mark.parametrize("compile_steps", [False, True])
def test_dqn(compile_steps):
    settings = {"policy_kwargs": {"net_arch": WIDTHS}, "learning_rate": 5e-4, "seed": 1, "gamma": 0.99}
    model = sb3.DQN("MlpPolicy", gymnasium.make("CartPole-v1"), **settings)
    algorithm = DQN(hidden_sizes=WIDTHS, double=False, target_every=100)
    agent = algorithm.build(CARTPOLE, Inputs(False, None, "clip"))

    def pairs():
        yield from layer_pairs([*agent.actor.torso.layers, agent.actor.head], linears(model.q_net.q_net))
        yield from layer_pairs([*agent.target_torso.layers, agent.target_head], linears(model.q_net_target.q_net))

    copied(pairs())
    given = batches(CARTPOLE, 0)
    train_peer(model, given)
    learned(algorithm, CARTPOLE, agent, given, compile_steps)
    close(pairs())
