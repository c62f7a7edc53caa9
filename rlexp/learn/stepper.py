"""Optimizer steps, eager or compiled (see `rlexp.learn.compiled`): the one place where weights change."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rlexp.algos.base import Algorithm, Descent, Knobs
from rlexp.learn.compiler import compiler_found
from rlexp.learn.joint import JointStep
from rlexp.learn.part import PartStepper
from rlexp.learn.precision import Precision
from rlexp.learn.ranks import Ranks
from rlexp.models.agent import Agent
from rlexp.models.flat import FlatPart

Array = npt.NDArray[np.float32]
NOT_DUE = -torch.inf
"""What an objective reports of a batch that it takes no step on; no norm is negative."""


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
