"""All objectives of an algorithm, and its target networks, as one compiled graph a batch.

A graph of its own for each objective costs a call each, and computes again what two of them share.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from rlexp.algos.base import Descent, Knobs, Objective, Target
from rlexp.learn.compiled import Evaluated, adam_state, clip_and_adam, gradient_of
from rlexp.learn.compiler import compiled
from rlexp.models.agent import Agent
from rlexp.models.flat import FlatPart


class _Vectors(NamedTuple):
    """What a graph changes in place, by part."""

    weights: dict[str, Tensor]
    targets: dict[str, Tensor]
    adam: dict[str, tuple[Tensor, Tensor, Tensor]]
    rates: dict[str, Tensor]
    statistics: Tensor | None


class JointStep:
    """Takes a batch through all objectives that are due; for a single rank on the CPU with a form of Adam.

    Args:
        objectives: in their order; each has a part of its own.
        agent: the parameters of its parts, and of its target networks, are views of the flat vectors.
        parts: by name.
        targets: the target networks by the part that they follow.
        descent: how weights follow gradients.
        optimizers: by part; they hold the state.
    """

    def __init__(
        self,
        objectives: Sequence[Objective],
        agent: Agent,
        parts: dict[str, FlatPart],
        targets: dict[str, FlatPart],
        descent: Descent,
        optimizers: dict[str, torch.optim.Optimizer],
    ) -> None:
        self._objectives, self._parts, self._targets = objectives, parts, targets
        self._descent, self._optimizers, self._agent = descent, optimizers, agent
        named = {id(buffer): name for name, buffer in agent.named_buffers()}
        self._statistics = named.get(id(agent.statistics()))
        self._evaluated = {objective.part: Evaluated(agent, objective) for objective in objectives}
        self._graphs: dict[tuple[tuple[str, ...], tuple[Target, ...]], Any] = {}
        self.rates = {name: torch.tensor(descent.learning_rate, dtype=torch.float32) for name in optimizers}
        """Learning rates by part, []."""

    def take(
        self, due: tuple[str, ...], targets: tuple[Target, ...], batch: Any, knobs: Knobs
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Step once; return scalars and gradient norm of each part that is due, [K + 1], and the errors, [B] or [0]."""
        graph = self._graphs.get((due, targets))
        if graph is None:

            def update(vectors: _Vectors, batch: Any, knobs: Knobs) -> tuple[dict[str, Tensor], Tensor]:
                return self._update(due, targets, vectors, batch, knobs)

            graph = self._graphs[due, targets] = compiled(update, torch.device("cpu"))
        vectors = _Vectors(
            {name: part.weights.detach() for name, part in self._parts.items()},
            {name: part.weights.detach() for name, part in self._targets.items()},
            {name: adam_state(optimizer, self._parts[name]) for name, optimizer in self._optimizers.items()},
            self.rates,
            self._agent.statistics(),
        )
        with torch.no_grad():
            found: tuple[dict[str, Tensor], Tensor] = graph(vectors, batch, knobs)
        return found

    def _update(
        self, due: tuple[str, ...], targets: tuple[Target, ...], vectors: _Vectors, batch: Any, knobs: Knobs
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Take one step of each part that is due, then one of the target networks that are."""
        known, terms, errors = dict(knobs), {}, torch.zeros(0)
        for objective in self._objectives:
            if objective.part not in due:
                continue
            others = self._views(vectors)
            weights, part = vectors.weights[objective.part], self._parts[objective.part]
            evaluated = self._evaluated[objective.part]
            gradient, found = gradient_of(evaluated, part, others, weights, batch, known)
            rate = vectors.rates[objective.part]
            norm = clip_and_adam(self._descent, weights, gradient, *vectors.adam[objective.part], rate)
            known |= dict(zip(objective.scalars, found.scalars.unbind(0), strict=True))
            terms[objective.part] = torch.cat([found.scalars, norm.view(1)])
            errors = found.errors if found.errors.shape[0] else errors
            if vectors.statistics is not None and found.statistics.shape[0]:
                vectors.statistics.copy_(found.statistics)
        for target in targets:
            vectors.targets[target.part].lerp_(vectors.weights[target.part], target.tau)
        return terms, errors

    def _views(self, vectors: _Vectors) -> dict[str, Tensor]:
        """Return all parameters by their names, as views of the vectors."""
        found: dict[str, Tensor] = {}
        for name, weights in vectors.weights.items():
            found |= self._parts[name].views(weights)
        for name, weights in vectors.targets.items():
            found |= self._targets[name].views(weights)
        return found
