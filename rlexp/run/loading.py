"""The actor of a checkpoint, which may come from a stranger."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from rlexp.config.schema import Config
from rlexp.data.state import Saved
from rlexp.envs import check_environment, ordinary
from rlexp.files import checkpoint, trust
from rlexp.models.actor import Actor


def load_actor(
    path: Path, env_id: str | None = None, capture_video: bool = False, named: Sequence[str] = ()
) -> tuple[Config, Actor, Saved]:
    """Return the experiment of a checkpoint, its actor on the CPU, and the whole checkpoint.

    Args:
        path: of the checkpoint; it may come from a stranger.
        env_id: the environment, where the checkpoint names one in a module of its own; see `trust.stored_config`.
        capture_video: whether the environment must be able to draw.
        named: modules of code that the checkpoint may import.

    Raises:
        ConfigError: the checkpoint is missing, damaged or refused, or does not fit the environment that it names.
    """
    state = checkpoint.load(path)
    config = trust.stored_config(state, path, env_id, named=named)
    trust.check_sizes(config, state.learner.agent, path)
    config.env, config.capture_video = ordinary(config.env), capture_video
    spec = check_environment(config)
    with torch.device("meta"):  # shapes without memory
        wanted = config.algo.build(spec, config.inputs).state_dict()
    trust.check_tensors(state.learner.agent, wanted, path)
    agent = config.algo.build(spec, config.inputs)
    agent.load_state_dict(state.learner.agent)
    return config, agent.actor, state
