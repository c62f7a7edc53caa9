"""What a checkpoint file may hold, looked at before anything in it is built.

torch.load(weights_only=True) runs no code that a file names, but a file from a stranger may still ask for terabytes, or
for nested containers that no program can walk. Here it is held to what rlexp itself writes: a zip archive of stored
records, a pickle of plain values, and tensors no larger than the file.
"""

from __future__ import annotations

import io
import pickletools
import re
import zipfile
from collections.abc import Iterator
from typing import Any

RECORD = re.compile(
    r"[\w.-]+/(data\.pkl|byteorder|version|\.format_version|\.storage_alignment|\.data/serialization_id|data/\d+)"
)
OPCODES = """
    PROTO STOP MARK NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 BINFLOAT BINUNICODE EMPTY_TUPLE TUPLE TUPLE1
    TUPLE2 TUPLE3 EMPTY_LIST APPEND APPENDS EMPTY_DICT SETITEM SETITEMS BINGET LONG_BINGET BINPUT LONG_BINPUT GLOBAL
    REDUCE BINPERSID BUILD
""".split()  # noqa: SIM905  # a list of strings would take ten times the lines
"""What a pickle of plain values and tensors is made of."""
GLOBALS = frozenset(
    ["collections OrderedDict", "torch._utils _rebuild_tensor_v2"]
    + [
        f"torch {kind}Storage"
        for kind in ("Float", "Double", "Half", "BFloat16", "Bool", "Byte", "Char", "Short", "Int", "Long")
    ]
)
"""What such a pickle may name."""
MOST_OPCODES, MOST_VALUES = 2_000_000, 1_000_000
MOST_PICKLE_BYTES = 64 * 2**20
MOST_RECORDS = 100_000
DEEPEST = 32
"""Containers within containers."""
TENSOR_BYTES_PER_BYTE = 4
"""Bytes of all tensors for each byte of the file; more than one where tensors share memory."""


class Refused(ValueError):
    """The file is not what rlexp writes; str() says in part of a line why."""


def check_archive(content: bytes) -> None:
    """Check the records of an archive, and the pickle in it, without building anything.

    Raises:
        Refused: it holds what no checkpoint does.
        zipfile.BadZipFile: it is damaged, or no archive.
        ValueError: the pickle is damaged.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        records = archive.infolist()
        if len(records) > MOST_RECORDS:
            raise Refused(f"it has {len(records)} records")
        names = [record.filename for record in records]
        for record in records:
            if not RECORD.fullmatch(record.filename):
                raise Refused(f"it has a record named {record.filename[:60]!r}")
            if record.compress_type != zipfile.ZIP_STORED or record.file_size != record.compress_size:
                raise Refused(f"its record {record.filename} is compressed")
        if len(set(names)) < len(names) or len({name.partition("/")[0] for name in names}) > 1:
            raise Refused("it has two records of one name")
        if sum(record.file_size for record in records) > len(content):
            raise Refused("its records overlap")
        pickles = [record for record in records if record.filename.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise Refused("it has no record data.pkl")
        if pickles[0].file_size > MOST_PICKLE_BYTES:
            raise Refused(f"its data.pkl is larger than {MOST_PICKLE_BYTES} bytes")
        damaged = archive.testzip()
        if damaged is not None:
            raise zipfile.BadZipFile(f"bad checksum of {damaged}")
        _check_pickle(archive.read(pickles[0]))


def _check_pickle(data: bytes) -> None:
    for count, (opcode, argument, _) in enumerate(pickletools.genops(data)):
        if count > MOST_OPCODES:
            raise Refused(f"its pickle has more than {MOST_OPCODES} instructions")
        if opcode.name not in OPCODES:
            raise Refused(f"its pickle uses {opcode.name}, which no checkpoint needs")
        if opcode.name == "GLOBAL" and argument not in GLOBALS:
            name = ".".join(str(argument)[:80].split())
            raise Refused(f"its pickle names {name}, which no checkpoint needs")


def check_state(state: Any, size: int) -> None:
    """Check what was loaded onto the meta device, where tensors have shapes but no memory.

    Args:
        state: as torch.load returned it.
        size: of the file, in bytes.

    Raises:
        Refused: it holds other than plain values, or tensors that would need much more memory than the file has bytes.
    """
    import torch

    tensor_bytes = 0
    for value in leaves(state):
        if isinstance(value, torch.Tensor):
            tensor_bytes += value.numel() * value.element_size()
            if tensor_bytes > TENSOR_BYTES_PER_BYTE * size:
                raise Refused("its tensors are larger than the file")
        elif not isinstance(value, str | int | float | None):
            raise Refused(f"it holds a {type(value).__name__}")


def leaves(state: Any, most: int = MOST_VALUES, deepest: int = DEEPEST) -> Iterator[Any]:
    """Yield the keys and values of nested containers, those that occur twice twice.

    Raises:
        Refused: there are more than `most`, or they are nested deeper than `deepest`.
    """
    waiting: list[tuple[Any, int]] = [(state, 0)]
    count = 0
    while waiting:
        value, depth = waiting.pop()
        count += 1
        if isinstance(value, dict):
            inside = [*value.keys(), *value.values()]
        elif isinstance(value, list | tuple):
            inside = list(value)
        else:
            yield value
            continue
        if depth >= deepest or count + len(waiting) + len(inside) > most:
            raise Refused("its containers are nested too deeply or hold too much")
        waiting += [(item, depth + 1) for item in inside]
