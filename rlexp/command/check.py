"""What is checked before anything starts."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from rlexp.config.compose import plain, typed
from rlexp.config.explain import explain, surplus_keys, unknown_key
from rlexp.config.fit import fitted
from rlexp.config.model import ModelConfig
from rlexp.config.rules import check_ranks, check_rules
from rlexp.config.schema import Config
from rlexp.data.spaces import SpaceSpec
from rlexp.errors import ConfigError
from rlexp.launch.devices import check_devices


def checked(composed: DictConfig) -> tuple[Config, str | None]:
    """Return the typed config of a run whose values and rules are checked, as far as they do not need a checkpoint.

    Returns:
        The config, and a line on what was changed in it to fit the ranks; None where nothing was.

    Raises:
        ConfigError: it is not usable.
    """
    try:
        config = typed(composed)
    except OmegaConfBaseException as error:  # which Hydra would announce with a line of its own
        raise ConfigError(explain(error)) from None
    surplus = next(surplus_keys(config, composed), None)
    if surplus is not None:
        raise ConfigError(unknown_key(surplus))
    if config.resume not in (None, "auto"):  # then it is no more than what differs from the checkpoint's
        return config, None
    check_ranks(config)
    words = HydraConfig.get().overrides.task
    algo, note = fitted(config.algo, config.sizes, {word.lstrip("+~").partition("=")[0] for word in words})
    config = replace(config, algo=algo)
    check_rules(config)
    return config, note


def check_job(composed: DictConfig) -> None:
    """Check a job of a sweep before the first one starts, its environment included: of equal environments, one.

    Raises:
        ConfigError: it cannot run.
    """
    from rlexp.envs import check_environment  # gymnasium, which a config error need not wait for

    config, _ = checked(composed)
    check_devices(config)
    values = plain(config)
    key = json.dumps([values[name] for name in ("env", "capture_video", "topology")], default=str)
    if key not in _environments:
        try:
            _environments[key] = check_environment(config)
        except ConfigError as error:
            _environments[key] = error
    spec = _environments[key]
    if isinstance(spec, ConfigError):
        raise spec
    config.algo.check_space(spec.action)
    if not config.algo.of_rollout:
        from rlexp.learn.room import check_room  # torch, which on-policy algorithms need not wait for

        check_room(config, spec, Path.cwd())
    if config.model != ModelConfig():
        from rlexp.run.trial import check_network  # torch, which the default network need not wait for

        check_network(config, spec)


_environments: dict[str, SpaceSpec | ConfigError] = {}
"""What the check of each environment of a sweep came to."""
