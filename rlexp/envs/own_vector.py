"""A vector environment of one's own: `env.backend=package.module:function` names what builds it."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv

from rlexp import plugins
from rlexp.config.environment import EnvConfig
from rlexp.data.spaces import SpaceSpec
from rlexp.envs.next_step import NextStepEnvironment
from rlexp.envs.reading import reading_of
from rlexp.envs.spaces import space_spec
from rlexp.envs.vector import VectorEnvironment
from rlexp.errors import ConfigError, Fault, described

STEPS = 3
MODES = "AutoresetMode.SAME_STEP or AutoresetMode.NEXT_STEP"


class Adapter(VectorEnv[Any, Any, Any]):
    """Somebody's vector environment, with arrays of numpy, flags of type bool, and errors in one line.

    Args:
        envs: with `num_envs`, `single_observation_space`, `single_action_space` and a reset mode in its metadata.
        name: for messages.
    """

    def __init__(self, envs: Any, name: str) -> None:
        self._envs, self._name = envs, name
        self.metadata = envs.metadata
        self.num_envs = int(envs.num_envs)
        self.single_observation_space = envs.single_observation_space
        self.single_action_space = envs.single_action_space
        self._each = isinstance(envs, SyncVectorEnv | AsyncVectorEnv)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Reset all environments: by a seed each where it is gymnasium's own, else by the first one."""
        try:
            result = self._envs.reset(seed=list(seed) if self._each else int(seed[0]))
        except Exception as error:
            raise self._fault(error) from error
        if not isinstance(result, tuple) or len(result) != 2:
            raise Fault(f"{self._name}: reset returned {type(result).__name__}, not (observations, infos)")
        return _arrays(result[0]), result[1]

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Step all environments."""
        try:
            result = self._envs.step(actions)
        except Exception as error:
            raise self._fault(error) from error
        if not isinstance(result, tuple) or len(result) != 5:
            wanted = "(observations, rewards, terminated, truncated, infos)"
            raise Fault(f"{self._name}: step returned {_kind(result)}, not {wanted}")
        observations, rewards, terminated, truncated, infos = result
        flags = np.asarray(terminated, np.bool_), np.asarray(truncated, np.bool_)
        for what, values in zip(("rewards", "terminated", "truncated"), (rewards, *flags), strict=True):
            if np.shape(values) != (self.num_envs,):
                raise Fault(f"{self._name}: {what} have the shape {list(np.shape(values))}, not [{self.num_envs}]")
        return _arrays(observations), np.asarray(rewards, np.float64), *flags, infos

    def close(self, **kwargs: Any) -> None:
        """Close it."""
        self._envs.close()

    def _fault(self, error: Exception) -> Fault:
        return error if isinstance(error, Fault) else Fault(f"{self._name}: {described(error)}")


def _kind(value: Any) -> str:
    return f"a tuple of {len(value)}" if isinstance(value, tuple) else type(value).__name__


def _arrays(values: Any) -> Any:
    """Return observations, of numpy, JAX or torch on the CPU, as arrays of numpy."""
    if isinstance(values, dict):
        return {key: _arrays(value) for key, value in values.items()}
    return tuple(map(_arrays, values)) if isinstance(values, tuple) else np.asarray(values)


def built(config: EnvConfig, num_envs: int) -> Adapter:
    """Call the function that `env.backend` names.

    Raises:
        ConfigError: it is not there, raises, or returns no vector environment of so many.
    """
    path = config.backend
    function = plugins.imported_function(path, "env.backend")
    values = {"num_envs": num_envs, **copy.deepcopy(config.kwargs)}
    if "env_id" in inspect.signature(function).parameters:
        values.setdefault("env_id", config.id)
    try:
        envs = function(**values)
    except Exception as error:
        raise ConfigError(f"env.backend={path} does not build: {described(error)}") from error
    for name in ("num_envs", "single_observation_space", "single_action_space", "reset", "step"):
        if not hasattr(envs, name):
            raise ConfigError(f"env.backend={path} returned {type(envs).__name__}, which has no {name}; return a "
                              "gymnasium.vector.VectorEnv")  # fmt: skip
    if envs.num_envs != num_envs:
        raise ConfigError(f"env.backend={path} returned {envs.num_envs} environments, but {num_envs} were asked for")
    mode = (getattr(envs, "metadata", None) or {}).get("autoreset_mode")
    if mode not in (AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP):
        found = getattr(mode, "value", mode)
        raise ConfigError(f"env.backend={path}: its metadata has autoreset_mode={found}; say how it resets, by "
                          f'metadata = {{"autoreset_mode": ...}} with {MODES}')  # fmt: skip
    return Adapter(envs, path)


def own(config: EnvConfig, num_envs: int, infos: Sequence[str] = ()) -> VectorEnvironment:
    """Return the environments of `env.backend=package.module:function`, in either reset mode.

    Raises:
        ConfigError: the function does not do what it should.
    """
    return _stepped(built(config, num_envs), config, infos)


def _stepped(envs: Adapter, config: EnvConfig, infos: Sequence[str] = ()) -> VectorEnvironment:
    if envs.metadata["autoreset_mode"] == AutoresetMode.NEXT_STEP:
        return NextStepEnvironment(envs, True, infos, reading_of(config))
    return VectorEnvironment(envs, infos, reading_of(config))


def check_own(config: EnvConfig) -> SpaceSpec:
    """Build a single one of the environments, step it a few times, and return its spaces.

    Raises:
        ConfigError: it does not do what it should.
    """
    envs = built(config, 1)
    try:
        spec = space_spec(envs.single_observation_space, envs.single_action_space, reading_of(config))
        if config.check:
            _try(envs, config)
    except Fault as error:
        raise ConfigError(str(error)) from error.__cause__
    finally:
        envs.close()
    return spec


def _try(envs: Adapter, config: EnvConfig) -> None:
    made = _stepped(envs, config)
    rows = np.zeros((1, made.spec.observation.row_size), made.row_dtype)
    made.reset([0], rows)
    envs.single_action_space.seed(0)
    for _ in range(STEPS):
        action = envs.single_action_space.sample()
        made.step(_batch_of_one(action), rows)


def _batch_of_one(action: Any) -> Any:
    if isinstance(action, dict):
        return {key: _batch_of_one(value) for key, value in action.items()}
    return tuple(map(_batch_of_one, action)) if isinstance(action, tuple) else np.asarray(action)[None]


def spaces_of(config: EnvConfig) -> tuple[gymnasium.Space[Any], gymnasium.Space[Any]]:
    """Return the spaces of one of the environments.

    Raises:
        ConfigError: the function does not do what it should.
    """
    envs = built(config, 1)
    envs.close()
    return envs.single_observation_space, envs.single_action_space
