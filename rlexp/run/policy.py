"""The policy of a checkpoint, which acts on an environment's own observations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rlexp.config.environment import EnvConfig
from rlexp.config.schema import EVAL_SEED_START, Config
from rlexp.data.generators import kept_generators
from rlexp.data.spaces import SpaceSpec
from rlexp.envs.actions import environment_actions, nth_action
from rlexp.envs.make import Env, make_environment
from rlexp.envs.masks import MASK, with_mask
from rlexp.envs.own_vector import spaces_of
from rlexp.envs.reading import reading_of
from rlexp.envs.spaces import Packer, space_spec
from rlexp.errors import ConfigError
from rlexp.models.acting import FastActor
from rlexp.models.actor import Actor
from rlexp.run.loading import load_actor


@dataclass(frozen=True)
class Policy:
    """A trained policy: normaliser, squashing and bounds are inside.

    Attributes:
        config: the experiment, its environment as evaluation plays it.
        actor: the network.
        spec: the spaces, as the network takes them.
        observation_space: of the environment; gymnasium's. One that gives action masks has them as a part.
        action_space: of the environment; gymnasium's.
        env_steps: environment steps of its training.
        packer: makes rows of observations.
    """

    config: Config
    actor: Actor
    spec: SpaceSpec
    observation_space: Any
    action_space: Any
    env_steps: int
    packer: Packer
    _generator: torch.Generator

    def act(
        self, observation: Any, state: Any = None, deterministic: bool = True, action_mask: Any = None
    ) -> tuple[Any, Any]:
        """Return the action for an observation, or one for each of a batch, as the environment takes it.

        Args:
            observation: one of `observation_space`, or a batch: the same with a first axis more, in each part of a
                Dict or Tuple.
            state: what the call before returned; None at the start of an episode (of a batch: of all episodes). That of
                recurrent networks is a tensor [N, S], 0 in the rows of environments whose episode begins.
            deterministic: whether the most probable action is taken rather than a sample.
            action_mask: of an environment that gives masks, or a batch of them: 1 for each option that is allowed.

        Returns:
            The action, or a batch of them, and the state for the next call.

        Raises:
            ConfigError: the observation is none of the space.
        """
        if self.actor.mask and not (isinstance(observation, dict) and MASK in observation and action_mask is None):
            observation = with_mask(observation, action_mask, self.observation_space)
        batched = _is_batch(observation, self.observation_space)
        if batched:
            count = len(_first_part(observation))
            rows = np.zeros((count, self.spec.observation.row_size), self.packer.dtype)
            self.packer.pack(_as_arrays(observation), rows)
        else:
            rows = self.packer.pack_one(observation)[None]
        with torch.inference_mode():
            acting = FastActor(self.actor, len(rows))
            if self.actor.state_size and state is not None:
                acting.state = state
            if deterministic:
                actions = acting.greedy(rows)
            else:
                actions = acting.sampler(self.actor.noise((1, len(rows)), self._generator))(0, rows)
        taken = environment_actions(actions, self.spec, self.actor.bounds)
        after = acting.state if self.actor.state_size else None
        return (taken if batched else nth_action(taken, 0)), after

    def seed(self, seed: int) -> None:
        """Let sampled actions start from a seed."""
        self._generator.manual_seed(seed)

    def unmasked_space(self) -> Any:
        """Return the observation space of the environment itself, without an action mask that is given beside it."""
        return _spaces(self.config.env, False)[0]

    def make_env(self, render: bool = False) -> Env:
        """Return the environment that it was trained in, as evaluation plays it.

        Args:
            render: whether `render()` returns frames.

        Raises:
            ConfigError: it is a vector environment of one's own.
        """
        if self.config.env.own_backend:
            backend = self.config.env.backend
            raise ConfigError(f"env.backend={backend} builds a vector environment; call that function instead")
        return make_environment(self.config.env, drawing=render, masked=self.actor.mask > 0)


def load_policy(path: Path, env_id: str | None = None, named: Sequence[str] = ()) -> Policy:
    """Return the policy of a checkpoint; see `rlexp.command.api.load`."""
    config, actor, state = load_actor(path, env_id, named=named)
    with kept_generators():
        observation, action = _spaces(config.env, actor.mask > 0)
    reading = reading_of(config.env, actor.mask)
    packer, spec = Packer(observation, reading), space_spec(observation, action, reading)
    generator = torch.Generator().manual_seed(EVAL_SEED_START + config.seed)
    return Policy(config, actor.eval(), spec, observation, action, state.env_steps, packer, generator)


def _spaces(config: EnvConfig, masked: bool) -> tuple[Any, Any]:
    """Return the spaces of an environment as evaluation plays it."""
    if config.own_backend:
        return spaces_of(config)
    env = make_environment(config, masked=masked)
    env.close()
    return env.observation_space, env.action_space


def _first_part(observation: Any) -> Any:
    if isinstance(observation, dict):
        return _first_part(next(iter(observation.values())))
    return _first_part(observation[0]) if isinstance(observation, tuple) else np.asarray(observation)


def _as_arrays(observation: Any) -> Any:
    if isinstance(observation, dict):
        return {key: _as_arrays(value) for key, value in observation.items()}
    return tuple(map(_as_arrays, observation)) if isinstance(observation, tuple) else np.asarray(observation)


def _is_batch(observation: Any, space: Any) -> bool:
    """Return whether an observation is a batch of those of a space.

    Raises:
        ConfigError: it is neither.
    """
    if isinstance(observation, dict) and hasattr(space, "spaces"):
        missing = set(space.spaces) - set(observation)
        if missing:
            raise ConfigError(f"the observation has no {', '.join(sorted(map(str, missing)))}; its space: {space}")
        return all([_is_batch(observation[key], part) for key, part in space.spaces.items()])
    if isinstance(observation, tuple) and hasattr(space, "spaces"):
        return all([_is_batch(part, own) for part, own in zip(observation, space.spaces, strict=True)])
    shape, own = np.shape(observation), space.shape
    if shape == own:
        return False
    if shape[1:] == own and len(shape) == len(own) + 1:
        return True
    raise ConfigError(f"the observation has shape {list(shape)}; allowed: {list(own)}, or a batch [N, *{list(own)}]")
