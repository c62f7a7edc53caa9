"""The player of environments of tensors: whole rollouts on one device, without Python for any single environment."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor

from rlexp.collect.episodes import running_sums
from rlexp.data.exploration import NONE, Exploration
from rlexp.data.rollout import Collected, Episode, Rollout
from rlexp.data.state import TensorPlayerState
from rlexp.envs.tensors.base import TensorEnvironment, transition
from rlexp.learn.compiler import compiled, compiler_found
from rlexp.models.acting import fast_forward
from rlexp.models.actor import Actor, by_sequences
from rlexp.models.chunks import in_chunks

UNROLLED = 8
"""Steps in one compiled graph at most: more run little faster and compile longer."""


class Steps(NamedTuple):
    """Results of several steps: one tensor a step, [N, *], except the first three, which follow the last step.

    Attributes:
        states: [N, S] float64.
        elapsed: steps since the episodes began, [N] int64.
        memory: state of recurrent networks, [N, S] float32; S = 0 without any.
        obs: seen after each step, in a new episode where one ended.
        reached_obs: true observation after each step.
        actions: as sampled.
        rewards: float64.
        terminated: bool.
        truncated: bool.
    """

    states: Tensor
    elapsed: Tensor
    memory: Tensor
    obs: list[Tensor]
    reached_obs: list[Tensor]
    actions: list[Tensor]
    rewards: list[Tensor]
    terminated: list[Tensor]
    truncated: list[Tensor]


class TensorPlayer:
    """Owns environments of tensors; the same to topologies as `rlexp.collect.player.Player`.

    Actions and first states come from one generator, drawn for a whole rollout at once.

    Args:
        env: the rules.
        limit: steps after which an episode is truncated.
        num_envs: N.
        actor: acts; its weights may change between two calls of `collect`.
        num_steps: T, steps per environment in a rollout.
        generator: draws all noise; its device is where everything happens.
        autocast: the precision of the learners, in which actions are sampled and their log-probabilities computed.
        compile_steps: whether the steps are compiled; the rollout is the same to float tolerance.
    """

    def __init__(
        self,
        env: TensorEnvironment,
        limit: int,
        num_envs: int,
        actor: Actor,
        num_steps: int,
        generator: torch.Generator,
        autocast: Callable[[], AbstractContextManager[None]] = nullcontext,
        compile_steps: bool = False,
    ) -> None:
        self._env = env
        self._limit = limit
        self._count = num_envs
        self._actor = actor
        self._num_steps = num_steps
        self._generator = generator
        self._autocast = autocast
        self._device = device = generator.device
        self._compiled = _compiled(self._steps, device) if compile_steps and compiler_found(device) else None
        self._states = env.start(self._uniform(num_envs))
        self._obs = env.observe(self._states)
        self._elapsed = torch.zeros(num_envs, dtype=torch.int64, device=device)
        self._memory = torch.zeros((num_envs, actor.state_size), device=device)  # of recurrent networks
        self._returns = torch.zeros(num_envs, dtype=torch.float64, device=device)  # of the episodes under way
        self._lengths = torch.zeros_like(self._elapsed)

    @torch.no_grad()
    def collect(self, exploration: Exploration = NONE) -> Collected:
        """Step every environment T times."""
        begin = time.perf_counter()
        steps, count = self._num_steps, self._count
        noise = self._actor.noise((steps, count), self._generator, exploration)
        with self._autocast():
            kept = self._run(noise.unbind(0), self._uniform(steps, count).unbind(0))
        obs = torch.stack([self._obs, *kept.obs])
        reached, actions, rewards, terminated, truncated = (torch.stack(column) for column in kept[4:])
        initial_state, self._memory = self._memory, kept.memory
        self._states, self._elapsed = kept.states, kept.elapsed
        self._obs = obs[-1].clone()
        episodes = self._ended(rewards, terminated | truncated)
        rollout = Rollout(
            obs=obs,
            actions=actions,
            rewards=rewards.float(),
            terminated=terminated,
            truncated=truncated,
            log_prob=self._log_prob(obs[:-1], actions, initial_state, terminated | truncated),
            final_obs=reached[truncated],
            valid=torch.ones_like(terminated),
            initial_state=initial_state,
        )
        return Collected(rollout, episodes, time.perf_counter() - begin)

    def _uniform(self, *shape: int) -> Tensor:
        """Draw uniform noise for first states, [*shape, K] float64."""
        size = (*shape, self._env.noise_size)
        return torch.rand(size, dtype=torch.float64, device=self._device, generator=self._generator)

    def _run(self, noise: Sequence[Tensor], first: Sequence[Tensor]) -> Steps:
        """Take as many steps as there is noise, compiled in pieces of equal length."""
        if self._compiled is None:
            return self._steps(self._states, self._elapsed, self._memory, self._obs, noise, first)
        size = max(size for size in range(1, UNROLLED + 1) if self._num_steps % size == 0)
        whole = Steps(self._states, self._elapsed, self._memory, [self._obs], [], [], [], [], [])
        for start in range(0, len(noise), size):
            chunk = slice(start, start + size)
            piece = self._compiled(*whole[:3], whole.obs[-1], noise[chunk], first[chunk])
            whole = Steps(*piece[:3], *(old + new for old, new in zip(whole[3:], piece[3:], strict=True)))
        return whole._replace(obs=whole.obs[1:])

    def _steps(
        self,
        states: Tensor,
        elapsed: Tensor,
        memory: Tensor,
        obs: Tensor,
        noise: Sequence[Tensor],
        first: Sequence[Tensor],
    ) -> Steps:
        """Take one step for each tensor of noise: action noise [N, P] and noise of first states [N, K].

        Steps are not joined here, so that the compiler finds the same few kernels in each.
        """
        actor = self._actor
        forward = fast_forward(actor) if actor.plain else actor.exploring
        rows: list[tuple[Tensor, ...]] = []
        for action_noise, first_noise in zip(noise, first, strict=True):
            params, memory = actor.step(obs, memory) if actor.state_size else (forward(obs), memory)
            actions = actor.distribution.sample(params.float(), action_noise)  # float32, as log_prob takes them
            step = transition(self._env, self._limit, states, elapsed, actor.to_environment(actions), first_noise)
            states, elapsed, obs = step.states, step.elapsed, step.obs
            if actor.state_size:
                memory = memory.masked_fill((step.terminated | step.truncated).unsqueeze(-1), 0.0)
            rows.append((obs, step.reached_obs, actions, step.rewards, step.terminated, step.truncated))
        return Steps(states, elapsed, memory, *(list(column) for column in zip(*rows, strict=True)))

    def _log_prob(self, obs: Tensor, actions: Tensor, memory: Tensor, done: Tensor) -> Tensor:
        """Return log-probabilities [T, N] of actions [T, N, *] in one batched pass; 0 where learners ask for none.

        Args:
            obs: [T, N, D].
            actions: as sampled.
            memory: state of recurrent networks before the first step, [N, S].
            done: where an episode ended, [T, N] bool.
        """
        if not self._actor.distribution.wants_log_prob:
            return torch.zeros(obs.shape[:2], device=self._device)
        with self._autocast():
            if memory.shape[1]:
                first = torch.cat([torch.zeros_like(done[:1]), done[:-1]])
                return by_sequences(self._actor, obs, actions, memory, first)
            flat = in_chunks(self._actor.log_prob, obs.flatten(0, 1), actions.flatten(0, 1))
        return flat.view(obs.shape[:2])

    def _ended(self, rewards: Tensor, done: Tensor) -> list[Episode]:
        """Return the episodes that ended, in order, from rewards [T, N], and keep the sums of the others."""
        steps, count = done.shape
        sums = running_sums(rewards) + self._returns  # [T, N], from the start of the episodes under way before
        env, step = done.t().nonzero(as_tuple=True)  # environment by environment, in time
        ended, at = sums[step, env], step + 1 + self._lengths[env]
        follows = torch.zeros_like(env, dtype=torch.bool)
        follows[1:] = env[1:] == env[:-1]  # an episode of the same environment ended before
        totals, lengths = ended.clone(), at.clone()
        totals[1:] -= ended[:-1].where(follows[1:], 0)
        lengths[1:] -= at[:-1].where(follows[1:], 0)
        last = ~torch.cat([follows[1:], follows.new_zeros(min(1, len(follows)))])
        self._returns = sums[-1].index_add(0, env[last], -ended[last])
        self._lengths = (self._lengths + steps).index_add(0, env[last], -at[last])
        order = (step * count + env).argsort()
        pairs = zip(totals[order].tolist(), lengths[order].tolist(), strict=True)
        return [Episode(total, length) for total, length in pairs]

    # What a checkpoint holds

    def state(self) -> TensorPlayerState:
        """Return copies of all that the next rollouts depend on, except the weights."""
        return TensorPlayerState(
            next_obs=self._obs.clone(),
            returns=self._returns.clone(),
            lengths=self._lengths.clone(),
            generator=self._generator.get_state(),
            states=self._states.clone(),
            elapsed=self._elapsed.clone(),
            memory=self._memory.clone(),
        )

    def load_state(self, state: TensorPlayerState) -> list[int]:
        """Resume from `state`; every environment continues where it was."""
        self._obs.copy_(state.next_obs)
        self._returns.copy_(state.returns)
        self._lengths.copy_(state.lengths)
        self._states.copy_(state.states)
        self._elapsed.copy_(state.elapsed)
        self._memory = state.memory.clone().to(self._device)
        self._generator.set_state(state.generator.cpu())
        return []

    def close(self) -> None:
        """Do nothing: there is nothing to close."""


def _compiled(steps: Callable[..., Steps], device: torch.device) -> Callable[..., Steps]:
    """Return `steps` compiled."""
    graph = compiled(steps, device)
    if device.type == "cpu":
        return graph  # type: ignore[no-any-return]  # torch.compile keeps the signature

    def run(*arguments: Any) -> Steps:
        torch.compiler.cudagraph_mark_step_begin()
        states, elapsed, memory, *columns = graph(*arguments)  # which the next launch writes over
        kept = (states.clone(), elapsed.clone(), memory.clone())
        return Steps(*kept, *([row.clone() for row in column] for column in columns))

    return run
