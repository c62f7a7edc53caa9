"""Optimizer steps of one objective on one part of an agent, eager or compiled (see `rlexp.learn.compiled`)."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

from rlexp.algos.base import Descent, Knobs, Objective
from rlexp.learn.compiled import CompiledStep
from rlexp.learn.compiler import compiler_found
from rlexp.learn.optimizer import build_optimizer, clip_scale
from rlexp.learn.precision import Precision
from rlexp.learn.ranks import Ranks
from rlexp.models.agent import Agent
from rlexp.models.flat import FlatPart


class PartStepper:
    """Takes optimizer steps on one part of an agent.

    Args:
        objective: its loss and its part.
        agent: the parameters of the part become views of `part.weights`.
        part: what is trained.
        descent: how.
        precision: of the networks.
        ranks: those whose gradients are averaged.
        compile_steps: whether steps are compiled, where there is a compiler.
        others: the other parts of the agent, which have no gradient here.
    """

    def __init__(
        self,
        objective: Objective,
        agent: Agent,
        part: FlatPart,
        descent: Descent,
        precision: Precision,
        ranks: Ranks,
        compile_steps: bool,
        others: Sequence[FlatPart] = (),
    ) -> None:
        self._others = [parameter for other in others for parameter in other.parameters]
        self.errors: Tensor | None = None
        """Of the transitions of the last batch, [B], where the loss reports them."""
        self._objective = objective
        self._agent = agent
        self.part = part
        self._descent = descent
        self._precision = precision
        self._ranks = ranks
        self.optimizer = build_optimizer(descent, part.weights, fused=not precision.scaled)
        self._prepared = precision.prepare(self.optimizer)
        self._autocast = nullcontext if precision.plain else precision.autocast  # which is not free
        self._compiled = None
        if compile_steps and compiler_found(part.weights.device):
            self._compiled = CompiledStep(objective, agent, part, descent, self.optimizer, ranks)

    def learning_rate(self, value: float) -> None:
        """Set the learning rate of the steps that follow."""
        self.optimizer.param_groups[0]["lr"] = value
        if self._compiled is not None:
            self._compiled.learning_rate.fill_(value)

    def take(self, batch: Any, knobs: Knobs) -> Tensor:
        """Step once; return the scalars of the loss and the gradient norm before clipping, [K + 1].

        Where `descent.skips`, nothing is changed if that norm is not finite; it is equal on all ranks.

        Args:
            batch: what the loss takes.
            knobs: as tensors of shape [].
        """
        if not self._descent.skips:
            return self._take(batch, knobs)
        state = self.optimizer.state[self.part.weights]
        before = {name: value.clone() for name, value in state.items()}
        weights = self.part.weights.detach().clone()
        terms = self._take(batch, knobs)
        self._undo_unless(terms[-1].isfinite(), before, weights)
        return terms

    @torch.no_grad()
    def _undo_unless(self, wanted: Tensor, before: dict[str, Tensor], weights: Tensor) -> None:
        """Put weights and optimizer state back unless `wanted`, [] bool, without a word between device and CPU."""
        own = self.part.weights
        own.copy_(torch.where(wanted, own, weights))
        for name, value in self.optimizer.state[own].items():
            if value.device == own.device:  # rmsprop counts steps elsewhere, and never asks for the count
                # what the step itself has made began with zeros
                value.copy_(torch.where(wanted, value, before[name] if name in before else torch.zeros_like(value)))

    def _take(self, batch: Any, knobs: Knobs) -> Tensor:
        """Step once, whatever the gradient; see `take`."""
        if self._compiled is not None:
            with self._autocast(), torch.no_grad():
                terms = self._compiled.take(batch, knobs)
            found = self._compiled.found
            self.errors = found.errors if found.errors.shape[0] else None
            self._move(found.statistics if found.statistics.shape[0] else None)
            return terms
        self.part.gradient.zero_()
        for parameter in self._others:
            parameter.requires_grad_(False)
        with self._autocast():
            loss, scalars, self.errors, statistics = self._objective.loss(self._agent, batch, knobs)
        self._move(statistics)
        self._precision.backward(loss)
        for parameter in self._others:
            parameter.requires_grad_(True)
        terms = torch.stack([scalars[name].detach() for name in self._objective.scalars])
        return torch.cat([terms, self._descend().view(1)])

    def _move(self, statistics: Tensor | None) -> None:
        """Let the agent hold the mean over ranks of what a loss makes of its statistics."""
        own = self._agent.statistics()
        if own is not None and statistics is not None:
            statistics = statistics.detach().clone()
            self._ranks.mean_(statistics)
            own.copy_(statistics)

    def _descend(self) -> Tensor:
        """Average the gradient over ranks, clip it and step; return its norm before clipping, []."""
        gradient = self.part.gradient
        if self._ranks.size > 1:
            self._ranks.mean_(gradient)
        if self._precision.scaled:  # after the mean, so that all ranks find the same overflow and skip the same step
            self._precision.unscale(self.optimizer)
        norm: Tensor = torch.linalg.vector_norm(gradient)
        if self._descent.max_norm > 0:
            gradient.mul_(clip_scale(norm, self._descent.max_norm))
        self._prepared.step()
        return norm
