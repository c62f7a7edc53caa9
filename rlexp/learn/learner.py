"""The learner: from a rollout to new weights, whatever the algorithm and the number of ranks."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rlexp.algos.base import Algorithm, Knobs
from rlexp.algos.off_policy import ReplaySettings
from rlexp.data.replay import ReplayRows, ReplayState, Segment
from rlexp.data.rollout import Collected, Rollout, Update
from rlexp.data.state import LearnerState, MemoryState
from rlexp.learn.fresh import build_fresh
from rlexp.learn.health import check_terms
from rlexp.learn.memory import Keep, Memory
from rlexp.learn.precision import Precision
from rlexp.learn.ranks import Ranks
from rlexp.learn.replay import Replay, ReplayPlace
from rlexp.learn.rewards import RewardScaler, shared_moments
from rlexp.learn.stepper import Stepper
from rlexp.models.actor_critic import ActorCritic
from rlexp.models.agent import Agent


@dataclass(frozen=True)
class Progress:
    """Where a run is.

    Attributes:
        update: number of updates done.
        updates: number of updates of the whole run.
    """

    update: int
    updates: int

    @property
    def left(self) -> float:
        """What is left of the run: 1 before the first update, falling linearly towards 0."""
        return 1 - self.update / self.updates


class Learner:
    """Trains an agent in place.

    Args:
        algorithm: what it learns by.
        agent: on the device of this rank.
        stepper: over the parts of `agent`.
        memory: what it learns from.
        rewards: the statistics of rewards, which `memory` uses.
        ranks: the ranks that learn together.
        shared: whether all of them see the same rollouts.
        precision: of the networks.
        adjust: what callbacks make of the knobs when so much of the run is left.
    """

    def __init__(
        self,
        algorithm: Algorithm,
        agent: Agent,
        stepper: Stepper,
        memory: Memory,
        rewards: RewardScaler,
        ranks: Ranks,
        shared: bool,
        precision: Precision,
        adjust: Callable[[Knobs, float], Knobs] = lambda knobs, left: knobs,
    ) -> None:
        self._adjust = adjust
        self._algorithm = algorithm
        self.agent = agent
        self._stepper = stepper
        self._memory = memory
        self._rewards = rewards
        self._ranks = ranks
        self._shared = shared
        self._precision = precision

    def update(self, collected: Collected, progress: Progress) -> Update:
        """Learn from what was collected by the environments of this rank, or of all where data are shared.

        Raises:
            Fault: a loss or a gradient is not finite; every rank raises it.
        """
        begin = time.perf_counter()
        rollout = collected.rollout.to(self._stepper.device)
        knobs = self._adjust(self._algorithm.knobs(progress.left), progress.left)
        self._stepper.learning_rates(knobs)
        tensors = {name: torch.tensor(value, device=self._stepper.device) for name, value in knobs.items()}
        self._memory.add(rollout)
        steps: list[Tensor] = []
        for batch in self._memory.batches(progress.left):
            steps.append(self._stepper.take(batch, tensors))
            if not self._memory.learned(steps[-1], self._stepper.errors):
                break
        self._observe(rollout)
        scalars = self._scalars(steps, knobs, progress.update + 1)
        return Update(scalars, time.perf_counter() - begin, len(steps))

    def _observe(self, rollout: Rollout) -> None:
        """Take the observations of a rollout into the statistics that normalise them, for the next ones."""
        preprocessor = self.agent.actor.preprocessor
        if preprocessor.normalizer is not None:
            rows = preprocessor.raw_vector(rollout.obs[:-1])[rollout.valid]
            preprocessor.normalizer.merge(shared_moments(rows, self._ranks, self._shared))

    def _scalars(self, steps: list[Tensor], knobs: Knobs, number: int) -> dict[str, float]:
        """Return the scalars of an update, averaged over its steps, each [K], and over ranks.

        Raises:
            Fault: one that must be finite is not.
        """
        stepper, declared = self._stepper, self._algorithm.all_scalars()
        table = np.zeros((0, len(stepper.names)), np.float32)
        if steps:
            table = torch.stack(steps).float().cpu().numpy()
        means = np.concatenate([stepper.means(table), self._memory.report().cpu().numpy()])
        if self._ranks.size > 1:
            together = torch.from_numpy(means).to(stepper.device)
            self._ranks.mean_(together)
            means = together.cpu().numpy()
        names = (*stepper.names, *(scalar.name for scalar in self._algorithm.of_memory))
        found = dict(zip(names, means.tolist(), strict=True))
        found |= {"skipped_steps": float(stepper.skipped(table))}
        found |= {scalar.name: float(knobs[scalar.name]) for scalar in declared if scalar.name in knobs}
        absent = stepper.absent(table)
        checked = [scalar for scalar in declared if scalar.name not in absent]
        check_terms(found, checked, table, self._memory.minibatches, number)
        return {scalar.name: found[scalar.name] for scalar in declared}

    # What a checkpoint holds

    def state(self) -> LearnerState:
        """Return what is equal on all ranks that learn."""
        agent = {name: value.detach().cpu().clone() for name, value in self.agent.state_dict().items()}
        optimizers = {part: one.optimizer.state_dict() for part, one in self._stepper.steppers.items()}
        moments = dict(self._rewards.moments.state_dict())
        return LearnerState(agent, optimizers, self._stepper.steps, self._precision.state(), moments)

    def own_state(self, keep: Keep) -> MemoryState | ReplayState:
        """Return what is this rank's own; `keep` says how rows of a replay memory are kept."""
        return self._memory.state(keep)

    def load_state(
        self, state: LearnerState, own: MemoryState | ReplayState, read: Callable[[Segment], ReplayRows]
    ) -> None:
        """Continue from what `state` and `own_state` returned; `read` reads rows that lie in a file of their own."""
        self.agent.load_state_dict(state.agent)
        for part, one in self._stepper.steppers.items():
            one.optimizer.load_state_dict(state.optimizers[part])
        self._stepper.steps = state.steps
        self._precision.load_state(state.precision)
        self._rewards.moments.load_state_dict(state.reward_moments)
        self._memory.load_state(own, read)


