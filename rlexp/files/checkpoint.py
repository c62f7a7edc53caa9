"""Checkpoints: written whole or not at all, read without running code; what is in one: `rlexp.data.state.Saved`."""

from __future__ import annotations

import sys
from pathlib import Path

from rlexp.data.state import Saved
from rlexp.errors import ConfigError, writing
from rlexp.files.codec import FORMAT, Refused, decode, encode
from rlexp.files.durable import write_durably
from rlexp.files.places import BEST, LAST, candidates, numbered, step_name

__all__ = ["BEST", "LAST", "load", "load_newest", "save", "save_last", "write"]


def save(path: Path, state: Saved, before: Path | None = None) -> None:
    """Write `state` to a temporary file beside `path`, sync it, and rename it into place.

    Args:
        path: where.
        state: all of it.
        before: what a file that is there already is renamed to; None: it is replaced.

    Raises:
        Fault: it cannot be written; what was there before is still there.
    """
    write(path, encode(state), before)


def write(path: Path, content: bytes, before: Path | None = None) -> None:
    """Write a checkpoint that is bytes already, as `save` does.

    Raises:
        Fault: it cannot be written; what was there before is still there.
    """
    temporary = path.with_name(path.name + ".tmp")
    with writing(path):
        path.parent.mkdir(exist_ok=True)  # but not the run directory, if that was removed
        write_durably(path, content, temporary, before)


def save_last(folder: Path, state: Saved, keep: int, steps_before: int | None) -> None:
    """Write the last checkpoint; what it was before, at `steps_before` steps, becomes the newest of `keep` others."""
    before = folder / step_name(steps_before) if keep > 0 and steps_before is not None else None
    save(folder / LAST, state, before)
    files = numbered(folder)
    late = [number for number in files if number >= state.env_steps]  # of a run that was resumed from an earlier one
    early = [number for number in files if number < state.env_steps]
    with writing(folder):
        for number in late + early[: max(0, len(early) - keep)]:
            files[number].unlink()


def load_newest(run_dir: Path) -> tuple[Path, Saved]:
    """Read the newest checkpoint of a run that is not damaged; warn where that is not the last one.

    Raises:
        ConfigError: there is none, or all are damaged.
    """
    first: ConfigError | None = None
    for path in candidates(run_dir):
        try:
            state = load(path)
        except ConfigError as error:
            first = first or error
            continue
        if first is not None:
            print(f"warning: {first}; resuming from {path.name}, the one before", file=sys.stderr, flush=True)
        return path, state
    raise first or ConfigError(f"resume={run_dir} has no checkpoint; give the directory of a run that wrote one")


def load(path: Path) -> Saved:
    """Read a checkpoint onto the CPU.

    Raises:
        ConfigError: the file is missing, damaged, or no checkpoint of this format.
    """
    if not path.is_file():
        raise ConfigError(
            f"checkpoint={path} is not a file; give the path of a checkpoint, such as RUN/checkpoints/{LAST}"
        )
    if path.suffix == ".ckpt":
        raise ConfigError(
            f"checkpoint={path} is of an earlier format, which is not read any more; train again for a {LAST}"
        )
    try:
        return decode(path.read_bytes(), Saved)
    except Refused as error:
        raise ConfigError(f"checkpoint={path} is damaged or no checkpoint of the format {FORMAT!r}: {error}") from None
    except (OSError, MemoryError) as error:
        raise ConfigError(f"checkpoint={path} cannot be read: {error}") from None
