"""Vector environments, from their settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gymnasium.vector import AutoresetMode, SyncVectorEnv

from rlexp.config.environment import EnvConfig
from rlexp.envs import next_step
from rlexp.envs.encoder import VideoSettings
from rlexp.envs.make import maker
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

    Raises:
        Fault: an environment does not build.
    """
    if config.resets_on_next_step:
        return (next_step.pooled if config.backend == "envpool" else next_step.native)(config, num_envs, infos)
    makers = [
        maker(config, i, video if i == 0 else None, None if seeds is None else seeds[i], infos, restorable)
        for i in range(num_envs)
    ]
    if config.vectorization == "async":
        return VectorEnvironment(Workers(makers), infos, reading_of(config))
    envs = SyncVectorEnv(makers, autoreset_mode=AutoresetMode.SAME_STEP, copy=False)
    return VectorEnvironment(envs, infos, reading_of(config))


def ordinary(config: EnvConfig) -> EnvConfig:
    """Return the settings of the same environment as gymnasium builds it one by one: evaluation always uses those."""
    return replace(config, backend="gymnasium", vectorization="sync") if config.resets_on_next_step else config
