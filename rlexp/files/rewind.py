"""Cuts the logs of a run back to a checkpoint, so that a run that resumes from it loses and doubles nothing."""

from __future__ import annotations

import itertools
import struct
from pathlib import Path

from rlexp.errors import ConfigError

EVENTS = "events.out.tfevents"
"""How the names of TensorBoard's event files begin."""
EVENTS_END = ".rlexp"
"""How the names of rlexp's own end: others in the same folder are not rlexp's to cut or remove."""
END = "hparam/"
"""How the tags begin of what is written once, when a run ends."""


def set_aside(folder: Path) -> None:
    """Give the checkpoints or videos of an earlier run another folder, so that they are not taken for this one's."""
    if folder.is_dir() and any(folder.iterdir()):
        folder.rename(free_name(folder))


def free_name(folder: Path) -> Path:
    """Return the first of NAME-1, NAME-2 and so on beside a folder that does not exist yet."""
    places = (folder.with_name(f"{folder.name}-{number}") for number in itertools.count(1))
    return next(place for place in places if not place.exists())


def cut_metrics(path: Path, rows: int) -> None:
    """Cut metrics.csv off after so many rows.

    Raises:
        ConfigError: it has fewer rows.
    """
    lines = path.read_bytes().splitlines(keepends=True) if path.is_file() else []
    kept = lines[: rows + 1]
    if len(kept) <= rows or not kept[-1].endswith(b"\n"):
        found = max(0, len(lines) - 1)
        raise ConfigError(f"{path} has {found} rows, but the checkpoint was written after {rows}; was it edited?")
    with path.open("r+b") as file:
        file.truncate(sum(map(len, kept)))


def cut_evaluations(path: Path, env_steps: int, evaluated: bool) -> bool:
    """Cut evaluations.csv back to what was evaluated before `env_steps`; `evaluated`: and to the first at that step.

    Returns:
        Whether the file is there, with its first line.
    """
    lines = path.read_bytes().splitlines(keepends=True) if path.is_file() else []
    kept = lines[:1]
    for line in lines[1:]:
        step, _, rest = line.partition(b",")
        here = step.isdigit() and int(step) == env_steps
        if not (step.isdigit() and rest.endswith(b"\n")) or int(step) > env_steps or (here and not evaluated):
            break
        evaluated = evaluated and not here
        kept.append(line)
    if not kept or not kept[0].endswith(b"\n"):
        return False
    with path.open("r+b") as file:
        file.truncate(sum(map(len, kept)))
    return True


def cut_events(folder: Path, env_steps: int, evaluated: bool = False) -> None:
    """Cut TensorBoard's event files off after the last event up to `env_steps`; 0: remove them.

    The evaluation after training goes too. One during training that came at `env_steps` stays, if there was one
    (`evaluated`): it is the first at that step, in whichever file.
    """
    for path in sorted(folder.glob(f"{EVENTS}.*{EVENTS_END}")):
        content = path.read_bytes()
        end, evaluated = _end_of_events(content, env_steps, evaluated)
        if env_steps == 0:
            path.unlink()
        elif end < len(content):
            with path.open("r+b") as file:
                file.truncate(end)


def _end_of_events(content: bytes, env_steps: int, evaluated: bool) -> tuple[int, bool]:
    """Return where the first event lies that is of a later step, of the last evaluation, or cut off.

    And whether the evaluation at `env_steps` is still to come, in a later file.

    A record is its length (8 bytes, little-endian), a checksum (4), the event, and a checksum (4).
    """
    from google.protobuf.message import DecodeError  # tensorboard, which a config error need not wait for
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
        tags = [value.tag for value in event.summary.value]
        test = event.step == env_steps and any(tag.startswith("Test/") for tag in tags)
        if event.step > env_steps or (test and not evaluated) or any(tag.startswith(END) for tag in tags):
            break
        evaluated = evaluated and not test
        start += length + 16
    return start, evaluated
