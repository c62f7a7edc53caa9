"""From what Hydra composes to the typed config, and back to plain values."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from typing import Any

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from rlexp import plugins
from rlexp.algos import ALGORITHMS, Algorithm
from rlexp.config.help import help_text
from rlexp.config.rules import validate
from rlexp.config.schema import Config
from rlexp.errors import ConfigError


def slug(text: object) -> str:
    """Return `text` as a safe file name of at most 120 characters: whatever is not plain becomes '_'."""
    return re.sub(r"[^A-Za-z0-9=,.+-]+", "_", str(text)).strip("._")[:120] or "_"


class PluginConfig(SearchPathPlugin):
    """Lets Hydra find the YAML files of plugins."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Add the packages that plugins keep them in."""
        for package in plugins.config_packages():
            search_path.append("rlexp.plugins", f"pkg://{package}")


def load_plugins(modules: Sequence[str]) -> None:
    """Import the plugins of installed packages and those named, and register what they bring with Hydra.

    Args:
        modules: what `plugins=` names.

    Raises:
        ConfigError: one of `modules` cannot be imported, or registers what is no algorithm.
    """
    for line in plugins.load_installed():
        print(f"warning: {line}", file=sys.stderr, flush=True)
    plugins.load(modules)
    for name, registered in plugins.names("algorithm").items():
        ALGORITHMS[name] = plugins.imported(registered.path, Algorithm, f"algo={name}")
    register()


def register() -> None:
    """Register the schemas, the help text and the resolvers with Hydra; harmless when called again."""
    store = ConfigStore.instance()
    store.store(name="config_schema", node=Config)
    for name, algorithm in ALGORITHMS.items():
        store.store(group="algo", name=f"{name}_schema", node=algorithm)
    for name in plugins.names("algorithm"):
        store.store(group="algo", name=name, node=ALGORITHMS[name])
    for name in plugins.names("model"):
        store.store(group="model", name=name, node={"name": name})
    if PluginConfig not in Plugins.instance().discover(SearchPathPlugin):
        Plugins.instance().register(PluginConfig)
    store.store(group="hydra/help", name="rlexp", node={"app_name": "rlexp", "template": help_text()})
    OmegaConf.register_new_resolver("slug", slug, replace=True)


def resolve(composed: DictConfig) -> Config:
    """Turn what Hydra composed into a typed, checked config.

    Raises:
        ConfigError: one line that names the key, what was given and what is allowed.
    """
    config = typed(composed)
    validate(config)
    return config


def typed(composed: DictConfig) -> Config:
    """Turn what Hydra composed into a typed config whose values are not checked yet.

    Raises:
        ConfigError: a value is missing, or this is no config of an experiment.
    """
    try:
        config = OmegaConf.to_object(composed)
    except MissingMandatoryValue as error:
        key = getattr(error, "full_key", None) or "a key"
        raise ConfigError(f"{key} has no value; give it as {key}=VALUE") from None
    if not isinstance(config, Config):
        raise ConfigError("the config does not follow the schema; is config_schema in its defaults list?")
    return config


def algorithm_name(config: Config) -> str:
    """Return the name of the algorithm, as `algo=` takes it."""
    return next(name for name, algorithm in ALGORITHMS.items() if type(config.algo) is algorithm)


def plain(config: Config) -> dict[str, Any]:
    """Return the config as plain containers, as checkpoints hold it."""
    container = OmegaConf.to_container(OmegaConf.structured(config))
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items()}


def from_plain(values: dict[str, Any], algo: str) -> Config:
    """Rebuild a config from `plain` and the algorithm's name.

    Raises:
        ConfigError: the values do not follow the schema.
    """
    if algo not in ALGORITHMS:
        raise ConfigError(
            f"algorithm {algo} is not known; known are: {', '.join(sorted(ALGORITHMS))}; if a plugin brings it, add "
            "plugins=[MODULE]"
        )
    schema = OmegaConf.structured(Config)
    schema.algo = OmegaConf.structured(ALGORITHMS[algo])
    try:
        return resolve(OmegaConf.merge(schema, values))  # type: ignore[arg-type]  # a DictConfig, as schema is one
    except OmegaConfBaseException as error:
        key = f"{error.full_key}: " if error.full_key else ""
        raise ConfigError(key + str(error).partition("\n")[0]) from None
