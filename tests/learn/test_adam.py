"""The optimizer steps of the compiled path, beside torch's own."""

import pytest
import torch

from rlexp.algos.base import Descent, Loss, Objective
from rlexp.learn.compiled import CompiledStep
from rlexp.learn.optimizer import build_optimizer, clip_scale
from rlexp.learn.ranks import OneRank
from rlexp.models.flat import FlatPart


@pytest.mark.parametrize(("norm", "scale"), [(0.1, 1.0), (0.4999, 1.0), (1.0, 0.5), (50.0, 0.01), (0.0, 1.0)])
def test_a_gradient_is_scaled_down_to_the_largest_norm_and_never_up(norm, scale):
    assert float(clip_scale(torch.tensor(norm), 0.5)) == pytest.approx(scale, rel=1e-5)


def descent_of(**changes) -> Descent:
    settings = {"optimizer": "adam", "learning_rate": 0.01, "eps": 1e-5, "weight_decay": 0.0, "max_norm": 0.5}
    return Descent(**{**settings, "skips": False, **changes})


def stepped(descent: Descent, gradients: list[torch.Tensor]) -> tuple[torch.Tensor, list[float]]:
    """Return the weights after steps of the compiled path's functions, which are not compiled here, and the norms."""
    torch.manual_seed(0)
    module = torch.nn.Linear(5, 3)
    part = FlatPart(module, module)
    objective = Objective("policy", lambda agent, batch, knobs: Loss(batch, {}), ())
    optimizer = build_optimizer(descent, part.weights, fused=False)
    step = CompiledStep(objective, module, part, descent, optimizer, OneRank())
    take = step._clip_and_adam if descent.adam else step._optimize
    norms = [
        float(take(part.weights.detach(), gradient.unsqueeze(0), *step._state(), step.learning_rate))
        for gradient in gradients
    ]
    return part.weights.detach(), norms


def by_torch(descent: Descent, gradients: list[torch.Tensor]) -> torch.Tensor:
    torch.manual_seed(0)
    module = torch.nn.Linear(5, 3)
    weights = FlatPart(module, module).weights
    optimizer = build_optimizer(descent, weights, fused=False)
    for gradient in gradients:
        weights.grad = gradient.clone()
        if descent.max_norm:
            torch.nn.utils.clip_grad_norm_([weights], descent.max_norm)
        optimizer.step()
    return weights.detach()


@pytest.mark.parametrize("scale", [0.01, 10.0], ids=["small", "large"])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"max_norm": 0.0},
        {"weight_decay": 0.1},
        {"optimizer": "adamw", "weight_decay": 0.1},
        {"eps": 0.1},
        {"optimizer": "sgd"},
        {"optimizer": "rmsprop"},
        {"optimizer": "sgd", "max_norm": 0.0},
    ],
    ids=lambda changes: ",".join(f"{key}={value}" for key, value in changes.items()) or "adam",
)
def test_steps_equal_torchs_over_many_gradients(changes, scale):
    """Forty steps, so that both moments and their corrections matter."""
    descent, draw = descent_of(**changes), torch.Generator().manual_seed(1)
    gradients = [scale * torch.randn(32, generator=draw) for _ in range(40)]
    weights, norms = stepped(descent, gradients)
    torch.testing.assert_close(weights, by_torch(descent, gradients), rtol=1e-5, atol=1e-6)
    assert norms == pytest.approx([float(gradient.norm()) for gradient in gradients], rel=1e-5)


def test_the_mean_gradient_of_all_ranks_is_what_is_descended():
    gradients = torch.tensor([[1.0] * 32, [3.0] * 32])
    one, _ = stepped(descent_of(max_norm=0.0), [gradients.mean(0)])
    torch.manual_seed(0)
    module = torch.nn.Linear(5, 3)
    part = FlatPart(module, module)
    descent = descent_of(max_norm=0.0)
    optimizer = build_optimizer(descent, part.weights, fused=False)
    objective = Objective("policy", lambda agent, batch, knobs: Loss(batch, {}), ())
    step = CompiledStep(objective, module, part, descent, optimizer, OneRank())
    step._clip_and_adam(part.weights.detach(), gradients, *step._state(), step.learning_rate)
    assert torch.equal(part.weights.detach(), one)
