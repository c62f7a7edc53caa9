"""What is checked before anything starts."""

from __future__ import annotations

import json

from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from rlexp.config.compose import plain, typed
from rlexp.config.explain import explain, surplus_keys, unknown_key
from rlexp.config.rules import validate
from rlexp.config.schema import Config
from rlexp.errors import ConfigError
from rlexp.launch.devices import check_devices


def checked(composed: DictConfig) -> Config:
    """Return the typed config of a run whose values and rules are checked, as far as they do not need a checkpoint.

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
    if config.resume in (None, "auto"):  # else it is no more than what differs from the checkpoint's
        validate(config)
    return config


def check_job(composed: DictConfig) -> None:
    """Check a job of a sweep before the first one starts, its environment included: of equal environments, one.

    Raises:
        ConfigError: it cannot run.
    """
    from rlexp.envs import check_environment

    config = checked(composed)
    check_devices(config)
    values = plain(config)
    key = json.dumps([values["env"], values["capture_video"], values["topology"]], default=str)
    if key not in _environments:
        _environments[key] = None
        try:
            check_environment(config)
        except ConfigError as error:
            _environments[key] = error
    error_before = _environments[key]
    if error_before is not None:
        raise error_before


_environments: dict[str, ConfigError | None] = {}
"""What the check of each environment of a sweep came to."""
