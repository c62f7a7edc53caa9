"""The train step of one objective as compiled graphs: loss, gradient, clipping and Adam.

Without compilation nearly all of the time of a small network goes into calls, not arithmetic. A single rank runs one
graph a step; among others two, with the mean of the gradients between them. Both are pure functions of flat vectors.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad

from rlexp.algos.base import Descent, Knobs, Objective
from rlexp.learn.compiler import compiled
from rlexp.learn.optimizer import clip_scale
from rlexp.learn.ranks import Ranks
from rlexp.models.agent import Agent
from rlexp.models.flat import FlatPart

BETAS = (0.9, 0.999)


class Found(NamedTuple):
    """What an objective finds beside its gradient: scalars, [K]; errors of the transitions, [B] or [0]; statistics."""

    scalars: Tensor
    errors: Tensor
    statistics: Tensor


class Evaluated(nn.Module):
    """An objective as a module, so that `functional_call` can give its agent other weights."""

    def __init__(self, agent: Agent, objective: Objective) -> None:
        super().__init__()
        self.agent, self._objective = agent, objective

    def forward(self, batch: Any, knobs: Knobs) -> tuple[Tensor, Found]:
        """Return the loss, [], and what it finds; errors and statistics that it does not return are [0]."""
        loss, scalars, errors, statistics = self._objective.loss(self.agent, batch, knobs)
        found, nothing = torch.stack([scalars[name].detach() for name in self._objective.scalars]), loss.new_zeros(0)
        return loss, Found(found, *(nothing if one is None else one.detach() for one in (errors, statistics)))


class CompiledStep:
    """Takes optimizer steps on batches, compiled at the first of them.

    Args:
        objective: its loss and its part.
        agent: the parameters of the part are views of `part.weights`.
        part: what is trained.
        descent: how.
        optimizer: over `part.weights`; holds the state.
        ranks: those whose gradients are averaged.
    """

    def __init__(
        self,
        objective: Objective,
        agent: Agent,
        part: FlatPart,
        descent: Descent,
        optimizer: torch.optim.Optimizer,
        ranks: Ranks,
    ) -> None:
        self._part = part
        self._descent = descent
        self._optimizer = optimizer
        self._ranks = ranks
        self._evaluated = Evaluated(agent, objective)
        self._weights = part.weights.detach()
        device = part.weights.device
        self.learning_rate = torch.tensor(descent.learning_rate, dtype=torch.float32, device=device)
        # A graph that writes into its inputs is no CUDA graph.
        self._single = descent.adam and ranks.size == 1 and device.type == "cpu"
        self._gradient = compiled(self._gradient_and_scalars, device)
        adam_on_cpu = descent.adam and device.type == "cpu"
        self._step = compiled(self._clip_and_adam, device) if adam_on_cpu else self._optimize
        self._whole = compiled(self._both, device)
        self.found = Found(torch.zeros(0), torch.zeros(0), torch.zeros(0))
        """What the last batch came to."""

    def take(self, batch: Any, knobs: Knobs) -> Tensor:
        """Step once; return the scalars of the loss and the gradient norm before clipping, [K + 1]."""
        if self._single:
            terms: Tensor
            terms, self.found = self._whole(self._weights, *self._state(), self.learning_rate, batch, knobs)
            return terms
        gradient, self.found = self._gradient(self._weights, batch, knobs)
        gradients = self._ranks.borrow(gradient)
        norm = self._step(self._weights, gradients, *self._state(), self.learning_rate)
        return torch.cat([self.found.scalars, norm.view(1)])

    def _state(self) -> tuple[Tensor, ...]:
        """Return Adam's state; nothing of another optimizer."""
        return adam_state(self._optimizer, self._part) if self._descent.adam else ()

    # What is compiled

    def _gradient_and_scalars(self, weights: Tensor, batch: Any, knobs: Knobs) -> tuple[Tensor, Found]:
        """Return the flat gradient, and what the loss finds."""
        return gradient_of(self._evaluated, self._part, {}, weights, batch, knobs)

    def _clip_and_adam(
        self, weights: Tensor, gradients: Tensor, first: Tensor, second: Tensor, steps: Tensor, learning_rate: Tensor
    ) -> Tensor:
        """Take a step of Adam by the mean gradient of the ranks, [size, W]; see `clip_and_adam`."""
        return clip_and_adam(self._descent, weights, gradients.mean(0), first, second, steps, learning_rate)

    def _both(
        self,
        weights: Tensor,
        first: Tensor,
        second: Tensor,
        steps: Tensor,
        learning_rate: Tensor,
        batch: Any,
        knobs: Knobs,
    ) -> tuple[Tensor, Found]:
        """Both halves; return the scalars of the loss and the norm, [K + 1], and what the loss finds."""
        gradient, found = self._gradient_and_scalars(weights, batch, knobs)
        norm = clip_and_adam(self._descent, weights, gradient, first, second, steps, learning_rate)
        return torch.cat([found.scalars, norm.view(1)]), found

    # What is not

    def _optimize(self, weights: Tensor, gradients: Tensor, *state: Tensor) -> Tensor:
        """Clip the mean gradient and take a step of torch's optimizer; return the norm before clipping, []."""
        gradient = gradients.mean(0)
        norm: Tensor = torch.linalg.vector_norm(gradient)
        if self._descent.max_norm > 0:
            gradient = gradient * clip_scale(norm, self._descent.max_norm)
        self._part.weights.grad = gradient
        self._optimizer.step()
        return norm


