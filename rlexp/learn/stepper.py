"""Optimizer steps, eager or compiled (see `rlexp.learn.compiled`): the one place where weights change."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rlexp.algos.base import Algorithm, Descent, Knobs, Objective
from rlexp.learn.compiled import CompiledStep
from rlexp.learn.compiler import compiler_found
from rlexp.learn.joint import JointStep
from rlexp.learn.optimizer import build_optimizer, clip_scale
from rlexp.learn.precision import Precision
from rlexp.learn.ranks import Ranks
from rlexp.models.agent import Agent
from rlexp.models.flat import FlatPart

Array = npt.NDArray[np.float32]
NOT_DUE = -torch.inf
"""What an objective reports of a batch that it takes no step on; no norm is negative."""


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


class Stepper:
    """Takes every batch through all objectives of an algorithm, then moves its target networks.

    Args:
        algorithm: its objectives and targets.
        agent: its parts become flat.
        descent: how weights follow gradients.
        precision: of the networks.
        ranks: those whose gradients are averaged.
        compile_steps: whether steps are compiled, where there is a compiler.
    """

    def __init__(
        self,
        algorithm: Algorithm,
        agent: Agent,
        descent: Descent,
        precision: Precision,
        ranks: Ranks,
        compile_steps: bool,
    ) -> None:
        self._parts = {name: FlatPart(module, agent) for name, module in agent.parts().items()}
        self._target_parts = {name: FlatPart(module, agent) for name, module in agent.targets().items()}
        self._objectives, self._targets = algorithm.objectives(), algorithm.targets()
        self._autocast = nullcontext if precision.plain else precision.autocast
        device = next(iter(self._parts.values())).weights.device
        several = len(self._objectives) > 1 or bool(self._targets)
        joint = compile_steps and several and descent.adam and not descent.skips and ranks.size == 1
        joint = joint and device.type == "cpu" and compiler_found(device)
        self.steppers = {}
        for objective in self._objectives:
            others = [part for name, part in self._parts.items() if name != objective.part]
            part, separate = self._parts[objective.part], compile_steps and not joint
            self.steppers[objective.part] = PartStepper(
                objective, agent, part, descent, precision, ranks, separate, others
            )
        optimizers = {name: stepper.optimizer for name, stepper in self.steppers.items()}
        self._joint = None
        if joint:
            parts, targets = self._parts, self._target_parts
            self._joint = JointStep(self._objectives, agent, parts, targets, descent, optimizers)
        self.names = tuple(name for objective in self._objectives for name in (*objective.scalars, objective.norm))
        """What `take` returns, in this order."""
        self._not_due = {
            objective.part: torch.full((len(objective.scalars) + 1,), NOT_DUE, device=device)
            for objective in self._objectives
        }
        self.skips = descent.skips or precision.scaled  # the scaler of gradients skips its overflows by itself
        self.steps = 0
        """Batches so far."""
        self.errors: Tensor | None = None
        """Of the transitions of the last batch, [B], where a loss reports them."""

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(iter(self.steppers.values())).part.weights.device

    def learning_rates(self, knobs: Knobs) -> None:
        """Set the learning rates of the steps that follow: those of the knobs that the objectives name."""
        for objective in self._objectives:
            self.steppers[objective.part].learning_rate(knobs[objective.rate])
            if self._joint is not None:
                self._joint.rates[objective.part].fill_(knobs[objective.rate])

    def take(self, batch: Any, knobs: Knobs) -> Tensor:
        """Take one batch through all objectives that are due; return their terms, [K] in the order of `names`.

        An objective that is not due reports NOT_DUE.
        """
        self.steps += 1
        due = tuple(objective.part for objective in self._objectives if self.steps % objective.every == 0)
        targets = tuple(target for target in self._targets if self.steps % target.every == 0)
        if self._joint is not None:
            with self._autocast():
                found, errors = self._joint.take(due, targets, batch, knobs)
            self.errors = errors if errors.shape[0] else None
        else:
            found = self._separately(due, batch, knobs)
            for target in targets:
                part, following = self._parts[target.part].weights, self._target_parts[target.part].weights
                following.detach().lerp_(part.detach(), target.tau)
        terms = [found.get(objective.part, self._not_due[objective.part]) for objective in self._objectives]
        return terms[0] if len(terms) == 1 else torch.cat(terms)

    def _separately(self, due: tuple[str, ...], batch: Any, knobs: Knobs) -> dict[str, Tensor]:
        """Take one batch through the objectives that are due, one after the other; return their terms by part."""
        found: dict[str, Tensor] = {}
        for objective in self._objectives:
            if objective.part not in due:
                continue
            stepper = self.steppers[objective.part]
            found[objective.part] = terms = stepper.take(batch, knobs)
            self.errors = stepper.errors if stepper.errors is not None else self.errors
            if len(self._objectives) > 1:
                knobs = knobs | dict(zip(objective.scalars, terms.unbind(0)[:-1], strict=True))
        return found

    def means(self, steps: Array) -> Array:
        """Return the mean of each term, [K], over the steps, [S, K], that were due and not skipped; NaN without any."""
        means = [
            rows[good].mean(0) if good.any() else np.full(rows.shape[1], np.nan, rows.dtype)
            for rows, good in self._by_objective(steps)
        ]
        return means[0] if len(means) == 1 else np.concatenate(means)

    def absent(self, steps: Array) -> set[str]:
        """Return the names of the terms that none of the steps, [S, K], was due for."""
        names = [(*objective.scalars, objective.norm) for objective in self._objectives]
        parts = zip(names, self._by_objective(steps), strict=True)
        return {name for own, (rows, _) in parts if (rows[:, -1] == NOT_DUE).all() for name in own}

    def skipped(self, steps: Array) -> int:
        """Return how many of the steps, [S, K], were skipped because their gradient was not finite."""
        return sum(int((rows[:, -1] != NOT_DUE).sum()) - int(good.sum()) for rows, good in self._by_objective(steps))

    def _by_objective(self, steps: Array) -> list[tuple[Array, Array]]:
        """Return for each objective its columns of the steps, [S, k], and which of the steps count, [S] bool."""
        found, start = [], 0
        for objective in self._objectives:
            rows = steps[:, start : start + len(objective.scalars) + 1]
            start += rows.shape[1]
            found.append((rows, np.isfinite(rows[:, -1]) if self.skips else rows[:, -1] != NOT_DUE))
        return found
