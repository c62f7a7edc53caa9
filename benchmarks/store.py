"""Results of several commands: each a JSON file with machine, versions, date and commit; one page is made of them."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks.machine import described

ROOT = Path(__file__).resolve().parent.parent
PICTURES = ROOT / "docs" / "benchmarks"
STORE = PICTURES
"""In the repository, so that a command that measures one thing again leaves the rest of the page as it was."""


def add_option(parser: argparse.ArgumentParser) -> None:
    """Give a command the option that says where its results go."""
    parser.add_argument(
        "--store", type=Path, default=STORE, help=f"folder of the results (default {STORE.relative_to(ROOT)})"
    )


def save(folder: Path, name: str, data: dict[str, Any], *versions: str) -> None:
    """Write a result; `versions` are those of peers."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(json.dumps({"made": described(*versions), **data}, indent=1) + "\n")
    print(f"written: {path}", flush=True)


def load(folder: Path, name: str) -> dict[str, Any] | None:
    """Return a result; None if there is none."""
    path = folder / f"{name}.json"
    return json.loads(path.read_text()) if path.is_file() else None
