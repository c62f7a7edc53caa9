"""Vector environments, from their settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from gymnasium.vector import AutoresetMode, SyncVectorEnv

from rlexp.config.code import wrappers_of
from rlexp.config.environment import EnvConfig
from rlexp.envs.encoder import VideoSettings
from rlexp.envs.make import maker
from rlexp.envs.next_step import native
from rlexp.envs.own_vector import own
from rlexp.envs.pools import pooled
from rlexp.envs.reading import reading_of
from rlexp.envs.vector import VectorEnvironment
from rlexp.envs.workers import Workers


def make_environments(
    config: EnvConfig,
    num_envs: int,
    video: VideoSettings | None = None,
    *,
    seeds: Sequence[int] | None = None,
    infos: Sequence[str] = (),
    restorable: bool = True,
    mask: int = 0,
) -> VectorEnvironment:
    """Build `num_envs` environments, episodes of the first of which are recorded if `video` says which.

    Those that reset on the next step are not recorded: they are stepped all at once (see `rlexp.envs.next_step`).

    Args:
        config: the environments' settings.
        num_envs: N.
        video: which episodes of the first are recorded; None: none.
        seeds: of their first resets, from which the randomness of their construction derives too; None: only of resets.
        infos: names of the values of infos that `StepResult.infos` is to have.
        restorable: whether there will be a `state`; else no memory is spent on it.
        mask: elements of the action mask in their observations; 0: there is none.

    Raises:
        Fault: an environment does not build.
    """
    if config.own_backend:
        return own(config, num_envs, infos)
    if config.resets_on_next_step:
        return (pooled if config.backend == "envpool" else native)(config, num_envs, infos)
    makers = [
        maker(config, i, video if i == 0 else None, None if seeds is None else seeds[i], infos, restorable, mask > 0)
        for i in range(num_envs)
    ]
    if config.vectorization == "async":
        return VectorEnvironment(Workers(makers), infos, reading_of(config, mask), bool(config.wrappers))
    envs = SyncVectorEnv(makers, autoreset_mode=AutoresetMode.SAME_STEP, copy=False)
    return VectorEnvironment(envs, infos, reading_of(config, mask), bool(config.wrappers))


def ordinary(config: EnvConfig) -> EnvConfig:
    """Return the settings of the same environment as evaluation plays it.

    It is built one by one by gymnasium, without the wrappers that are for training alone; a vector environment of one's
    own is played as it is.
    """
    if config.own_backend:
        return config
    config = replace(config, backend="gymnasium", vectorization="sync") if config.resets_on_next_step else config
    kept = [entry for entry in wrappers_of(config) if not entry.train_only]
    listed: list[Any] = [{"wrapper": entry.path, **entry.kwargs} for entry in kept]
    return replace(config, wrappers=listed) if config.wrappers else config
