"""The stepper knows neither how many optimizers there are nor what the losses are called."""

from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch

from rlexp.algos.base import Algorithm, Descent, Loss, Objective, Target
from rlexp.data.scalars import Scalar
from rlexp.learn.compiler import compiler_found
from rlexp.learn.ranks import OneRank
from rlexp.learn.stepper import NOT_DUE, Stepper


class Pair(torch.nn.Module):
    """Two numbers, which learn separately, and a slow copy of the first."""

    def __init__(self):
        super().__init__()
        self.critic, self.actor = torch.nn.Linear(1, 1, bias=False), torch.nn.Linear(1, 1, bias=False)
        self.target = torch.nn.Linear(1, 1, bias=False).requires_grad_(False)
        with torch.no_grad():
            self.critic.weight.fill_(1.0)
            self.actor.weight.fill_(2.0)
            self.target.weight.fill_(0.0)

    def parts(self):
        return {"critic": self.critic, "actor": self.actor}

    def targets(self):
        return {"critic": self.target}

    def statistics(self):
        return None


@dataclass
class Two(Algorithm):
    """The critic steps towards the batch; the actor, every second batch, towards the critic."""

    scalars: ClassVar = (Scalar("critic_loss", "Loss/critic_loss", "."), Scalar("actor_loss", "Loss/actor_loss", "."))

    def build(self, spec, inputs):
        return Pair()

    def memory(self, agent):
        raise NotImplementedError

    def knobs(self, left):
        return {"learning_rate": 0.1, "factor": 2.0 * left}

    def descent(self):
        return Descent("sgd", 0.1, 1e-5, 0.0, 0.0, skips=False)

    def objectives(self):
        def critic(agent, batch, knobs):
            loss = 0.5 * (agent.critic.weight - batch).square().sum()
            return Loss(loss, {"critic_loss": loss})

        def actor(agent, batch, knobs):
            loss = knobs["factor"] * (agent.actor.weight * agent.critic.weight.detach()).sum()
            return Loss(loss, {"actor_loss": loss})

        return (
            Objective("critic", critic, ("critic_loss",), "critic_norm"),
            Objective("actor", actor, ("actor_loss",), "actor_norm", every=2),
        )

    def targets(self):
        return (Target("critic", 0.5),)

    def optimizer_steps(self, sizes):
        raise NotImplementedError


class Plain:
    plain, scaled = True, False

    def backward(self, loss):
        loss.backward()

    def prepare(self, optimizer):
        return optimizer


@pytest.mark.parametrize(
    "compile_steps",
    [
        False,
        pytest.param(
            True,
            marks=[
                pytest.mark.slow,
                pytest.mark.skipif(not compiler_found(torch.device("cpu")), reason="no C++ compiler"),
            ],
        ),
    ],
)
def test_each_part_steps_by_its_own_loss_when_it_is_due(compile_steps):
    algorithm, agent = Two(), Pair()
    stepper = Stepper(algorithm, agent, algorithm.descent(), Plain(), OneRank(), compile_steps)
    knobs = {name: torch.tensor(value) for name, value in algorithm.knobs(1.0).items()}
    assert stepper.names == ("critic_loss", "critic_norm", "actor_loss", "actor_norm")
    first = stepper.take(torch.tensor(0.0), knobs)
    assert first.tolist()[:2] == pytest.approx([0.5, 1.0])
    assert first.tolist()[2:] == [NOT_DUE, NOT_DUE]
    assert float(agent.critic.weight) == pytest.approx(0.9)
    assert float(agent.actor.weight) == pytest.approx(2.0)
    second = stepper.take(torch.tensor(0.0), knobs)
    assert second.tolist() == pytest.approx([0.405, 0.9, 3.24, 1.62])  # the actor sees the critic after its step
    assert float(agent.critic.weight) == pytest.approx(0.81)
    assert float(agent.actor.weight) == pytest.approx(2.0 - 0.1 * 1.62)
    assert float(agent.target.weight) == pytest.approx(0.5 * 0.45 + 0.5 * 0.81)
    steps = torch.stack([first, second])
    assert stepper.means(steps).tolist() == pytest.approx([0.4525, 0.95, 3.24, 1.62])
    assert stepper.skipped(steps) == 0


@dataclass
class Scaled(Two):
    scale: float = 1.0

    def descent(self):
        return Descent("adam", 0.1, 1e-5, 0.0, 0.0, skips=False)

    def objectives(self):
        def loss(agent, batch, knobs):
            value = self.scale * (agent.critic.weight - batch).square().sum()
            return Loss(value, {"critic_loss": value})

        return (Objective("critic", loss, ("critic_loss",), "critic_norm"),)


@pytest.mark.slow
@pytest.mark.skipif(not compiler_found(torch.device("cpu")), reason="no C++ compiler")
def test_two_learners_in_one_process_compile_their_own_settings():
    """torch keeps graphs by code object, which both have in common."""
    knobs, found = {"learning_rate": torch.tensor(0.1)}, []
    for scale in (1.0, 3.0):
        algorithm = Scaled(scale=scale)
        stepper = Stepper(algorithm, Pair(), algorithm.descent(), Plain(), OneRank(), compile_steps=True)
        found.append(stepper.take(torch.tensor(0.0), knobs)[0].item())
    assert found == [1.0, 3.0]
