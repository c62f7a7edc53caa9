"""Cuts the logs of a run back to a checkpoint, so that a run that goes on from it loses and doubles nothing."""

from __future__ import annotations

import struct
from pathlib import Path

from rlexp.settings import ConfigError


def cut_metrics(path: Path, updates: int) -> None:
    """Cut metrics.csv off after the rows of `updates` updates.

    Raises:
        ConfigError: it has fewer rows.
    """
    lines = path.read_bytes().splitlines(keepends=True) if path.is_file() else []
    kept = lines[: updates + 1]
    if len(kept) <= updates or not kept[-1].endswith(b"\n"):
        rows = max(0, len(lines) - 1)
        raise ConfigError(f"{path} has {rows} rows, but the checkpoint was written after {updates}; was it edited?")
    with path.open("r+b") as file:
        file.truncate(sum(map(len, kept)))


def cut_events(folder: Path, env_steps: int) -> None:
    """Cut TensorBoard's event files off after the last event of training up to `env_steps`; 0: remove them."""
    for path in sorted(folder.glob("events.out.tfevents.*")):
        content = path.read_bytes()
        end = _end_of_events(content, env_steps)
        if env_steps == 0:
            path.unlink()
        elif end < len(content):
            with path.open("r+b") as file:
                file.truncate(end)


def _end_of_events(content: bytes, env_steps: int) -> int:
    """Return where the first event lies that is of a later step, of the evaluation, or cut off.

    A record is its length (8 bytes, little-endian), a checksum (4), the event, and a checksum (4).
    """
    from google.protobuf.message import DecodeError
    from tensorboard.compat.proto.event_pb2 import Event

    start = 0
    while start + 12 <= len(content):
        (length,) = struct.unpack_from("<Q", content, start)
        if start + length + 16 > len(content):
            break
        try:
            event = Event.FromString(content[start + 12 : start + 12 + length])
        except DecodeError:
            break
        if event.step > env_steps or any(value.tag.startswith("Test/") for value in event.summary.value):
            break
        start += length + 16
    return start
