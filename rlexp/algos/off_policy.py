"""What every off-policy algorithm shares: its hyperparameters, its replay memory, and its target networks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from rlexp.algos.base import Algorithm, Knobs, Sizes
from rlexp.data.exploration import Exploration
from rlexp.data.scalars import REPLAY, Scalar
from rlexp.errors import ConfigError
from rlexp.settings import setting

if TYPE_CHECKING:
    from rlexp.data.spaces import ActionSpec


@dataclass(frozen=True)
class ReplaySettings:
    """How an algorithm learns from a replay memory; see the settings of `OffPolicy`.

    Attributes:
        batch: transitions of one batch of one rank.
        replay_ratio: batches for each environment step, over all ranks.
        learning_starts: environment steps, over all ranks, in memory before the first batch.
        gamma: discount factor.
        n_step: steps of a transition.
        alpha: exponent of priorities; 0: every transition is as likely.
        beta: exponent of their importance weights at the start; it rises to 1.
        noise: standard normal numbers that a loss needs for each transition.
    """

    batch: int
    replay_ratio: float
    learning_starts: int
    gamma: float
    n_step: int
    alpha: float
    beta: float
    noise: int


@dataclass
class OffPolicy(Algorithm):
    """Hyperparameters of algorithms that learn from a replay memory; they hold no state."""

    of_memory: ClassVar[tuple[Scalar, ...]] = REPLAY
    kinds: ClassVar[tuple[str, ...]]
    """The kinds of actions that it learns; see `rlexp.data.spaces.ActionSpec`."""

    num_steps: int = setting(
        4, "Steps per environment in one rollout, T, which the gradient steps that they owe follow.", ge=1
    )
    learning_starts: int = setting(
        1_000, "Environment steps over all ranks, with uniform actions, before the first batch.", ge=0
    )
    replay_ratio: float = setting(
        1.0, "Gradient steps for each environment step over all ranks; 0.25: one for every four.", gt=0, le=1_000
    )
    n_step: int = setting(1, "Rewards that are added up before a return is bootstrapped, n.", ge=1, le=100)
    tau: float = setting(0.005, "Share by which target networks move towards the networks; 1: copies.", gt=0, le=1)
    target_every: int = setting(1, "Gradient steps from one step of the target networks to the next.", ge=1)
    priority_exponent: float = setting(
        0.0, "Prioritised replay: alpha (arXiv:1511.05952, equation 1); 0: every transition is as likely.", ge=0, le=1
    )
    priority_correction: float = setting(
        0.4, "Prioritised replay: beta of the importance weights at the start; it rises to 1.", ge=0, le=1
    )

    def replay(self, noise: int) -> ReplaySettings:
        """Return how it learns from its memory, with so many normal numbers for each transition."""
        assert self.per_rank_batch_size is not None
        return ReplaySettings(
            batch=self.per_rank_batch_size,
            replay_ratio=self.replay_ratio,
            learning_starts=self.learning_starts,
            gamma=self.gamma,
            n_step=self.n_step,
            alpha=self.priority_exponent,
            beta=self.priority_correction,
            noise=noise,
        )

    def exploration(self, knobs: Knobs, env_steps: int) -> Exploration:
        """Return uniform actions before learning starts."""
        return Exploration(uniform=env_steps < self.learning_starts)

    def optimizer_steps(self, sizes: Sizes) -> int:
        """Return those of the steps after learning starts."""
        steps = sizes.updates * sizes.steps_per_update - self.learning_starts
        return int(max(0, steps) * self.replay_ratio)

    def check_space(self, action: ActionSpec) -> None:
        """Check that it can learn such actions.

        Raises:
            ConfigError: it cannot.
        """
        name = type(self).__name__.lower()
        if action.kind not in self.kinds or action.container:
            known = " or ".join("Box of real numbers" if kind == "box" else "Discrete" for kind in self.kinds)
            words = {"box": "Box of real numbers", "discrete": "Discrete", "multidiscrete": "MultiDiscrete"}
            given = action.container.capitalize() or words[action.kind]
            other = "algo=sac" if action.kind == "box" and not action.container else "algo=ppo"
            raise ConfigError(f"algo={name} takes actions of a {known}, not a {given}; give {other}")
        if not all(map(math.isfinite, (*action.low, *action.high))):
            raise ConfigError(
                f"algo={name} needs finite bounds of actions; declare some in the environment, wrap it in "
                "gymnasium.wrappers.TransformAction, or give algo=ppo"
            )

    def check(self, sizes: Sizes) -> None:
        """Check the sizes of networks, batches and the run.

        Raises:
            ConfigError: names the first key that is wrong.
        """
        super().check(sizes)
        if self.per_rank_batch_size is None:
            raise ConfigError(
                "algo.per_rank_batch_size=null: a replay memory has no whole to learn from; give a size, such as 256"
            )
        if self.learning_starts >= sizes.updates * sizes.steps_per_update:
            raise ConfigError(
                f"algo.learning_starts={self.learning_starts} leaves nothing of the "
                f"{sizes.updates * sizes.steps_per_update} steps of the run to learn in; lower it, or raise "
                "total_timesteps"
            )