@dataclass(frozen=True)
class LearnerSettings:
    """What the rest of an experiment decides about a learner.

    Attributes:
        num_envs: environments in the rollouts.
        normalize_rewards: whether rewards are normalised.
        reward_limit: what they are clipped to; None: not clipped.
        shared: whether all ranks see the same rollouts.
        compile_steps: whether optimizer steps are compiled.
        replay: where a replay memory lies; None: there is none.
    """

    num_envs: int
    normalize_rewards: bool = False
    reward_limit: float | None = None
    shared: bool = False
    compile_steps: bool = False
    replay: ReplayPlace | None = None


def build_learner(
    algorithm: Algorithm,
    agent: Agent,
    settings: LearnerSettings,
    precision: Precision,
    ranks: Ranks,
    generator: torch.Generator,
    adjust: Callable[[Knobs, float], Knobs] = lambda knobs, left: knobs,
) -> Learner:
    """Return the learner of an algorithm.

    Args:
        algorithm: what it learns by.
        agent: on the device of this rank.
        settings: what the rest of the experiment decides.
        precision: of the networks.
        ranks: the ranks that learn together.
        generator: draws batches, on the CPU; equal on all ranks where data are shared.
        adjust: what callbacks make of the knobs when so much of the run is left.
    """
    stepper = Stepper(algorithm, agent, algorithm.descent(), precision, ranks, settings.compile_steps)
    memory, shared = algorithm.memory(agent), settings.shared
    rewards = RewardScaler(
        settings.normalize_rewards,
        settings.reward_limit,
        memory.gamma,
        ranks,
        shared,
        settings.num_envs,
        stepper.device,
    )
    built: Memory
    if isinstance(memory, ReplaySettings):
        assert settings.replay is not None
        built = Replay(memory, settings.replay, rewards, ranks, shared, generator, stepper.device)
    else:
        assert isinstance(agent, ActorCritic)
        built = build_fresh(memory, agent, stepper, rewards, precision, generator, settings.num_envs)
    return Learner(algorithm, agent, stepper, built, rewards, ranks, shared, precision, adjust)
