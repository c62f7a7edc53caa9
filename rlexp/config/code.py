"""The entries of a config that name code: what each stands for, and which of them a file may bring."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rlexp import plugins
from rlexp.errors import ConfigError

if TYPE_CHECKING:
    from rlexp.config.environment import EnvConfig
    from rlexp.config.schema import Config


@dataclass(frozen=True)
class Entry:
    """A class and its arguments, as an entry of a list names them.

    Attributes:
        path: package.module:Name.
        kwargs: its arguments.
        key: where the config names it, for messages.
        train_only: of a wrapper, whether evaluation leaves it out.
    """

    path: str
    kwargs: Mapping[str, Any]
    key: str
    train_only: bool = False


def entries(kind: str, listed: Sequence[Any], key: str) -> list[Entry]:
    """Return what a list of names, paths and mappings stands for; nothing is imported.

    Args:
        kind: wrapper, callback or logger.
        listed: the list.
        key: of the config, for messages.

    Raises:
        ConfigError: an entry is none of these, or its name is not known.
    """
    return [entry for place, item in enumerate(listed) for entry in _entries(kind, item, f"{key}[{place}]")]


def _entries(kind: str, item: Any, key: str) -> Iterator[Entry]:
    values = {kind: item} if isinstance(item, str) else item
    if not isinstance(values, Mapping) or not isinstance(values.get(kind), str):
        raise ConfigError(
            f"{key}={item} names no {kind}; write a name, a path package.module:Class, or "
            f"{{{kind}: NAME_OR_PATH, argument: value}}"
        )
    name = values[kind]
    if re.fullmatch(r"[A-Za-z_]\w*(\.\w+)+", name):
        module, _, last = name.rpartition(".")
        raise ConfigError(f"{key}: {name} is no path of the form package.module:Class; write {module}:{last}")
    given = {str(argument): value for argument, value in values.items() if argument not in (kind, "train_only")}
    known = plugins.found(kind, name, key)
    if known.parts:
        if given:
            raise ConfigError(f"{key}: {name} stands for several wrappers and takes no arguments; list them yourself: "
                              f"{', '.join(_shown(part) for part in known.parts)}")  # fmt: skip
        for part in known.parts:
            yield from _entries(kind, part, key)
        return
    train_only = values.get("train_only", known.train_only)
    if not isinstance(train_only, bool) or ("train_only" in values and kind != "wrapper"):
        raise ConfigError(f"{key}: train_only={train_only} is not allowed; it is true or false, of wrappers alone")
    yield Entry(known.path, {**known.kwargs, **given}, key, train_only)


def _shown(part: Any) -> str:
    return part if isinstance(part, str) else "{" + ", ".join(f"{key}: {value}" for key, value in part.items()) + "}"


def wrappers_of(config: EnvConfig) -> list[Entry]:
    """Return the wrappers of an environment, the innermost first.

    Raises:
        ConfigError: an entry names none.
    """
    return entries("wrapper", config.wrappers, "env.wrappers")


@dataclass(frozen=True)
class Code:
    """A path of code that a config names.

    Attributes:
        path: package.module:Name.
        key: of the config.
        function: whether it is called as it is, rather than a class of a kind that rlexp expects.
    """

    path: str
    key: str
    function: bool = False


def code_of(config: Config) -> Iterator[Code]:
    """Yield each path of code that a config names."""
    listed = {
        "env.wrappers": wrappers_of(config.env),
        "callbacks": entries("callback", config.callbacks, "callbacks"),
        "logger.own": entries("logger", config.logger.own, "logger.own"),
    }
    for key, found in listed.items():
        for entry in found:
            yield Code(entry.path, key)
            yield from (Code(value, key, True) for value in entry.kwargs.values() if plugins.is_path(value))
    if config.env.own_backend:
        yield Code(config.env.backend, "env.backend", True)
    if plugins.is_path(config.model.encoder):
        yield Code(config.model.encoder, "model")


def own_modules(config: Config) -> list[str]:
    """Return the modules of code that a checkpoint of this experiment may import only where they are named."""
    paths = {code.path.partition(":")[0] for code in code_of(config)} | set(config.plugins)
    above = {module for module in paths for other in config.plugins if module.startswith(f"{other}.")}
    return sorted(module for module in paths - above if not plugins.installed(module))