# Of one objective or of several (`rlexp.learn.joint`)


def gradient_of(
    evaluated: Evaluated, part: FlatPart, others: dict[str, Tensor], weights: Tensor, batch: Any, knobs: Knobs
) -> tuple[Tensor, Found]:
    """Return the flat gradient of an objective, and what it finds.

    Args:
        evaluated: the objective.
        part: what is trained.
        others: the parameters of other parts by their names; what is not among them is taken from the agent.
        weights: of the part, flat.
        batch: what the loss takes.
        knobs: as tensors of shape [].
    """

    def loss(weights: Tensor) -> tuple[Tensor, Found]:
        named = {f"agent.{name}": view for name, view in (others | part.views(weights)).items()}
        # A shared torso is one module under two names: nothing is left to tie, and tying does not compile.
        result: tuple[Tensor, Found] = functional_call(evaluated, named, (batch, knobs), tie_weights=False)
        return result

    gradient, found = grad(loss, has_aux=True)(weights)
    return gradient, found


def adam_state(optimizer: torch.optim.Optimizer, part: FlatPart) -> tuple[Tensor, Tensor, Tensor]:
    """Return Adam's state where torch's optimizer keeps it: first moment, second moment and steps so far."""
    state, weights = optimizer.state[part.weights], part.weights.detach()
    if not state:
        # float32 whatever the precision: bfloat16 counts to 256
        state["step"] = torch.zeros((), dtype=torch.float32, device=weights.device)
        state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(weights), torch.zeros_like(weights)
    return state["exp_avg"], state["exp_avg_sq"], state["step"]


def clip_and_adam(
    descent: Descent,
    weights: Tensor,
    gradient: Tensor,
    first: Tensor,
    second: Tensor,
    steps: Tensor,
    learning_rate: Tensor,
) -> Tensor:
    """Take a step of Adam (arXiv:1412.6980, algorithm 1; AdamW: arXiv:1711.05101) in place, its gradient clipped.

    Returns:
        The norm of the gradient before clipping, [].
    """
    norm: Tensor = torch.linalg.vector_norm(gradient)
    if descent.max_norm > 0:
        gradient = gradient * clip_scale(norm, descent.max_norm)
    if descent.optimizer == "adamw":
        weights.mul_(1 - learning_rate * descent.weight_decay)
    elif descent.weight_decay > 0:
        gradient = gradient + descent.weight_decay * weights
    steps.add_(1)
    first.lerp_(gradient, 1 - BETAS[0])
    second.mul_(BETAS[1]).addcmul_(gradient, gradient, value=1 - BETAS[1])
    count = steps.double()  # 1 - 0.999 has few digits in float32
    rate = learning_rate / (1 - BETAS[0] ** count)
    denominator = second.sqrt() / (1 - BETAS[1] ** count).sqrt().float() + descent.eps
    weights.sub_(rate.float() * first / denominator)
    return norm
