"""Batch renormalisation, held against torch's batch normalisation and against its own definition."""

import pytest
import torch

from rlexp.algos import SAC
from rlexp.algos.base import Inputs
from rlexp.data.replay import ReplayBatch
from rlexp.data.spaces import ActionSpec, ObservationSpec, SpaceSpec
from rlexp.learn.compiler import compiler_found
from rlexp.learn.precision import Float32
from rlexp.learn.ranks import OneRank
from rlexp.learn.stepper import Stepper
from rlexp.models.renorm import EPS, MOMENTUM, WARM_UP, BatchRenorm

SPEC = SpaceSpec(ObservationSpec(3, (), ()), ActionSpec("box", (), (1,), (), (-2.0,), (2.0,)))


def test_before_the_warm_up_it_is_batch_normalisation():
    torch.manual_seed(0)
    renorm, plain = BatchRenorm(2, [4, 5]), torch.nn.BatchNorm1d(5, eps=EPS, momentum=MOMENTUM)
    for _ in range(3):
        rows = torch.randn(2, 64, 5) * 3 + 1
        own, statistics = renorm.learned(1, rows)
        torch.testing.assert_close(own[0], plain(rows[0]))
        first = torch.stack([torch.zeros(2, 1, 4), torch.ones(2, 1, 4)])
        renorm.running.copy_(renorm.moved([first, statistics]))
    mean, variance = renorm._of(1)
    torch.testing.assert_close(mean[0, 0], plain.running_mean)
    torch.testing.assert_close(variance[0, 0] - 1, (plain.running_var - 1), rtol=0.05, atol=1e-3)  # theirs: unbiased
    assert renorm.running[-1] == 3
    plain.eval()
    torch.testing.assert_close(renorm.layer(1, rows)[0], plain(rows[0]), rtol=1e-2, atol=1e-2)


def test_after_it_the_running_statistics_correct_those_of_the_batch():
    """Equation 5: where the correction is within its bounds, rows come out as by the running statistics."""
    renorm = BatchRenorm(1, [3])
    renorm.running[-1] = WARM_UP
    rows = torch.randn(1, 32, 3) * 1.5 + 0.5
    own, _ = renorm.learned(0, rows)
    torch.testing.assert_close(own, renorm.layer(0, rows))
    far, _ = renorm.learned(0, 100 * rows)
    assert not torch.allclose(far, renorm.layer(0, 100 * rows))


def learned(compile_steps: bool) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    algorithm = SAC(critic_batch_norm=True, hidden_sizes=[16, 16], policy_every=2)
    agent = algorithm.build(SPEC, Inputs(False, None, "clip"))
    assert agent.targets() == {}
    stepper = Stepper(algorithm, agent, algorithm.descent(), Float32(), OneRank(), compile_steps)
    knobs, draw = {name: torch.tensor(value) for name, value in algorithm.knobs(1.0).items()}, torch.Generator()

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=draw)

    for _ in range(4):
        batch = ReplayBatch(
            normal(32, 3), normal(32, 1).tanh(), normal(32), normal(32, 3), 0.9 * torch.ones(32), normal(32, 2)
        )
        stepper.take(batch, knobs)
    return agent.state_dict()


def test_its_statistics_move_with_every_batch_and_are_in_the_checkpoint():
    after = learned(compile_steps=False)
    running = after["critics.ensemble.renorm.running"]
    assert running[-1] == 4
    assert not torch.equal(running[:4], torch.zeros(4))


@pytest.mark.slow
@pytest.mark.skipif(not compiler_found(torch.device("cpu")), reason="no C++ compiler")
def test_compiled_and_eager_steps_come_to_the_same():
    for (name, first), second in zip(learned(False).items(), learned(True).values(), strict=True):
        torch.testing.assert_close(first, second, rtol=1e-4, atol=1e-5, msg=name)
