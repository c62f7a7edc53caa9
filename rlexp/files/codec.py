"""States as bytes, without pickle: one safetensors file, tensors by their path, everything else as JSON in its header.

Nothing in such a file names code. Its metadata holds the JSON and a SHA-256 over the whole file (with 64 zeros in place
of the sum itself), so that a flipped bit anywhere is noticed: safetensors compares no checksums.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import types
import typing
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from rlexp.data.replay import ReplayState, Segment
from rlexp.data.state import STATES, RankState, Saved

T = TypeVar("T")

FORMAT = "rlexp 3"
NO_SUM = b"0" * 64
DEEPEST, MOST_VALUES = 32, 2_000_000
"""Bounds of what a file may hold: containers within containers, and values."""
LONGEST_HEADER = 64 * 2**20
"""Bytes of JSON that are read."""
_KINDS = {kind.__name__: kind for kind in STATES}


class Refused(Exception):
    """A file is no state of rlexp, or is damaged; str() says why."""


def encode(state: Any) -> bytes:
    """Return a state, a dataclass of `rlexp.data.state`, as the bytes of a safetensors file."""
    tensors: dict[str, Tensor] = {}
    return seal(json.dumps(_plain(state, "", tensors)), tensors, [segment.sha256 for segment in _segments_in(state)])


def _segments_in(state: Any) -> Iterator[Segment]:
    """Yield the segments that a state names."""
    if isinstance(state, Saved):
        for own in state.ranks:
            yield from _segments_in(own)
    elif isinstance(state, RankState) and isinstance(state.memory, ReplayState):
        yield from (part for part in state.memory.parts if isinstance(part, Segment))
    elif isinstance(state, Segment):
        yield state


def seal(plain: str, tensors: dict[str, Tensor], segments: Sequence[str] = ()) -> bytes:
    """Return a safetensors file of tensors and JSON, with its checksum and the names of segments that it needs."""
    metadata = {"format": FORMAT, "state": plain, "segments": ",".join(segments), "sha256": NO_SUM.decode()}
    content = bytearray(save(tensors, metadata))
    start = content.index(b'"sha256":"' + NO_SUM) + len(b'"sha256":"')
    content[start : start + len(NO_SUM)] = hashlib.sha256(content).hexdigest().encode()
    return bytes(content)


def segments_of(path: Path) -> list[str]:
    """Return the names of the segments that a checkpoint needs, from its header alone; none where it is damaged."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = file.read(min(size, LONGEST_HEADER))
    try:
        names = json.loads(header)["__metadata__"]["segments"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return []
    return [name for name in str(names).split(",") if name.isalnum()]


def _plain(value: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    """Return a value as JSON knows it; its tensors go into `tensors` by their path.

    What JSON has no form for becomes an object with one key: {"tensor": path}, {"tuple": [...]}, {"dict": [[key,
    value], ...]}, or the name of a dataclass with its fields.
    """
    if isinstance(value, Tensor):
        tensors[path] = value.detach().cpu().clone(memory_format=torch.contiguous_format)  # none shares memory
        return {"tensor": path}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if dataclasses.is_dataclass(value) and type(value).__name__ in _KINDS:
        items = {item.name: getattr(value, item.name) for item in dataclasses.fields(value)}
        return {type(value).__name__: {name: _plain(one, _under(path, name), tensors) for name, one in items.items()}}
    if isinstance(value, list | tuple):
        items_of = [_plain(one, _under(path, index), tensors) for index, one in enumerate(value)]
        return {"tuple": items_of} if isinstance(value, tuple) else items_of
    if isinstance(value, dict):
        return {"dict": [[key, _plain(one, _under(path, key), tensors)] for key, one in value.items()]}
    raise TypeError(f"{path} is a {type(value).__name__}, which no checkpoint holds")


def _under(path: str, name: object) -> str:
    return f"{path}.{name}" if path else str(name)


def decode(content: bytes, kind: type[T]) -> T:
    """Return the state in the bytes of a file.

    Raises:
        Refused: it is damaged, of another format, or no state of this kind.
    """
    header = _checked_header(content)
    metadata = header.get("__metadata__")
    if not isinstance(metadata, dict) or metadata.get("format") != FORMAT:
        raise Refused(f"it is no state of the format {FORMAT!r}")
    try:
        tensors = load(content)
        plain = json.loads(metadata["state"])
        state = _state(plain, tensors, [MOST_VALUES], 0)
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError, MemoryError, OverflowError) as error:
        raise Refused(f"{type(error).__name__}: {' '.join(str(error).split())[:120]}") from None
    _check_kind(state, kind, "it")
    return typing.cast(T, state)


def _checked_header(content: bytes) -> dict[str, Any]:
    """Return the header of a safetensors file whose checksum is right.

    Raises:
        Refused: it is not.
    """
    size = int.from_bytes(content[:8], "little") if len(content) >= 8 else 0
    if size < 2 or size > min(len(content) - 8, LONGEST_HEADER):
        raise Refused("it is cut off, or no safetensors file")
    try:
        header = json.loads(content[8 : 8 + size])
        given = header["__metadata__"]["sha256"].encode()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise Refused("its header cannot be read") from None
    start = content.find(b'"sha256":"' + given, 8, 8 + size)
    if len(given) != len(NO_SUM) or start < 0:
        raise Refused("it has no checksum")
    start += len(b'"sha256":"')
    checksum = hashlib.sha256(content[:start])
    checksum.update(NO_SUM)
    checksum.update(memoryview(content)[start + len(NO_SUM) :])
    if checksum.hexdigest().encode() != given:
        raise Refused("its checksum is wrong")
    found: dict[str, Any] = header
    return found


def _state(plain: Any, tensors: dict[str, Tensor], left: list[int], depth: int) -> Any:
    """Undo `_plain`; `left` is how many values there may be yet."""
    left[0] -= 1
    if depth > DEEPEST or left[0] < 0:
        raise ValueError("its containers are nested too deeply or hold too much")
    if isinstance(plain, list):
        return [_state(one, tensors, left, depth + 1) for one in plain]
    if not isinstance(plain, dict):
        return plain
    ((tag, inside),) = plain.items()
    if tag == "tensor":
        return tensors[inside]
    if tag == "tuple":
        return tuple(_state(one, tensors, left, depth + 1) for one in inside)
    if tag == "dict":
        pairs = [(key, _state(one, tensors, left, depth + 1)) for key, one in inside]
        if not all(isinstance(key, str | int) for key, _ in pairs):
            raise ValueError("it has a key that is neither a text nor a number")
        return dict(pairs)
    kind: Any = _KINDS[tag]
    return kind(**{name: _state(one, tensors, left, depth + 1) for name, one in inside.items()})


def _check_kind(value: Any, kind: Any, place: str) -> None:
    """Check that a value, and all in it, is what the type hint `kind` says.

    Raises:
        Refused: names the place that is not.
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return
    if origin is types.UnionType:
        chosen = [one for one in arguments if isinstance(value, one)]
        if not chosen:
            raise Refused(f"{place} is a {type(value).__name__}")
        _check_kind(value, chosen[0], place)
        return
    expected: Any = origin or kind
    good = isinstance(value, int | float if expected is float else expected)
    if not good or (isinstance(value, bool) and expected is not bool):
        raise Refused(f"{place} is a {type(value).__name__} instead of a {expected.__name__}")
    if dataclasses.is_dataclass(value):
        hints = typing.get_type_hints(type(value))
        for item in dataclasses.fields(value):
            _check_kind(
                getattr(value, item.name), hints[item.name], item.name if place == "it" else f"{place}.{item.name}"
            )
    elif origin is list or (origin is tuple and arguments[-1] is Ellipsis):
        for index, one in enumerate(value):
            _check_kind(one, arguments[0], f"{place}[{index}]")
    elif origin is dict:
        for key, one in value.items():
            _check_kind(key, arguments[0], f"a key of {place}")
            _check_kind(one, arguments[1], f"{place}[{str(key)[:40]!r}]")
