"""Vector environments that reset on the next step, such as gymnasium's native ones.

The step that ends an episode returns its true last observation. The step after it ignores the action and returns the
first observation of the next episode: it is no transition, and `StepResult.valid` says so.
"""

from __future__ import annotations

import contextlib
import copy
import os
from collections.abc import Iterator, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv

from rlexp.config.environment import EnvConfig
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
        whole = self._whole_returns(infos, valid, self._ended, truncated)
        return StepResult(rewards, terminated, truncated, final, valid, ended_infos, whole)

    def _whole_returns(self, infos: dict[str, Any], valid: Array, ended: Array, truncated: Array) -> Array | None:
        """Return the raw returns of whole episodes that ended; None where rewards are raw."""
        return None

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
