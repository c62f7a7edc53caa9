"""The player: steps environments with the current policy and hands over rollouts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rlexp.data.rollout import Episode, Rollout
from rlexp.envs import VectorEnvironment
from rlexp.envs.actions import environment_actions
from rlexp.models import ActorCritic, sampler

ROWS_AT_ONCE = 16_384
IMAGE_ROWS_AT_ONCE = 1_024


def in_chunks(function: Callable[..., Tensor], *rows: Tensor) -> Tensor:
    """Apply `function` to rows [B, *] some thousand at a time (images: one thousand), and join its results, [B]."""
    size = IMAGE_ROWS_AT_ONCE if rows[0].dtype == torch.uint8 else ROWS_AT_ONCE
    if rows[0].shape[0] <= size:
        return function(*rows)
    return torch.cat([function(*chunk) for chunk in zip(*(row.split(size) for row in rows), strict=True)])


class Player:
    """Owns environments; knows no gamma, no critic and no algorithm.

    Args:
        envs: the environments.
        seeds: one for each environment, for their reset before the first rollout.
        policy: acts; its weights may change between two calls of `collect`.
        num_steps: T, steps per environment in a rollout.
        generator: draws the noise of sampling, on the policy's device.
        squash: whether real actions are squashed into their bounds by tanh instead of clipped.
        autocast: the precision of the learners. Actions are sampled in it, and their log-probabilities computed in it:
            what is recorded is then of the distribution that was sampled from, and equals what learners find.
    """

    def __init__(
        self,
        envs: VectorEnvironment,
        seeds: Sequence[int],
        policy: ActorCritic,
        num_steps: int,
        generator: torch.Generator,
        squash: bool,
        autocast: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self._envs, self._policy, self._generator = envs, policy, generator
        self._num_steps, self._squash, self._autocast = num_steps, squash, autocast
        self._device = generator.device
        count = envs.num_envs
        self._obs_dtype = torch.uint8 if envs.row_dtype == np.uint8 else torch.float32
        self._next_obs = torch.zeros((count, envs.spec.observation.row_size), dtype=self._obs_dtype)
        self._returns = np.zeros(count)  # of the episodes under way, up to the end of the last rollout
        self._lengths = np.zeros(count, np.int64)
        self.episodes: list[Episode] = []
        self._seeds, self._started = list(seeds), False

    def collect(self) -> Rollout:
        """Step every environment T times; afterwards `episodes` holds those that ended on the way, in order."""
        if not self._started:
            self._envs.reset(self._seeds, self._next_obs.numpy())
            self._started = True
        steps, count, width = self._num_steps, *self._next_obs.shape
        distribution = self._policy.distribution
        obs = torch.empty((steps + 1, count, width), dtype=self._obs_dtype)
        obs[0] = self._next_obs
        actions = torch.empty((steps, count, *distribution.action_shape), dtype=distribution.action_dtype)
        rewards = np.empty((steps, count))
        terminated, truncated = np.empty((steps, count), np.bool_), np.empty((steps, count), np.bool_)
        valid = np.empty((steps, count), np.bool_)
        final_obs: list[np.ndarray] = []
        infos: dict[int, np.ndarray] = {}  # by step: [N, K], see StepResult
        noise = distribution.noise((steps, count), self._generator)
        sample = sampler(self._policy, noise, self._autocast)
        rows, action_rows = obs.numpy(), actions.numpy()
        with torch.inference_mode():
            for step in range(steps):
                action_rows[step] = sampled = sample(step, rows[step])
                taken = environment_actions(sampled, self._envs.spec, self._squash)
                result = self._envs.step(taken, rows[step + 1])
                rewards[step], terminated[step], truncated[step] = result.rewards, result.terminated, result.truncated
                valid[step] = result.valid
                if result.final_obs:
                    final_obs += result.final_obs
                if result.infos is not None:
                    infos[step] = result.infos
        self._next_obs = obs[-1].clone()
        self._count_episodes(rewards, terminated | truncated, valid, infos)
        final = torch.from_numpy(np.stack(final_obs)) if final_obs else obs.new_empty((0, width))
        return Rollout(
            obs=obs,
            actions=actions,
            rewards=torch.from_numpy(rewards).float(),
            terminated=torch.from_numpy(terminated),
            truncated=torch.from_numpy(truncated),
            log_prob=self._log_prob(obs[:-1], actions),
            final_obs=final,
            valid=torch.from_numpy(valid),
            initial_state=torch.empty((count, 0)),
        )

    @torch.no_grad()
    def _log_prob(self, obs: Tensor, actions: Tensor) -> Tensor:
        """Return log-probabilities [T, N] of actions [T, N, *] in one batched pass."""
        rows = obs.flatten(0, 1).to(self._device), actions.flatten(0, 1).to(self._device)
        with self._autocast():
            flat = in_chunks(self._policy.log_prob, *rows)
        return flat.view(obs.shape[:2]).cpu()

    def _count_episodes(
        self, rewards: np.ndarray, done: np.ndarray, valid: np.ndarray, infos: dict[int, np.ndarray]
    ) -> None:
        """Add up valid rewards [T, N] episode by episode, and keep the sums of those that go on."""
        rewards = np.where(valid, rewards, 0)
        self.episodes = []
        start = np.zeros(done.shape[1], np.int64)
        for step, env in zip(*done.nonzero(), strict=True):
            total = self._returns[env] + rewards[start[env] : step + 1, env].sum()
            length = self._lengths[env] + valid[start[env] : step + 1, env].sum()
            told = tuple(infos[step][env].tolist()) if step in infos else ()
            self.episodes.append(Episode(float(total), int(length), told))
            self._returns[env], self._lengths[env], start[env] = 0.0, 0, step + 1
        for env in range(done.shape[1]):
            self._returns[env] += rewards[start[env] :, env].sum()
            self._lengths[env] += valid[start[env] :, env].sum()

    # What a checkpoint holds

    def state(self) -> dict[str, Any]:
        """Return the state between two rollouts, in plain types and tensors; the policy's is apart."""
        return {
            "next_obs": self._next_obs.clone(),
            "returns": torch.from_numpy(self._returns.copy()),
            "lengths": torch.from_numpy(self._lengths.copy()),
            "generator": self._generator.get_state(),
            "environments": self._envs.state(),
        }

    def load_state(self, state: dict[str, Any]) -> list[int]:
        """Go on from `state`, before the first rollout; return the environments that began a new episode instead."""
        self._generator.set_state(state["generator"])
        self._next_obs = state["next_obs"].clone()
        self._returns, self._lengths = state["returns"].numpy().copy(), state["lengths"].numpy().copy()
        if state["environments"]:
            afresh = self._envs.load_state(state["environments"], self._next_obs.numpy())
        else:
            count, device = (len(self._seeds),), self._device
            seeds = torch.randint(self._seeds[0], 2**31, count, generator=self._generator, device=device)
            self._envs.reset(seeds.tolist(), self._next_obs.numpy())
            afresh = list(range(len(self._seeds)))
        self._returns[afresh], self._lengths[afresh] = 0.0, 0
        self._started = True
        return afresh

    def close(self) -> None:
        """Close the environments; a film under way is written to its file."""
        self._envs.close()
