"""Checkpoints: plain types and tensors only, written whole or not at all, read without running code."""

from __future__ import annotations

import os
import pickle
import zipfile
import zlib
from pathlib import Path
from typing import Any

import torch

from rlexp.config import Config
from rlexp.settings import ConfigError

FORMAT = 1
LAST, BEST = "last.ckpt", "best.ckpt"
DAMAGES = (
    RuntimeError, pickle.UnpicklingError, zipfile.BadZipFile, zlib.error, EOFError, LookupError, ValueError, OSError,
    AttributeError, TypeError,
)  # fmt: skip
"""What reading a file that is damaged, or no checkpoint, may raise."""


def save(path: Path, state: dict[str, Any]) -> None:
    """Write `state` to a temporary file beside `path`, sync it, and rename it into place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("wb") as file:
        torch.save({"format": FORMAT, **state}, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


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
        with zipfile.ZipFile(path) as archive:  # torch itself compares no checksums, and reads flipped bits as weights
            damaged = archive.testzip()
        if damaged is not None:
            raise zipfile.BadZipFile(f"bad checksum of {damaged}")
        state = torch.load(path, map_location="cpu", weights_only=True)
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
