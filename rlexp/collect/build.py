"""Players, from a config."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import torch

from rlexp.collect.player import Player
from rlexp.collect.tensor_player import TensorPlayer
from rlexp.config.schema import Config
from rlexp.envs import VideoSettings, make_environments
from rlexp.envs.tensors import TIME_LIMITS, tensor_environment
from rlexp.models.actor import Actor

VIDEOS = 10
"""About as many videos are recorded in a run unless video.every says otherwise, its last whole episode among them."""


def build_player(
    config: Config,
    actor: Actor,
    seeds: Sequence[int],
    generator: torch.Generator,
    autocast: Callable[[], AbstractContextManager[None]],
    run_dir: Path | None,
) -> Player | TensorPlayer:
    """Build environments and the player that owns them.

    Args:
        config: the experiment.
        actor: acts.
        seeds: one for each environment; those of tensors need none.
        generator: draws the noise of actions, on the actor's device.
        autocast: the precision that networks compute in.
        run_dir: where videos of the first environment are written if asked for; None: none are.
    """
    env, steps = config.env, config.algo.num_steps
    if env.backend == "torch":
        limit = env.max_episode_steps or TIME_LIMITS[env.id]
        rules = tensor_environment(env.id)
        return TensorPlayer(rules, limit, env.num_envs, actor, steps, generator, autocast, config.compiled)
    video = None if run_dir is None else training_videos(config, run_dir)
    envs = make_environments(env, env.num_envs, video, seeds=seeds, infos=config.log.infos, mask=actor.mask)
    return Player(envs, seeds, actor, steps, generator, autocast)


def training_videos(config: Config, run_dir: Path) -> VideoSettings | None:
    """Return which episodes of the first environment are recorded; None: none."""
    every, stride = config.video.every, config.env.num_envs * config.players
    if not config.capture_video or every == 0:
        return None
    folder = run_dir / "videos" / "train"
    if every is not None:
        return VideoSettings(folder, config.video.max_steps, every, stride)
    total = config.updates * config.steps_per_update
    return VideoSettings(folder, config.video.max_steps, -(-total // (VIDEOS - 1)), stride, total=total)
