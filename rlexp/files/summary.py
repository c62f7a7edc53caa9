"""summary.json: the state of a run, what came of it, and what it ran with."""

from __future__ import annotations

import functools
import importlib.metadata
import json
import math
import os
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rlexp.data.resuming import ResumePoint


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write JSON to a temporary file and rename it into place; numbers that are not finite become null."""

    def clean(value: Any) -> Any:
        if isinstance(value, float) and not math.isfinite(value):
            return None
        if isinstance(value, Mapping):
            return {key: clean(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [clean(item) for item in value]
        return value

    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        temporary.unlink(missing_ok=True)
        with temporary.open("x") as file:  # x: follows no link
            file.write(json.dumps(clean(values), indent=2) + "\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that decide a result."""
    names = ("rlexp", "torch", "lightning", "gymnasium", "hydra-core", "numpy")
    found = {"python": platform.python_version()}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


@functools.cache
def commit() -> str | None:
    """Return the git commit that this code lies in; None if it lies in none, or there is no git."""
    folder = Path(__file__).parent
    try:
        words = ["git", "-C", str(folder), "rev-parse", "HEAD"]
        done = subprocess.run(words, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


def _together(earlier: list[str], later: list[str]) -> list[str]:
    """Return the overrides of a run and those of its resume, which count where both set a key."""
    words = {word.lstrip("+~").partition("=")[0]: word for word in [*earlier, *later]}
    return [word for key, word in words.items() if key != "resume"]


class Summary:
    """summary.json: the state of a run and what came of it."""

    def __init__(self, run_dir: Path) -> None:
        self.path = run_dir / "summary.json"

    def start(self, about: Mapping[str, Any], world_size: int, point: ResumePoint | None = None) -> None:
        """Write the state `running` and empty results; of a resumed run, how far it had come.

        Args:
            about: seed, env_id, algo and overrides (a list of words) of the experiment.
            world_size: number of ranks.
            point: where a resumed run continues.
        """
        values: dict[str, Any] = {
            "state": "running",
            "error": None,
            **about,
            "world_size": world_size,
            "env_steps": 0,
            "updates": 0,
            "wall_seconds": 0.0,
            "steps_per_second": None,
            "objective": None,
            "eval": None,
            "versions": versions(),
        }
        if point is not None:
            earlier = self.read()
            here = {"updates": point.updates, "env_steps": point.env_steps}
            # a run that was killed could not say how long it ran; its checkpoint says at least how long it learned
            seconds = max(float(earlier.get("wall_seconds") or 0.0), point.seconds)
            values |= here | {"wall_seconds": seconds, "resumes": [*earlier.get("resumes", []), here]}
            values["overrides"] = _together(earlier.get("overrides") or [], about["overrides"])
        write_json(self.path, values)

    def change(self, **values: Any) -> None:
        """Change some of the values."""
        write_json(self.path, {**self.read(), **values})

    def read(self) -> dict[str, Any]:
        """Return the values; empty if there are none yet, or none that can be read."""
        try:
            values = json.loads(self.path.read_text())
        except (FileNotFoundError, ValueError):  # ValueError: a power failure may leave an empty file
            return {}
        return values if isinstance(values, dict) else {}

    def peek(self) -> dict[str, Any]:
        """Return the values; empty if they cannot be read for whatever reason: for what is only said at the end."""
        try:
            return self.read()
        except OSError:
            return {}
