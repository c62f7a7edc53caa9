"""Checkpoints: plain types and tensors only, written whole or not at all, read without running code.

A file is what torch.save writes, a zip archive, with the SHA-256 of all that is before it as the archive's comment.
torch itself compares no checksums and reads flipped bits as weights; the archive's own, one for each record, would not
tell records that have changed places.
"""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import struct
import sys
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from rlexp.config.schema import Config, passes
from rlexp.errors import ConfigError, writing
from rlexp.files.archive import Refused, check_archive, check_state

FORMAT = 2
LAST, BEST = "last.ckpt", "best.ckpt"
CHECKSUM_BYTES = 64
DAMAGES = (
    RuntimeError, pickle.UnpicklingError, zipfile.BadZipFile, zlib.error, EOFError, LookupError, ValueError, OSError,
    AttributeError, TypeError, ArithmeticError, MemoryError, struct.error,
)  # fmt: skip
"""What reading a file that is damaged, or no checkpoint, may raise."""


def sealed(archive: memoryview) -> tuple[memoryview, bytes]:
    """Return a zip archive without a comment in two parts, the second of which ends in the checksum of the first."""
    content = archive[:-2]  # without its last field, the length of the comment: 0
    return content, CHECKSUM_BYTES.to_bytes(2, "little") + hashlib.sha256(content).hexdigest().encode()


def save(path: Path, state: dict[str, Any], before: Path | None = None) -> None:
    """Write `state` to a temporary file beside `path`, sync it, and rename it into place.

    Args:
        path: where.
        state: plain types and tensors.
        before: what a file that is there already is renamed to; None: it is replaced.

    Raises:
        Fault: it cannot be written; what was there before is still there.
    """
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, **state}, buffer)
    write(path, sealed(buffer.getbuffer()), before)


def write(path: Path, content: Iterable[bytes | memoryview], before: Path | None = None) -> None:
    """Write a checkpoint that is bytes already, as `save` does.

    Raises:
        Fault: it cannot be written; what was there before is still there.
    """
    temporary = path.with_name(path.name + ".tmp")
    with writing(path):
        path.parent.mkdir(exist_ok=True)  # but not the run directory, if that was removed
        try:
            with temporary.open("wb") as file:
                file.writelines(content)
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        if before is not None and path.exists():
            path.replace(before)
        temporary.replace(path)
        _sync(path.parent)


def _sync(folder: Path) -> None:
    """Sync the names in a folder; else a renaming itself may not survive a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def numbered(folder: Path) -> dict[int, Path]:
    """Return the earlier checkpoints beside last.ckpt by their environment steps, the oldest first."""
    found = {}
    for path in folder.glob("step-*.ckpt"):
        number = path.stem.removeprefix("step-")
        if number.isdecimal():
            found[int(number)] = path
    return dict(sorted(found.items()))


def save_last(folder: Path, state: dict[str, Any], keep: int, steps_before: int | None) -> None:
    """Write last.ckpt; what it was before, at `steps_before` steps, becomes the newest of `keep` numbered files."""
    before = folder / f"step-{steps_before:09d}.ckpt" if keep > 0 and steps_before is not None else None
    save(folder / LAST, state, before)
    files = numbered(folder)
    late = [number for number in files if number >= state["env_steps"]]  # of a run that went on from an earlier one
    early = [number for number in files if number < state["env_steps"]]
    with writing(folder):
        for number in late + early[: max(0, len(early) - keep)]:
            files[number].unlink()


def candidates(run_dir: Path) -> list[Path]:
    """Return the checkpoints that a run can go on from, the newest first."""
    folder = run_dir / "checkpoints"
    return [path for path in (folder / LAST, *reversed(numbered(folder).values())) if path.is_file()]


def load_newest(run_dir: Path) -> tuple[Path, dict[str, Any]]:
    """Read the newest checkpoint of a run that is not damaged; say so where that is not the last one.

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
            print(f"warning: {first}; going on from {path.name}, the one before", file=sys.stderr, flush=True)
        return path, state
    raise first or ConfigError(f"resume={run_dir} has no checkpoint; give the directory of a run that wrote one")


def load(path: Path) -> dict[str, Any]:
    """Read a checkpoint with `weights_only=True`, onto the CPU.

    Raises:
        ConfigError: the file is missing, damaged, or no checkpoint of this format.
    """
    if not path.is_file():
        raise ConfigError(
            f"checkpoint={path} is not a file; give the path of a checkpoint, such as RUN/checkpoints/{LAST}"
        )
    try:
        content = path.read_bytes()
        if not content.startswith(b"PK"):
            raise zipfile.BadZipFile("not a zip archive")
        checksum = hashlib.sha256(memoryview(content)[: -CHECKSUM_BYTES - 2]).hexdigest()
        if content[-CHECKSUM_BYTES:] != checksum.encode():
            raise zipfile.BadZipFile("bad checksum")
        check_archive(content)
        check_state(torch.load(io.BytesIO(content), map_location="meta", weights_only=True), len(content))
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Refused as error:
        raise ConfigError(f"checkpoint={path} is refused: {error}") from None
    except DAMAGES as error:
        reason = " ".join(str(error).rpartition("WeightsUnpickler error: ")[2].split()).partition(". ")[0][:120]
        raise ConfigError(f"checkpoint={path} is damaged or no checkpoint ({type(error).__name__}: {reason})") from None
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise ConfigError(f"checkpoint={path} is not an rlexp checkpoint of format {FORMAT}")
    return state


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
    if not (path / "summary.json").is_file() and not candidates(path):
        raise ConfigError(f"resume={path} is not the directory of a run: it has no summary.json and no checkpoint")
    return path


def checkpoint_due(config: Config, updates: int) -> bool:
    """Return whether a checkpoint is written after this many updates.

    It is after the last one, after one that passes `checkpoint.every`, and after every evaluation, so that the weights
    of the best one are there.
    """
    size = config.steps_per_update
    return updates == config.updates or any(
        passes(every, size, updates) for every in (config.checkpoint.every, config.eval.every)
    )
