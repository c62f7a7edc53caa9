"""The player: steps environments with the current policy and hands over rollouts."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rlexp.collect.episodes import EpisodesUnderWay, Taken
from rlexp.data.exploration import NONE, Exploration
from rlexp.data.rollout import Collected, Rollout
from rlexp.data.state import PlayerState
from rlexp.envs import VectorEnvironment
from rlexp.envs.actions import environment_actions
from rlexp.models.acting import FastActor
from rlexp.models.actor import Actor, by_sequences
from rlexp.models.chunks import in_chunks
from rlexp.models.recurrent import firsts

Array = np.ndarray[Any, Any]


class Player:
    """Owns environments; knows no gamma, no critic and no algorithm.

    Args:
        envs: the environments.
        seeds: one for each environment, for their reset before the first rollout.
        actor: acts; its weights may change between two calls of `collect`.
        num_steps: T, steps per environment in a rollout.
        generator: draws the noise of sampling, on the actor's device.
        autocast: the precision of the learners. Actions are sampled in it, and their log-probabilities computed in it:
            what is recorded is then of the distribution that was sampled from, and equals what learners find.
    """

    def __init__(
        self,
        envs: VectorEnvironment,
        seeds: Sequence[int],
        actor: Actor,
        num_steps: int,
        generator: torch.Generator,
        autocast: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self._envs = envs
        self._actor = actor
        self._generator = generator
        self._num_steps, self._autocast = num_steps, autocast
        self._device = generator.device
        count = envs.num_envs
        self._obs_dtype = torch.uint8 if envs.row_dtype == np.uint8 else torch.float32
        self._next_obs = torch.zeros((count, envs.spec.observation.row_size), dtype=self._obs_dtype)
        self._under_way = EpisodesUnderWay(count)
        self._seeds, self._started = list(seeds), False
        self._state = torch.zeros((count, actor.state_size), device=self._device)  # of recurrent networks

    def collect(self, exploration: Exploration = NONE) -> Collected:
        """Step every environment T times."""
        begin = time.perf_counter()
        if not self._started:
            self._envs.reset(self._seeds, self._next_obs.numpy())
            self._started = True
        steps, count, width = self._num_steps, *self._next_obs.shape
        distribution = self._actor.distribution
        obs = torch.empty((steps + 1, count, width), dtype=self._obs_dtype)
        obs[0] = self._next_obs
        actions = torch.empty((steps, count, *distribution.action_shape), dtype=distribution.action_dtype)
        initial_state = self._state
        taken = self._steps(
            obs.numpy(), actions.numpy(), self._actor.noise((steps, count), self._generator, exploration)
        )
        self._next_obs = obs[-1].clone()
        flags = (torch.from_numpy(flag) for flag in (taken.terminated, taken.truncated, taken.valid))
        rollout = Rollout(
            obs=obs,
            actions=actions,
            rewards=torch.from_numpy(taken.rewards).float(),
            terminated=torch.from_numpy(taken.terminated),
            truncated=torch.from_numpy(taken.truncated),
            log_prob=self._log_prob(obs[:-1], actions, initial_state, firsts(*flags)[:-1]),
            final_obs=torch.from_numpy(np.stack(taken.final_obs)) if taken.final_obs else obs.new_empty((0, width)),
            valid=torch.from_numpy(taken.valid),
            initial_state=initial_state.cpu(),
        )
        return Collected(rollout, self._under_way.ended(taken), time.perf_counter() - begin)

    def _steps(self, rows: Array, actions: Array, noise: Tensor) -> Taken:
        """Step T times; write observations into `rows`, [T+1, N, D] from the second on, and sampled `actions`."""
        steps, count = actions.shape[:2]
        rewards = np.empty((steps, count))
        terminated, truncated = np.empty((steps, count), np.bool_), np.empty((steps, count), np.bool_)
        valid = np.empty((steps, count), np.bool_)
        final_obs: list[Array] = []
        infos: dict[int, Array] = {}
        whole = np.empty((steps, count)) if self._envs.wrapped else None
        acting = FastActor(self._actor, count, self._autocast, steps)
        acting.state, recurrent = self._state, self._actor.state_size > 0
        sample = acting.sampler(noise)
        with torch.inference_mode():
            for step in range(steps):
                actions[step] = sampled = sample(step, rows[step])
                taken = environment_actions(sampled, self._envs.spec, self._actor.bounds)
                result = self._envs.step(taken, rows[step + 1])
                rewards[step], terminated[step], truncated[step] = result.rewards, result.terminated, result.truncated
                valid[step] = result.valid
                if recurrent:
                    acting.forget(result.terminated | result.truncated | ~result.valid)
                if result.final_obs:
                    final_obs += result.final_obs
                if result.infos is not None:
                    infos[step] = result.infos
                if whole is not None:
                    whole[step] = result.whole
        self._state = acting.state
        return Taken(rewards, terminated, truncated, valid, final_obs, infos, whole)

    @torch.no_grad()
    def _log_prob(self, obs: Tensor, actions: Tensor, state: Tensor, first: Tensor) -> Tensor:
        """Return log-probabilities [T, N] of actions [T, N, *] in one batched pass; 0 where learners ask for none.

        Args:
            obs: [T, N, D].
            actions: as sampled.
            state: of recurrent networks before the first step, [N, S].
            first: where a step is the first of its episode, [T, N] bool.
        """
        if not self._actor.distribution.wants_log_prob:
            return torch.zeros(obs.shape[:2])
        with self._autocast():
            if state.shape[1]:
                on_device = (each.to(self._device) for each in (obs, actions, state, first))
                return by_sequences(self._actor, *on_device).cpu()
            rows, taken = obs.flatten(0, 1).to(self._device), actions.flatten(0, 1).to(self._device)
            flat = in_chunks(self._actor.log_prob, rows, taken)
        return flat.view(obs.shape[:2]).cpu()

    # What a checkpoint holds

    def state(self) -> PlayerState:
        """Return the state between two rollouts; the weights are not part of it."""
        return PlayerState(
            next_obs=self._next_obs.clone(),
            returns=torch.from_numpy(self._under_way.returns.copy()),
            lengths=torch.from_numpy(self._under_way.lengths.copy()),
            generator=self._generator.get_state(),
            environments=self._envs.state(),
            state=self._state.cpu(),
        )

    def load_state(self, state: PlayerState) -> list[int]:
        """Resume from `state`, before the first rollout; return the environments that begin a new episode instead."""
        self._generator.set_state(state.generator)
        self._next_obs = state.next_obs.clone()
        if state.environments:
            restarted = self._envs.load_state(state.environments, self._next_obs.numpy())
        else:
            count, device = (len(self._seeds),), self._device
            seeds = torch.randint(self._seeds[0], 2**31, count, generator=self._generator, device=device)
            self._envs.reset(seeds.tolist(), self._next_obs.numpy())
            restarted = list(range(len(self._seeds)))
        self._under_way.load(state.returns.numpy().copy(), state.lengths.numpy().copy(), restarted)
        self._state = state.state.clone().to(self._device)
        self._state[restarted] = 0.0
        self._started = True
        return restarted

    def close(self) -> None:
        """Close the environments; a video under way is written to its file."""
        self._envs.close()
