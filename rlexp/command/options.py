"""The key=value arguments of the commands that take a checkpoint."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, TypeVar

from rlexp.command.arguments import named_plugins, read_evaluation
from rlexp.errors import ConfigError
from rlexp.settings import check

Options = TypeVar("Options")


def parsed(arguments: Sequence[str], options: type[Options]) -> Options:
    """Turn key=value arguments into options.

    Args:
        arguments: of the command line.
        options: a dataclass whose fields are settings, `checkpoint` among them.

    Raises:
        ConfigError: a key is unknown, a value is wrong, or the checkpoint is missing.
    """
    from omegaconf import OmegaConf  # not at the start: --help need not wait for it
    from omegaconf.errors import OmegaConfBaseException

    types = {option.name: str(option.type) for option in dataclasses.fields(options)}  # type: ignore[arg-type]
    keys = ", ".join(types)
    values: Any = OmegaConf.structured(options)
    for argument in read_evaluation(arguments, {name: kind == "bool" for name, kind in types.items()}):
        key, equals, text = argument.partition("=")
        if not equals:
            raise ConfigError(f"{argument!r} is not of the form key=value; keys: {keys}")
        if key not in types:
            raise ConfigError(f"unknown key {key!r}; allowed: {keys}")
        try:
            values[key] = None if text == "null" else named_plugins([argument]) if key == "plugins" else text
        except OmegaConfBaseException:
            raise ConfigError(f"{key}={text} is not allowed; its type is {types[key]}") from None
    if OmegaConf.is_missing(values, "checkpoint"):
        raise ConfigError("checkpoint has no value; give it as checkpoint=PATH")
    made = OmegaConf.to_object(values)
    assert isinstance(made, options)
    check(made)
    return made
