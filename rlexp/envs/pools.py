"""envpool's environments: what it is asked for, so that it steps what evaluation plays by gymnasium."""

from __future__ import annotations

import copy
import os
import re
import warnings
from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from rlexp.config.environment import EnvConfig
from rlexp.data.machine import cores
from rlexp.data.spaces import SpaceSpec
from rlexp.envs.make import make_environment
from rlexp.envs.next_step import NextStepEnvironment, native
from rlexp.envs.packages import import_for
from rlexp.envs.reading import Reading, reading_of
from rlexp.envs.spaces import Array
from rlexp.errors import ConfigError

INSTALL = 'install it with: pip install "rlexp[envpool]"'
FRAMES = 4
"""Frames of an Atari game in one step, and observations stacked; see the wrapper `atari`."""
ATARI = {
    "frame_skip": FRAMES, "stack_num": FRAMES, "noop_max": 30, "episodic_life": True, "reward_clip": True,
    "use_fire_reset": True,
}  # fmt: skip
"""What the wrapper `atari` does, as envpool calls it."""
OWN_OPTIONS = {"num_envs", "batch_size", "num_threads", "seed", "env_seed", "base_path", "max_num_players"}


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


class MiniGridPool(Pool):
    """MiniGrid's environments as the wrappers `minigrid` and `minigrid_image` show them.

    Args:
        env_id: envpool's name.
        num_envs: N.
        threads: that step them.
        options: of envpool.
        seen: gymnasium's environment in such a wrapper.
    """

    def __init__(self, env_id: str, num_envs: int, threads: int, options: dict[str, Any], seen: Any) -> None:
        super().__init__(env_id, num_envs, threads, options)
        self._seen, self.single_observation_space = seen, seen.observation_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Make the environments anew, environment i with seed[i]."""
        observations, infos = super().reset(seed=seed)
        return self._as_wrapped(observations), infos

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Step all environments."""
        observations, *rest = super().step(actions)
        return self._as_wrapped(observations), *rest

    def _as_wrapped(self, observations: Any) -> Any:
        """Return observations with their missions, which are bytes, as words; those that never change are left out."""
        space = self.single_observation_space
        if not isinstance(space, gymnasium.spaces.Dict):
            return observations["image"]
        parts = {key: observations[key] for key in space.spaces if key != "mission"}
        if "mission" in space.spaces:
            texts = [bytes(row).rstrip(b"\0").decode() for row in observations["mission"]]
            words = [self._seen.observation({"image": None, "direction": None, "mission": text}) for text in texts]
            parts["mission"] = np.stack([each["mission"] for each in words])
        return parts


class AtariPool(NextStepEnvironment):
    """Atari games with clipped rewards and an episode for each life, of which whole games are reported raw."""

    def __init__(self, envs: Pool, infos: Sequence[str], reading: Reading) -> None:
        super().__init__(envs, True, infos, reading)
        self.wrapped, self._raw = True, np.zeros(self.num_envs)

    def reset(self, seeds: Sequence[int], out: Array) -> None:
        """Reset environment i with seeds[i]."""
        super().reset(seeds, out)
        self._raw[:] = 0.0

    def _whole_returns(self, infos: dict[str, Any], valid: Array, ended: Array, truncated: Array) -> Array:
        """Return the raw returns of games that are over, [N] float64, NaN elsewhere."""
        self._raw += np.where(valid, infos["reward"], 0.0)
        over = ended & (infos["terminated"].astype(np.bool_) | truncated)
        whole = np.where(over, self._raw, np.nan)
        self._raw[over] = 0.0
        return whole


def pooled(config: EnvConfig, num_envs: int, infos: Sequence[str] = ()) -> NextStepEnvironment:
    """Return envpool's environments of an id, with gymnasium's time limit or the one set.

    Raises:
        ConfigError: envpool is not installed, or does not know the id, an option or the wrappers.
    """
    try:
        import envpool
    except ImportError:
        raise ConfigError(f"env.backend=envpool needs the package envpool; {INSTALL}") from None
    import_for(config.id)
    env_id, atari = named(config.id), config.id.startswith("ALE/")
    if env_id not in envpool.list_all_envs():
        raise ConfigError(f"env.backend=envpool: envpool does not know {config.id}; give env.backend=gymnasium")
    options = _options(config, envpool.make_spec(env_id).config._asdict().keys() - OWN_OPTIONS)
    threads = _share_of_cores() if config.threads is None else config.threads
    _check_wrappers(config, atari, env_id)
    if atari:
        return AtariPool(Pool(env_id, num_envs, threads, options), infos, reading_of(config))
    if config.wrappers:
        seen = make_environment(config)
        seen.close()
        made: Pool = MiniGridPool(env_id, num_envs, threads, options, seen)
    else:
        made = Pool(env_id, num_envs, threads, options)
    return NextStepEnvironment(made, True, infos, reading_of(config))


def named(env_id: str) -> str:
    """Return envpool's name of an id: Pong-v5 of ALE/Pong-v5, CheetahRun-v1 of dm_control/cheetah-run-v0."""
    if env_id.startswith("ALE/"):
        return env_id.removeprefix("ALE/")
    control = re.fullmatch(r"dm_control/(.+)-v0", env_id)
    if control is None:
        return env_id
    return "".join(part[:1].upper() + part[1:] for part in re.split(r"[-_]", control.group(1))) + "-v1"


def _check_wrappers(config: EnvConfig, atari: bool, env_id: str) -> None:
    allowed = [["atari"]] if atari else [[]]
    if re.match(r"(MiniGrid|BabyAI)-", env_id):
        allowed = [["minigrid"], ["minigrid_image"]]
    if list(config.wrappers) not in allowed:
        wanted = " or ".join(f"env.wrappers=[{', '.join(names)}]" for names in allowed)
        raise ConfigError(
            f"env.backend=envpool has {config.id} with {wanted} alone; give that, or env.backend=gymnasium"
        )


def _options(config: EnvConfig, known: set[str]) -> dict[str, Any]:
    """Return what envpool gets of the settings of an environment.

    Raises:
        ConfigError: it does not know one.
    """
    options = copy.deepcopy(config.kwargs)
    limit = config.max_episode_steps
    if config.id.startswith("ALE/"):
        if options.pop("frameskip", 1) != 1:
            raise ConfigError("env.kwargs.frameskip is 1 with env.wrappers=[atari], which repeats each action itself")
        options |= ATARI
        limit = None if limit is None else -(-limit // FRAMES)
    else:
        limit = limit or gymnasium.spec(config.id).max_episode_steps
    if config.frame_stack > 1:
        options["frame_stack"] = config.frame_stack
    unknown = sorted(options.keys() - known)
    if unknown:
        key = "env.frame_stack" if unknown == ["frame_stack"] else f"env.kwargs.{unknown[0]}"
        raise ConfigError(f"{key} is no option of {config.id} in envpool; known: {', '.join(sorted(known))}; or give "
                          "env.backend=gymnasium")  # fmt: skip
    return options if limit is None else options | {"max_episode_steps": limit}


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
