"""Where the YAML files are."""

from __future__ import annotations

import importlib.resources
from pathlib import Path

from rlexp import plugins


def conf_dir() -> Path:
    """Return the folder of the YAML files: inside an installed package, beside it in a checkout."""
    package = Path(__file__).parent.parent
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"


def choices() -> dict[str, list[str]]:
    """Return the choices of each group: the YAML files here and of plugins, and the names that plugins register."""
    found: dict[str, set[str]] = {}
    folders = [conf_dir(), *(Path(str(importlib.resources.files(name))) for name in plugins.config_packages())]
    for folder in (group for base in folders for group in base.iterdir() if group.is_dir()):
        found.setdefault(folder.name, set()).update(file.stem for file in folder.glob("*.yaml"))
    for kind, group in {"algorithm": "algo", "model": "model", "logger": "logger"}.items():
        found.setdefault(group, set()).update(plugins.names(kind))
    return {group: sorted(names) for group, names in sorted(found.items()) if names}
