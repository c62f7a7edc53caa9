"""The vector environment that players step: gymnasium's own, in SAME_STEP, with observations as flat rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import SyncVectorEnv

from rlexp.data.spaces import SpaceSpec
from rlexp.envs.actions import action_spec
from rlexp.envs.raw import RAW
from rlexp.envs.reading import Reading
from rlexp.envs.spaces import DEFAULT, Array, Packer
from rlexp.envs.workers import Workers


@dataclass(frozen=True)
class StepResult:
    """One step of N environments.

    Attributes:
        rewards: [N] float.
        terminated: [N] bool.
        truncated: [N] bool.
        final_obs: rows of the true last observation of each truncated environment, in order, each [D].
        valid: [N] bool, False where an environment only reset itself, which is no transition.
        infos: what was asked for of the last infos of episodes that ended, [N, K] float64, NaN elsewhere; None where
            nothing was asked for or no episode ended.
        whole: raw returns of whole episodes that ended, [N] float64, NaN elsewhere; None where rewards are raw.
    """

    rewards: Array
    terminated: Array
    truncated: Array
    final_obs: list[Array]
    valid: Array
    infos: Array | None = None
    whole: Array | None = None


class VectorEnvironment:
    """N environments that are stepped together and reset themselves in the step that ends an episode.

    Args:
        envs: what is stepped.
        infos: names of the values of infos to hand on, K of them.
        reading: how arrays are read.
        wrapped: whether wrappers may change rewards and the ends of episodes: then whole episodes are reported.
    """

    def __init__(
        self,
        envs: gymnasium.vector.VectorEnv[Any, Any, Any],
        infos: Sequence[str] = (),
        reading: Reading = DEFAULT,
        wrapped: bool = False,
    ) -> None:
        self.wrapped = wrapped
        self._envs, self._infos = envs, tuple(infos)
        self._packer = Packer(envs.single_observation_space, reading)
        self.num_envs = envs.num_envs
        self.spec = SpaceSpec(self._packer.spec, action_spec(envs.single_action_space))
        self.row_dtype = self._packer.dtype
        self._all_valid = np.ones(self.num_envs, np.bool_)

    def reset(self, seeds: Sequence[int], out: Array) -> None:
        """Reset environment i with seeds[i] and write the first observations to `out`, [N, D]."""
        observations, _ = self._envs.reset(seed=list(seeds))  # type: ignore[arg-type]  # gymnasium's base class says int
        self._packer.pack(observations, out)

    def step(self, actions: Array, out: Array) -> StepResult:
        """Take `actions`, [N, *], and write the observations to act on next to `out`, [N, D]."""
        observations, rewards, terminated, truncated, infos = self._envs.step(actions)
        self._packer.pack(observations, out)
        final = []
        if truncated.any():
            final = [self._packer.pack_one(_nth(infos["final_obs"], i)) for i in truncated.nonzero()[0]]
        ended_infos = self._values_of(infos.get("final_info", {})) if self._infos and "final_info" in infos else None
        whole = self._whole(infos) if self.wrapped else None
        return StepResult(rewards, terminated, truncated, final, self._all_valid, ended_infos, whole)

    def _whole(self, infos: dict[str, Any]) -> Array:
        """Return the raw returns of whole episodes that ended: in this step, or in the reset that followed it."""
        whole = np.full(self.num_envs, np.nan)
        for place in (infos, infos.get("final_info", {})):
            if RAW in place:
                mask = place[f"_{RAW}"]
                whole[mask] = place[RAW][mask]
        return whole

    def raw_totals(self) -> Array:
        """Return the sums of raw rewards of the whole episodes under way, [N] float64."""
        return np.array(self._envs.call("raw_total"), np.float64)  # type: ignore[attr-defined]

    def _values_of(self, infos: dict[str, Any]) -> Array:
        """Return the values asked for, [N, K] float64, of infos as gymnasium gathers them: values and masks."""
        values = np.full((self.num_envs, len(self._infos)), np.nan)
        for column, name in enumerate(self._infos):
            if name in infos:
                mask = infos[f"_{name}"]
                values[mask, column] = infos[name][mask]
        return values

    @property
    def restorable(self) -> bool:
        """Whether episodes under way can be played again."""
        return isinstance(self._envs, SyncVectorEnv | Workers)

    def state(self) -> list[dict[str, Any]]:
        """Return what it takes to play the episode under way of each environment again; empty if that cannot be."""
        if not self.restorable:
            return []
        return [to_tensors(record) for record in self._envs.call("recorded")]  # type: ignore[attr-defined]

    def load_state(self, records: list[dict[str, Any]], rows: Array) -> list[int]:
        """Play the episodes of `state` again.

        Args:
            records: what `state` returned.
            rows: the observations, [N, D], that were to be acted on next. Where an environment does not arrive at
                the same one, bit for bit, it begins a new episode, and its row is replaced by the first of that.

        Returns:
            The numbers of the environments that began a new episode.
        """
        envs: Any = self._envs
        envs.set_attr("record", [to_arrays(record) for record in records])
        equal = [
            good and self._packer.pack_one(observation).tobytes() == rows[i].tobytes()
            for i, (observation, good) in enumerate(envs.call("come_back"))
        ]
        if not all(equal):
            envs.set_attr("comes_back", equal)
            for i, observation in enumerate(envs.call("start_afresh")):
                if not equal[i]:
                    rows[i] = self._packer.pack_one(observation)
        return [i for i, same in enumerate(equal) if not same]

    def close(self) -> None:
        """Close all environments; a video under way is written to its end."""
        self._envs.close()


def _nth(observations: Any, number: int) -> Any:
    """Return one of a batch of observations: of an array of them, or of a dict or tuple of arrays."""
    if isinstance(observations, dict):
        return {key: _nth(part, number) for key, part in observations.items()}
    if isinstance(observations, tuple):
        return tuple(_nth(part, number) for part in observations)
    return observations[number]


def to_tensors(value: Any) -> Any:
    """Return nested dicts with their arrays as tensors and their scalars as plain numbers, as checkpoints hold them."""
    if isinstance(value, dict):
        return {key: to_tensors(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        import torch  # not above: ids are checked before anything heavy is imported

        return torch.from_numpy(value.copy())
    return value.item() if isinstance(value, np.generic) else value


def to_arrays(value: Any) -> Any:
    """Undo `to_tensors`."""
    if isinstance(value, dict):
        return {key: to_arrays(item) for key, item in value.items()}
    import torch  # not above, as in `to_tensors`

    return value.numpy() if isinstance(value, torch.Tensor) else value
