"""One graph a batch for all objectives and targets takes the steps of the eager way; here it is not compiled."""

import copy

import pytest
import torch

from rlexp.algos import DQN, SAC, TD3
from rlexp.algos.base import Inputs
from rlexp.learn import joint, stepper
from rlexp.learn.precision import Float32
from rlexp.learn.ranks import OneRank
from rlexp.learn.stepper import Stepper
from tests.algos.test_q_losses import CHOICES, REAL, batch_of

BATCHES = 6
CASES = {
    "sac": (SAC(hidden_sizes=[8], learning_rate=1e-2, critic_learning_rate=2e-2), REAL),
    "policy every other batch": (SAC(hidden_sizes=[8], learning_rate=1e-2, policy_every=2, target_every=3), REAL),
    "fixed temperature": (SAC(hidden_sizes=[8], learning_rate=1e-2, tune_alpha=False), REAL),
    "sac of choices": (SAC(hidden_sizes=[8], learning_rate=1e-2), CHOICES),
    "crossq": (SAC(hidden_sizes=[8], learning_rate=1e-2, critic_batch_norm=True), REAL),
    "td3": (TD3(hidden_sizes=[8], learning_rate=1e-2, target_every=2, policy_every=2), REAL),
    "dqn": (DQN(hidden_sizes=[8], learning_rate=1e-2, target_every=4), CHOICES),
}


def batches(algorithm, agent, spec):
    return [batch_of(spec, algorithm.memory(agent).noise, weighted=False, seed=seed) for seed in range(BATCHES)]


@pytest.mark.parametrize(("algorithm", "spec"), CASES.values(), ids=CASES)
def test_joint_steps_equal_separate_ones(algorithm, spec, monkeypatch):
    monkeypatch.setattr(joint, "compiled", lambda function, device: function)
    monkeypatch.setattr(stepper, "compiler_found", lambda device: True)
    torch.manual_seed(0)
    first = algorithm.build(spec, Inputs(False, None, "clip"))
    agents, found, errors = (first, copy.deepcopy(first)), [], []
    for agent, together in zip(agents, (False, True), strict=True):
        taking = Stepper(algorithm, agent, algorithm.descent(), Float32(), OneRank(), together)
        if together:  # an algorithm of one objective without target networks has no joint step
            assert (taking._joint is not None) == (len(algorithm.objectives()) > 1 or bool(algorithm.targets()))
        knobs = {name: torch.tensor(value) for name, value in algorithm.knobs(0.5).items()}
        taking.learning_rates(algorithm.knobs(0.5))
        terms, sizes = [], []
        for batch in batches(algorithm, agent, spec):
            terms.append(taking.take(batch, knobs))
            sizes.append(taking.errors)
        found.append(torch.stack(terms))
        errors.append(torch.stack(sizes))
    torch.testing.assert_close(found[0], found[1], equal_nan=True, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(errors[0], errors[1], atol=1e-5, rtol=1e-4)
    one, two = (dict(agent.state_dict()) for agent in agents)
    assert one.keys() == two.keys()
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, atol=1e-5, rtol=1e-4, msg=name)
    statistics = [agent.statistics() for agent in agents]
    assert (statistics[0] is not None) == (getattr(algorithm, "critic_batch_norm", False))
    if statistics[0] is not None:
        assert statistics[0].abs().sum() > 0
        torch.testing.assert_close(statistics[0], statistics[1])
