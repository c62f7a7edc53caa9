"""The learner: from a rollout to new weights, whatever the on-policy algorithm and the number of ranks."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from rlexp.algos.returns import discounted_return_sums, gae
from rlexp.collect.player import in_chunks
from rlexp.data.batch import Batch
from rlexp.data.rollout import Rollout
from rlexp.data.types import Metrics
from rlexp.learn.ranks import Collective
from rlexp.learn.stepper import ROUNDING, TERMS, Stepper
from rlexp.models.normalizer import RunningMoments, moments_of

if TYPE_CHECKING:
    from lightning.fabric import Fabric

    from rlexp.config.schema import Config
    from rlexp.models import ActorCritic


class Learner:
    """Owns the optimizer and the statistics of rewards; the policy's weights are trained in place.

    Args:
        config: the experiment.
        policy: on the device of this rank.
        fabric: gives precision and gradient scaling.
        group: the ranks that learn together.
        generator: draws the order of minibatches, on the CPU; equal on all ranks where data are shared.
        num_envs: environments in the rollouts that this learner is given.
    """

    def __init__(
        self,
        config: Config,
        policy: ActorCritic,
        fabric: Fabric,
        group: Collective,
        generator: torch.Generator,
        num_envs: int,
    ) -> None:
        self._algo, self._env, self._shared = config.algo, config.env, config.topology.share_data
        self._policy, self._fabric, self._group, self._generator = policy, fabric, group, generator
        self._stepper = Stepper(config, policy, fabric, group)
        self.weights = self._stepper.weights
        self._device = self.weights.device
        self.reward_moments = RunningMoments(1).to(self._device)
        self.terms = torch.zeros(0, len(TERMS))
        """What each step of the last update reported on this rank, [S, 6] in the order of step.TERMS."""
        self.minibatches = 1
        """Steps of an epoch of the last update."""
        self._discounted = torch.zeros(num_envs, device=self._device)  # of the episodes under way

    def update(self, rollout: Rollout, fraction_left: float) -> Metrics:
        """Learn from a rollout.

        Args:
            rollout: of the environments of this rank, or of all where data are shared.
            fraction_left: 1 at the first update, falling linearly towards 0; anneals what the algorithm anneals.
        """
        rollout = rollout.to(self._device)
        algo = self._algo
        learning_rate = algo.learning_rate * (fraction_left if algo.anneal_lr else 1.0)
        self._stepper.learning_rate(learning_rate)
        clip_coef = torch.tensor(algo.clip_coef_at(fraction_left), device=self._device)
        batch = self._targets(rollout)
        steps: list[Tensor] = []
        self.minibatches = self._minibatches_per_epoch(batch.returns.shape[0])
        for _ in range(algo.update_epochs):
            epoch = [self._stepper.take(part, clip_coef) for part in self._shuffled(batch, self.minibatches)]
            steps += epoch
            if self._stops_early(epoch):
                break
        if self._policy.preprocessor.normalizer is not None:
            rows = self._policy.preprocessor.raw_vector(rollout.obs[:-1])[rollout.valid]
            self._policy.preprocessor.normalizer.merge(self._moments(rows))
        self.terms = torch.stack(steps)
        return self._metrics(batch, learning_rate)

    # Targets

    @torch.no_grad()
    def _targets(self, rollout: Rollout) -> Batch:
        """Return the valid transitions of a rollout with their advantages and returns."""
        steps, count = rollout.rewards.shape
        with self._fabric.autocast():
            flat = in_chunks(self._policy.values, rollout.obs.flatten(0, 1))
            values = flat.view(steps + 1, count)  # [T+1, N]
            next_values = values[1:]
            if rollout.final_obs.shape[0] > 0:
                next_values = next_values.clone()
                next_values[rollout.truncated] = in_chunks(self._policy.values, rollout.final_obs)
        # What is no transition gets an error of 0, so that whatever stands there reaches no other row.
        advantages = gae(
            self._scaled_rewards(rollout),
            values[:-1].where(rollout.valid, 0),
            next_values.where(rollout.valid, 0),
            rollout.terminated,
            rollout.truncated,
            self._algo.gamma,
            self._algo.gae_lambda,
        )
        batch = Batch(
            obs=rollout.obs[:-1].flatten(0, 1),
            actions=rollout.actions.flatten(0, 1),
            log_prob=rollout.log_prob.flatten(),
            advantages=advantages.flatten(),
            returns=(advantages + values[:-1]).flatten(),
            values=values[:-1].flatten(),
        )
        if bool(rollout.valid.all()):
            return batch
        return batch.rows(rollout.valid.flatten().nonzero().squeeze(-1))

    def _scaled_rewards(self, rollout: Rollout) -> Tensor:
        """Return rewards [T, N] normalised and clipped as the settings say; the rollout's own stay as they are."""
        rewards = rollout.rewards.where(rollout.valid, 0)
        if self._env.normalize_rewards:
            done = rollout.terminated | rollout.truncated
            sums = discounted_return_sums(rewards, done, self._discounted, self._algo.gamma)
            self._discounted = self._algo.gamma * sums[-1] * ~done[-1]
            self.reward_moments.merge(self._moments(sums[rollout.valid].unsqueeze(-1)))
            rewards = rewards / self.reward_moments.scale_around_zero().float()
        limit = self._env.reward_limit
        if limit is not None:
            rewards = rewards.clamp(-limit, limit)
        return rewards

    def _moments(self, rows: Tensor) -> Tensor:
        """Return the moments of rows [B, D], one row a rank where ranks hold different data, [R, 1 + 2D]."""
        moments = moments_of(rows)
        return moments.unsqueeze(0) if self._shared else self._group.gather(moments)

    # Minibatches

    def _minibatches_per_epoch(self, rows: int) -> int:
        """Return the number of minibatches, equal on all ranks, so that none holds more than the settings say.

        Where ranks hold different numbers of rows, none is left empty either: that comes first.
        """
        least, most = rows, rows
        if self._shared:
            least, most = rows // self._group.size, -(-rows // self._group.size)
        elif self._group.size > 1:
            counts = self._group.gather(torch.tensor([rows], dtype=torch.int64, device=self._device))
            least, most = int(counts.min()), int(counts.max())
        return min(least, -(-most // (self._algo.per_rank_batch_size or most)))

    def _shuffled(self, batch: Batch, count: int) -> list[Batch]:
        """Return the transitions in a new order, in `count` minibatches that differ in size by one at most."""
        order = torch.randperm(batch.returns.shape[0], generator=self._generator)
        if self._shared:
            order = order[self._group.rank :: self._group.size]
        rows = batch.rows(order.to(self._device))
        columns = [getattr(rows, field.name).tensor_split(count) for field in fields(rows)]
        return [Batch(*parts) for parts in zip(*columns, strict=True)]

    def _stops_early(self, epoch: list[Tensor]) -> bool:
        """Return whether the epoch just done is the last one; all ranks agree on it."""
        limit = self._algo.kl_limit()
        if limit is None:
            return False
        kl = self._kept(torch.stack(epoch)).mean(0)[TERMS.index("approx_kl")]
        self._group.mean_(kl)
        return float(kl) > limit

    # What is reported

    def _kept(self, steps: Tensor) -> Tensor:
        """Return those of the steps, [S, 6], that were not skipped."""
        return steps[steps[:, TERMS.index("grad_norm")].isfinite()] if self._stepper.skips else steps

    def _metrics(self, batch: Batch, learning_rate: float) -> Metrics:
        """Average the terms of this rank's steps over ranks, and add what is measured on the whole batch."""
        kept = self._kept(self.terms)
        errors, returns = batch.returns - batch.values, batch.returns
        spread = returns.var(correction=0)
        # Equal returns have no variance to explain, only what rounding makes of it.
        explained = torch.where(
            spread > (ROUNDING * returns.mean()).square(),
            1 - errors.var(correction=0) / spread,
            torch.zeros_like(spread),
        )
        scalars = torch.cat([kept.mean(0), explained.view(1), batch.values.mean().view(1)])
        self._group.mean_(scalars)
        values = scalars.tolist()
        return Metrics(
            **dict(zip(TERMS, values, strict=False)),
            explained_variance=values[-2],
            value_mean=values[-1],
            skipped_steps=float(self.terms.shape[0] - kept.shape[0]),
            learning_rate=learning_rate,
        )

    # What a checkpoint holds

    def state(self) -> dict[str, Any]:
        """Return what is equal on all ranks: optimizer and reward statistics, in plain types and tensors."""
        return {
            "optimizer": self._stepper.optimizer.state_dict(),
            "scaler": self._fabric.strategy.precision.state_dict(),
            "reward_moments": self.reward_moments.state_dict(),
        }

    def own_state(self) -> dict[str, Any]:
        """Return what is this rank's own: the discounted returns under way and the generator of minibatch orders."""
        return {"discounted": self._discounted.cpu(), "generator": self._generator.get_state()}

    def load_state(self, state: dict[str, Any], own: dict[str, Any]) -> None:
        """Go on from what `state` and `own_state` returned."""
        self._stepper.optimizer.load_state_dict(state["optimizer"])
        self._fabric.strategy.precision.load_state_dict(state["scaler"])
        self.reward_moments.load_state_dict(state["reward_moments"])
        self._discounted = own["discounted"].to(self._device)
        self._generator.set_state(own["generator"])
