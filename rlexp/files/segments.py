"""Segments: large states of ranks, each written once by its rank into a file that is named by its SHA-256.

A checkpoint names the segments that it needs. They never change, so the last, the best and earlier checkpoints share
them; one that no checkpoint names any more is removed. A state that is smaller than a segment lies in the checkpoint.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TypeVar

from rlexp.data.replay import ReplayRows, ReplayState, Segment
from rlexp.data.state import RankState, Saved
from rlexp.errors import ConfigError, writing
from rlexp.files.codec import Refused, decode, encode, segments_of
from rlexp.files.durable import write_durably
from rlexp.files.places import LAST, SUFFIX

T = TypeVar("T")

LEAST_BYTES = 4 * 2**20
"""Size of an encoded state from which it becomes a segment."""
FOLDER = "segments"


def place(folder: Path, segment: Segment) -> Path:
    """Return the file of a segment of the checkpoints in `folder`."""
    return folder / FOLDER / f"{segment.sha256}{SUFFIX}"


def stored(state: RankState, folder: Path) -> RankState | Segment:
    """Return a state as a checkpoint in `folder` holds it; a large one is written to a segment first.

    On a machine that has no such run directory it is never written: rank 0 gets all of it.

    Raises:
        Fault: it cannot be written.
    """
    if not folder.parent.is_dir():
        return state
    content = encode(state)
    return state if len(content) < LEAST_BYTES else _written(content, folder)


def stored_rows(rows: ReplayRows, folder: Path) -> ReplayRows | Segment:
    """Return rows of a replay memory that will not change any more, written to a segment as `stored` does.

    Raises:
        Fault: they cannot be written.
    """
    return _written(encode(rows), folder) if folder.parent.is_dir() else rows


def _written(content: bytes, folder: Path) -> Segment:
    segment = Segment(hashlib.sha256(content).hexdigest())
    path = place(folder, segment)
    if path.is_file():
        return segment
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_durably(path, content, temporary)
    return segment


def read_rows(segment: Segment, folder: Path) -> ReplayRows:
    """Return what `stored_rows` wrote.

    Raises:
        ConfigError: it is missing or damaged.
    """
    return _decoded(segment, folder / LAST, ReplayRows)


def rank_states(saved: Saved, checkpoint: Path) -> list[RankState]:
    """Return the states of all ranks of a checkpoint, those in segments too.

    Raises:
        ConfigError: a segment is missing or damaged.
    """
    return [_checked(own if isinstance(own, RankState) else _decoded(own, checkpoint, RankState), checkpoint)
            for own in saved.ranks]  # fmt: skip


def _checked(state: RankState, checkpoint: Path) -> RankState:
    """Return a state whose rows are all there; its rank reads them.

    Raises:
        ConfigError: some are missing.
    """
    memory = state.memory
    for part in memory.parts if isinstance(memory, ReplayState) else ():
        if isinstance(part, Segment):
            _found(part, checkpoint)
    return state


def _found(segment: Segment, checkpoint: Path) -> Path:
    path = place(checkpoint.parent, segment)
    if not segment.sha256.isalnum() or not path.is_file():
        raise ConfigError(f"checkpoint={checkpoint} needs {path}, which is missing")
    return path


def _decoded(segment: Segment, checkpoint: Path, kind: type[T]) -> T:
    path = _found(segment, checkpoint)
    content = path.read_bytes()
    try:
        if hashlib.sha256(content).hexdigest() != segment.sha256:
            raise Refused("its checksum is wrong")
        return decode(content, kind)
    except Refused as error:
        raise ConfigError(f"checkpoint={checkpoint} needs {path}, which is damaged: {error}") from None


def _needed(path: Path) -> set[str]:
    """Return the names of the segments that a checkpoint needs, those that its segments need among them."""
    names = set(segments_of(path))
    for name in list(names):
        inner = place(path.parent, Segment(name))
        names.update(segments_of(inner) if inner.is_file() else ())
    return names


def remove_unused(folder: Path) -> None:
    """Remove the segments that no checkpoint in `folder` names."""
    if not (folder / FOLDER).is_dir():
        return
    with writing(folder):
        needed = {name for path in folder.glob(f"*{SUFFIX}") for name in _needed(path)}
        for path in (folder / FOLDER).iterdir():
            if path.stem not in needed:
                path.unlink(missing_ok=True)


def share(checkpoint: Path, folder: Path) -> None:
    """Give a checkpoint that moves to another folder its segments there, as hard links."""
    for name in _needed(checkpoint):
        source, target = place(checkpoint.parent, Segment(name)), place(folder, Segment(name))
        if source.is_file() and not target.exists():
            target.parent.mkdir(exist_ok=True)
            os.link(source, target)
