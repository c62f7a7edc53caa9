"""Where the checkpoints of a run lie. Imports no torch."""

from __future__ import annotations

from pathlib import Path

from rlexp.errors import ConfigError

SUFFIX = ".safetensors"
LAST, BEST = f"last{SUFFIX}", f"best{SUFFIX}"


def step_name(env_steps: int) -> str:
    """Return the name of an earlier checkpoint."""
    return f"step-{env_steps:09d}{SUFFIX}"


def numbered(folder: Path) -> dict[int, Path]:
    """Return the earlier checkpoints beside the last one by their environment steps, the oldest first."""
    found = {}
    for path in folder.glob(f"step-*{SUFFIX}"):
        number = path.stem.removeprefix("step-")
        if number.isdecimal():
            found[int(number)] = path
    return dict(sorted(found.items()))


def candidates(run_dir: Path) -> list[Path]:
    """Return the checkpoints that a run can be resumed from, the newest first."""
    folder = run_dir / "checkpoints"
    return [path for path in (folder / LAST, *reversed(numbered(folder).values())) if path.is_file()]


def run_directory(path: Path) -> Path:
    """Return the run directory that a checkpoint lies in, or `path` itself where that is one.

    Raises:
        ConfigError: it is neither.
    """
    if path.is_file() and path.parent.name == "checkpoints":
        return path.parent.parent
    if path.is_file():
        raise ConfigError(f"resume={path} does not lie in the checkpoints/ folder of a run; give a run directory")
    if not path.is_dir():
        raise ConfigError(f"resume={path} does not exist; give a run directory, one of its checkpoints, or auto")
    if (path / "checkpoints" / "last.ckpt").is_file() and not candidates(path):
        raise ConfigError(
            f"resume={path} has checkpoints of an earlier format, which is not read any more; train again"
        )
    if not (path / "summary.json").is_file() and not candidates(path):
        raise ConfigError(f"resume={path} is not the directory of a run: it has no summary.json and no checkpoint")
    return path
