"""Vector environments that reset on the next step: gymnasium's native ones, and envpool's.

The step that ends an episode returns its true last observation. The step after it ignores the action and returns the
first observation of the next episode: it is no transition, and `StepResult.valid` says so.
"""

from __future__ import annotations

import contextlib
import copy
import os
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from rlexp.config.environment import EnvConfig
from rlexp.data.machine import cores
from rlexp.data.spaces import SpaceSpec
from rlexp.envs.guard import looked_up
from rlexp.envs.packages import import_for
from rlexp.envs.reading import Reading, reading_of
from rlexp.envs.spaces import DEFAULT, Array
from rlexp.envs.vector import StepResult, VectorEnvironment
from rlexp.errors import ConfigError, Fault, described

INSTALL = 'install it with: pip install "rlexp[envpool]"'


class NextStepEnvironment(VectorEnvironment):
    """N environments that reset themselves in the step after the one that ends an episode.

    Args:
        envs: what is stepped.
        seed_each: whether `envs.reset` takes a list of seeds; else the first one seeds all environments together.
        infos: names of the values of infos to hand on, K of them.
        reading: how arrays are read.
    """

    def __init__(
        self,
        envs: VectorEnv[Any, Any, Any],
        seed_each: bool,
        infos: Sequence[str] = (),
        reading: Reading = DEFAULT,
    ) -> None:
        super().__init__(envs, infos, reading)
        self._seed_each = seed_each
        self._ended = np.zeros(self.num_envs, np.bool_)  # environments whose next step resets them

    def reset(self, seeds: Sequence[int], out: Array) -> None:
        """Reset environment i with seeds[i] (see `seed_each`) and write the first observations to `out`, [N, D]."""
        seed: Any = [int(each) for each in seeds] if self._seed_each else int(seeds[0])
        with _told():
            observations, _ = self._envs.reset(seed=seed)
            self._packer.pack(observations, out)
        self._ended = np.zeros(self.num_envs, np.bool_)

    def step(self, actions: Array, out: Array) -> StepResult:
        """Take `actions`, [N, *], and write the observations that follow to `out`, [N, D].

        Where the result is not valid, the action was ignored, the reward is 0 and no episode ended.
        """
        try:
            observations, rewards, terminated, truncated, infos = self._envs.step(actions)
            self._packer.pack(observations, out)
        except Exception as error:
            raise _fault(error) from error
        valid = ~self._ended
        rewards, terminated, truncated = np.where(valid, rewards, 0), terminated & valid, truncated & valid
        self._ended = terminated | truncated
        final = list(out[truncated]) if truncated.any() else []
        ended_infos = self._values_where(infos, self._ended) if self._infos and self._ended.any() else None
        return StepResult(rewards, terminated, truncated, final, valid, ended_infos)

    def _values_where(self, infos: dict[str, Any], ended: Array) -> Array:
        """Return the values asked for of the environments whose episode ended, [N, K] float64; NaN elsewhere."""
        found = np.full((self.num_envs, len(self._infos)), np.nan)
        for column, name in enumerate(self._infos):
            values = looked_up(infos, name)
            if values is not None and np.shape(values) == (self.num_envs,):
                mask = ended & np.asarray(infos.get(f"_{name}", True))
                found[mask, column] = np.asarray(values, np.float64)[mask]
        return found


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Turn what environments raise into one line."""
    try:
        yield
    except Exception as error:
        raise _fault(error) from error


def _fault(error: Exception) -> Fault:
    return error if isinstance(error, Fault) else Fault(f"rank {os.environ.get('RANK', '0')}: {described(error)}")


class Pool(VectorEnv[Any, Any, Any]):
    """envpool's environments behind gymnasium's interface. They are made at reset, as envpool is seeded then only."""

    metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012  # as gymnasium declares it

    def __init__(self, env_id: str, num_envs: int, threads: int, options: dict[str, Any]) -> None:
        import envpool  # an extra

        self._make, self._id = envpool.make_gymnasium, env_id
        self._pool: Any = None
        self._options = {"num_envs": num_envs, "num_threads": min(threads, num_envs), **options}
        self.num_envs = num_envs
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of bounds in double precision
            spec = envpool.make_spec(env_id, **options)
            self.single_observation_space: gymnasium.Space[Any] = spec.gymnasium_observation_space
            self.single_action_space: gymnasium.Space[Any] = spec.gymnasium_action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Make the environments anew, environment i with seed[i]."""
        self.close()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._pool = self._make(self._id, seed=seed, **self._options)
        observations, infos = self._pool.reset()
        return observations, infos

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Step all environments and wait for all, so that results do not depend on the number of threads."""
        assert self._pool is not None, "reset comes first"
        observations, rewards, terminated, truncated, infos = self._pool.step(actions)
        return observations, rewards, terminated, truncated, infos

    def close(self, **kwargs: Any) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None


def native(config: EnvConfig, num_envs: int, infos: Sequence[str] = ()) -> NextStepEnvironment:
    """Return gymnasium's native vector environment of an id, for env.vectorization=vector.

    Raises:
        ConfigError: there is none, or it resets in another way.
    """
    kwargs: dict[str, Any] = copy.deepcopy(config.kwargs)  # an environment may write into what it is given
    if config.max_episode_steps is not None:
        kwargs["max_episode_steps"] = config.max_episode_steps
    import_for(config.id)
    if gymnasium.spec(config.id).vector_entry_point is None:
        raise ConfigError(
            f"env.vectorization=vector, but {config.id} has no vector environment of its own; "
            "give env.vectorization=sync or async"
        )
    envs = gymnasium.make_vec(config.id, num_envs, vectorization_mode="vector_entry_point", **kwargs)
    mode = envs.metadata.get("autoreset_mode")
    if mode != AutoresetMode.NEXT_STEP:
        envs.close()
        raise ConfigError(
            f"env.vectorization=vector needs an environment that resets on the next step, but that of {config.id} "
            f"declares autoreset_mode={getattr(mode, 'value', mode)}; give env.vectorization=sync or async"
        )
    return NextStepEnvironment(envs, False, infos, reading_of(config))


def pooled(config: EnvConfig, num_envs: int, infos: Sequence[str] = ()) -> NextStepEnvironment:
    """Return envpool's environments of an id, for env.backend=envpool, with gymnasium's time limit or the one set.

    Raises:
        ConfigError: envpool is not installed, or does not know the id.
    """
    try:
        import envpool
    except ImportError:
        raise ConfigError(f"env.backend=envpool needs the package envpool; {INSTALL}") from None
    if config.id not in envpool.list_all_envs():
        raise ConfigError(f"env.backend=envpool: envpool does not know {config.id}; give env.backend=gymnasium")
    import_for(config.id)
    limit = config.max_episode_steps or gymnasium.spec(config.id).max_episode_steps
    options = {} if limit is None else {"max_episode_steps": limit}
    threads = _share_of_cores() if config.threads is None else config.threads
    return NextStepEnvironment(Pool(config.id, num_envs, threads, options), True, infos, reading_of(config))


def _share_of_cores() -> int:
    """Return the cores divided by the ranks on this machine and by the jobs of a sweep that run at once, at least 1."""
    ranks, jobs = (int(os.environ.get(name, "1")) for name in ("LOCAL_WORLD_SIZE", "RLEXP_JOBS_AT_ONCE"))
    return max(1, cores() // (ranks * jobs))


def check_next_step(config: EnvConfig, spec: SpaceSpec) -> None:
    """Check that the environments that reset on the next step exist, build, and have the spaces of the ordinary one.

    Raises:
        ConfigError: they do not.
    """
    make, key = (pooled, "env.backend=envpool") if config.backend == "envpool" else (native, "env.vectorization=vector")
    try:
        envs = make(config, 1)
    except ConfigError:
        raise
    except Exception as error:
        detail = " ".join(str(error).split())
        raise ConfigError(f"{key}: {config.id} does not build: {type(error).__name__}: {detail}") from error
    envs.close()
    if envs.spec != spec:
        raise ConfigError(f"{key}: the spaces of {config.id} are not those of gymnasium's; leave {key} out")
