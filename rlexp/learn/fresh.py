"""The memory of on-policy algorithms: this rollout, its advantages, and minibatches over several epochs."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from rlexp.algos.losses import explained_variance
from rlexp.algos.on_policy import FreshSettings
from rlexp.algos.returns import gae
from rlexp.data.batch import Batch
from rlexp.data.replay import ReplayRows, Segment
from rlexp.data.rollout import Rollout
from rlexp.data.state import MemoryState
from rlexp.learn.memory import Keep
from rlexp.learn.precision import Precision
from rlexp.learn.rewards import RewardScaler
from rlexp.learn.stepper import Stepper
from rlexp.models.actor_critic import ActorCritic
from rlexp.models.chunks import in_chunks
from rlexp.models.recurrent import Unrolled


class Fresh:
    """Holds one rollout.

    Args:
        settings: of the algorithm.
        values: the critic, of observation rows [B, D]: values [B], on the learner's device.
        unrolled: of a recurrent agent instead, of a rollout and the critic's state before it; None without one.
        rewards: normalises and clips rewards; knows the ranks that learn together, and whether all of them see the same
            rollouts, so that minibatches are split between them.
        generator: draws the order of minibatches, on the CPU; equal on all ranks where data are shared.
        epoch_kl: the mean approximate KL over an epoch of the terms of its steps, [S, K].
        length: L, steps of the sequences that a recurrent agent learns from.
        critic: its own state of each environment, [N, *]; None without one.
    """

    def __init__(
        self,
        settings: FreshSettings,
        values: Callable[[Tensor], Tensor],
        rewards: RewardScaler,
        generator: torch.Generator,
        epoch_kl: Callable[[Tensor], float],
        unrolled: Callable[[Rollout, Tensor], Unrolled] | None = None,
        length: int = 1,
        critic: Tensor | None = None,
    ) -> None:
        self._settings = settings
        self._values = values
        self._rewards = rewards
        self._ranks, self._shared = rewards.ranks, rewards.shared
        self._generator = generator
        self._epoch_kl = epoch_kl
        self._unrolled, self._length = unrolled, length
        self._critic = torch.empty(0) if critic is None else critic
        self._epoch: list[Tensor] = []
        self.minibatches = 1
        """Steps of an epoch."""

    @torch.no_grad()
    def add(self, rollout: Rollout) -> None:
        """Take the valid transitions of a rollout, with their advantages and returns, in place of the last one's."""
        settings = self._settings
        steps, count = rollout.rewards.shape
        follows = None if self._unrolled is None else self._unrolled(rollout, self._critic)
        if follows is None:
            values = self._values(rollout.obs.flatten(0, 1)).view(steps + 1, count)  # [T+1, N]
        else:
            values, self._critic = follows.values, follows.critic
        next_values = values[1:]
        if rollout.final_obs.shape[0] > 0:
            next_values = next_values.clone()
            next_values[rollout.truncated] = self._values(rollout.final_obs) if follows is None else follows.final
        # What is no transition gets an error of 0, so that whatever stands there reaches no other row.
        advantages = gae(
            self._rewards.scaled(rollout),
            values[:-1].where(rollout.valid, 0),
            next_values.where(rollout.valid, 0),
            rollout.terminated,
            rollout.truncated,
            settings.gamma,
            settings.gae_lambda,
        )
        batch = Batch(
            obs=rollout.obs[:-1],
            actions=rollout.actions,
            log_prob=rollout.log_prob,
            advantages=advantages,
            returns=advantages + values[:-1],
            values=values[:-1],
        )
        batch = batch.flat() if follows is None else batch.sequences(follows.states, follows.first, rollout.valid)
        if follows is None and not bool(rollout.valid.all()):
            batch = batch.rows(rollout.valid.flatten().nonzero().squeeze(-1))
        self._batch, self._epoch = batch, []
        self.minibatches = self._minibatches_per_epoch(batch.units)

    def batches(self, left: float) -> Iterator[Batch]:
        """Yield the minibatches of every epoch."""
        for _ in range(self._settings.epochs):
            yield from self._shuffled()

    def learned(self, terms: Tensor, errors: Tensor | None = None) -> bool:
        """Return whether the update continues: it ends where the mean KL of the epoch just done is too large."""
        limit = self._settings.target_kl
        if limit is None:
            return True
        self._epoch.append(terms)
        if len(self._epoch) < self.minibatches:
            return True
        kl = torch.tensor(self._epoch_kl(torch.stack(self._epoch)), device=terms.device)
        self._epoch = []
        self._ranks.mean_(kl)
        return not float(kl) > limit

    def report(self) -> Tensor:
        """Return explained variance and mean value, [2]."""
        batch = self._batch
        values, returns = batch.values, batch.returns
        if batch.weight is not None:
            values, returns = values[batch.weight > 0], returns[batch.weight > 0]
        return torch.stack([explained_variance(values, returns), values.mean()])

    def _minibatches_per_epoch(self, rows: int) -> int:
        """Return the number of minibatches, equal on all ranks, so that none holds more than the settings say.

        Where ranks hold different numbers of rows (or sequences), none is left empty either: that comes first.
        """
        least, most = rows, rows
        if self._shared:
            least, most = rows // self._ranks.size, -(-rows // self._ranks.size)
        elif self._ranks.size > 1:
            counts = self._ranks.gather(torch.tensor([rows], dtype=torch.int64, device=self._batch.returns.device))
            least, most = int(counts.min()), int(counts.max())
        most_at_once = most if self._settings.rows is None else max(1, self._settings.rows // self._length)
        return min(least, -(-most // most_at_once))

    def _shuffled(self) -> list[Batch]:
        """Return the transitions in a new order, in minibatches that differ in size by one at most."""
        batch = self._batch
        order = torch.randperm(batch.units, generator=self._generator)
        if self._shared:
            order = order[self._ranks.rank :: self._ranks.size]
        return batch.rows(order.to(batch.returns.device)).split(self.minibatches)

    def state(self, keep: Keep) -> MemoryState:
        """Return the generator of minibatch orders, the discounted returns under way, and the critic's states."""
        discounted, critic = self._rewards.discounted.cpu(), self._critic.cpu()
        return MemoryState(discounted=discounted, generator=self._generator.get_state(), critic=critic)

    def load_state(self, state: MemoryState, read: Callable[[Segment], ReplayRows]) -> None:
        """Continue from what `state` returned."""
        self._rewards.discounted = state.discounted.to(self._rewards.discounted.device)
        self._generator.set_state(state.generator)
        self._critic = state.critic.to(self._critic.device)


def build_fresh(
    settings: FreshSettings,
    agent: ActorCritic,
    stepper: Stepper,
    rewards: RewardScaler,
    precision: Precision,
    generator: torch.Generator,
    num_envs: int,
) -> Fresh:
    """Return the memory of an actor-critic agent.

    Args:
        settings: of the algorithm.
        agent: values rollouts.
        stepper: of the agent.
        rewards: normalises and clips rewards.
        precision: of the networks.
        generator: draws the order of minibatches, on the CPU.
        num_envs: environments in the rollouts.
    """

    def values(rows: Tensor) -> Tensor:
        with precision.autocast():
            return in_chunks(agent.values, rows)

    def epoch_kl(steps: Tensor) -> float:
        return float(stepper.means(steps.float().cpu().numpy())[stepper.names.index("approx_kl")])

    def unrolled(rollout: Rollout, critic: Tensor) -> Unrolled:
        with precision.autocast():
            return agent.unrolled(rollout, critic)

    critic = torch.zeros((num_envs, agent.critic_state_size), device=stepper.device)
    follows, length = unrolled if agent.state_size else None, agent.sequence_length
    return Fresh(settings, values, rewards, generator, epoch_kl, follows, length, critic)
