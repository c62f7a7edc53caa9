"""The policy of a checkpoint, which may come from a stranger."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rlexp.config.schema import Config
from rlexp.errors import ConfigError
from rlexp.models.actor_critic import ActorCritic


def load_policy(
    path: Path, env_id: str | None = None, capture_video: bool = False
) -> tuple[Config, ActorCritic, dict[str, Any]]:
    """Return the experiment of a checkpoint, its policy on the CPU, and the whole checkpoint.

    Args:
        path: of the checkpoint; it may come from a stranger.
        env_id: the environment, where the checkpoint names one in a module of its own; see `trust.stored_config`.
        capture_video: whether the environment must be able to draw.

    Raises:
        ConfigError: the checkpoint is missing, damaged or refused, or does not fit the environment that it names.
    """
    import torch

    from rlexp.envs import check_environment, ordinary
    from rlexp.files import checkpoint, trust
    from rlexp.models import build_policy

    state = checkpoint.load(path)
    if not isinstance(state.get("env_steps"), int):
        raise ConfigError(f"checkpoint={path} does not say after how many env_steps it was written")
    config = trust.stored_config(state, path, env_id)
    trust.check_sizes(config, state.get("policy"), path)
    config.env, config.capture_video = ordinary(config.env), capture_video
    spec = check_environment(config)
    with torch.device("meta"):  # shapes without memory
        wanted = build_policy(config, spec).state_dict()
    trust.check_tensors(state["policy"], wanted, path)
    policy = build_policy(config, spec)
    policy.load_state_dict(state["policy"])
    return config, policy, state
