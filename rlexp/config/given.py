"""The keys that the words of a command set."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from rlexp.config.places import conf_dir

PACKAGES = {"accelerator": "fabric.", "strategy": "fabric.", "experiment": "", "model": ""}
"""Where the choices of a group write, where that is not below its own name."""


def given_keys(overrides: Sequence[str]) -> Iterator[str]:
    """Yield the keys of the config that the words of a command line set, those of the groups' choices included."""
    for word in overrides:
        key, _, value = word.lstrip("+~").partition("=")
        if key == "logger":  # what is not chosen is turned off
            yield from ("logger.tensorboard", "logger.wandb.enabled", "logger.mlflow.enabled")
            continue
        file = conf_dir() / key / f"{value}.yaml"
        if not (conf_dir() / key).is_dir() or not file.is_file():
            yield "env.kwargs" if key.startswith("env.kwargs.") else key
            continue
        yield from _keys_of_choice(key, file)


def named_code(overrides: Sequence[str]) -> list[str]:
    """Return the modules and paths of code that the words of a command line name."""
    named: list[str] = []
    for word in overrides:
        key, _, value = word.lstrip("+~").partition("=")
        named += re.findall(r"[A-Za-z_][\w.]*" if key == "plugins" else r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*", value)
    return named


def _keys_of_choice(group: str, file: Path) -> Iterator[str]:
    if group == "algo":
        yield "algo"

    def leaves(values: dict[str, Any], prefix: str) -> Iterator[str]:
        for name, value in values.items():
            if isinstance(value, dict) and f"{prefix}{name}" != "env.kwargs":
                yield from leaves(value, f"{prefix}{name}.")
            elif f"{prefix}{name}" != f"{PACKAGES.get(group, group + '.')}defaults":
                yield f"{prefix}{name}"

    content: Any = OmegaConf.to_container(OmegaConf.load(file))
    for default in content.get("defaults", []):
        for name, choice in default.items() if isinstance(default, dict) else ():
            chosen = name.removeprefix("override /")
            yield from _keys_of_choice(chosen, conf_dir() / chosen / f"{choice}.yaml")
    yield from leaves(content, PACKAGES.get(group, f"{group}."))
