"""Checkpoints: plain types and tensors only, written whole or not at all, read without running code."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import torch

from rlexp.archive import Refused, check_archive, check_state
from rlexp.config import Config
from rlexp.faults import writing
from rlexp.settings import ConfigError

FORMAT = 1
LAST, BEST = "last.ckpt", "best.ckpt"
CHECKSUM_BYTES = 64
DAMAGES = (
    RuntimeError, pickle.UnpicklingError, zipfile.BadZipFile, zlib.error, EOFError, LookupError, ValueError, OSError,
    AttributeError, TypeError, ArithmeticError, MemoryError, struct.error,
)  # fmt: skip
"""What reading a file that is damaged, or no checkpoint, may raise."""


def save(path: Path, state: dict[str, Any]) -> None:
    """Write `state` to a temporary file beside `path`, sync it, and rename it into place.

    Raises:
        Fault: it cannot be written; what was there before is still there.
    """
    temporary = path.with_name(path.name + ".tmp")
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, **state}, buffer)
    archive = buffer.getbuffer()[:-2]  # without its last field, the length of the comment: 0
    with writing(path):
        path.parent.mkdir(exist_ok=True)  # but not the run directory, if that was removed
        try:
            with temporary.open("wb") as file:
                file.write(archive)
                file.write(CHECKSUM_BYTES.to_bytes(2, "little") + hashlib.sha256(archive).hexdigest().encode())
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise


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


def checkpoint_due(config: Config, updates: int) -> bool:
    """Return whether a checkpoint is written after this many updates: the last one, or one that passes `every`."""
    if updates == config.updates:
        return True
    every, size = config.checkpoint.every, config.steps_per_update
    return every > 0 and updates * size // every > (updates - 1) * size // every
