"""Where the YAML files are."""

from __future__ import annotations

from pathlib import Path


def conf_dir() -> Path:
    """Return the folder of the YAML files: inside an installed package, beside it in a checkout."""
    package = Path(__file__).parent.parent
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"
