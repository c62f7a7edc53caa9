"""What a page says about runs beside their curves and scores: settings, time, commands, machines and videos."""

from __future__ import annotations

import base64
import os
import re
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from rlexp.report.groups import ALGO, ENV, Group, as_typed, ignored, value_of
from rlexp.report.read import RunRecord
from rlexp.show.lines import program
from rlexp.show.tables import short_names

MOST_VIDEOS = 60
EMBED_LIMIT = 64 * 2**20
"""Bytes of videos that a page may hold."""
LOG_HEAD = 65_536
MACHINE = re.compile(r"^.*? INFO rlexp\.\S+: machine: (.*)$", re.MULTILINE)
LONGEST_VALUE = 200


def differences(groups: Sequence[Group]) -> dict[str, Any]:
    """Return the settings that differ between groups, and each group's values; those that name groups come first."""
    saved = [run for group in groups for run in group.runs if run.settings]
    naming = dict.fromkeys(key for group in groups for key in group.settings)
    keys = dict.fromkeys([*naming, *(key for run in saved for key in run.settings if not ignored(key))])
    differing = [key for key in keys if key in naming or len({as_typed(value_of(run, key)) for run in saved}) > 1]
    return {
        "keys": differing,
        "names": {ENV: "env", ALGO: "algo"} | short_names([key for key in differing if key not in (ENV, ALGO)]),
        "rows": [(group, [_value(group.runs[0], key) for key in differing]) for group in groups],
    }


def _value(run: RunRecord, key: str) -> str:
    text = as_typed(value_of(run, key)) if run.settings or key in (ENV, ALGO) else "unknown"
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}…"


def command_of(group: Group) -> str:
    """Return the command that repeats a group, as a shell takes it: the words of a run, with all its seeds."""
    run = (group.counted or group.runs)[0]
    given = run.summary.get("overrides")
    words = [word for word in given if isinstance(word, str)] if isinstance(given, list) else []
    kept = [word for word in words if word.lstrip("+~").partition("=")[0] not in ("seed", "resume")]
    seeds = sorted({one.seed for one in group.runs if one.seed is not None})
    many = ["--multirun"] * (len(seeds) > 1)
    seed = [f"seed={','.join(map(str, seeds))}"] if seeds else []
    return " ".join([program(), *map(shlex.quote, [*many, *kept, *seed])])


def machine_of(run: RunRecord) -> str:
    """Return the machine that a run's log names last in its head; empty where it names none."""
    try:
        with (run.directory / "main.log").open(errors="replace") as file:
            found = MACHINE.findall(file.read(LOG_HEAD))
    except OSError:
        return ""
    return found[-1].strip() if found else ""


def machines(runs: Sequence[RunRecord]) -> list[tuple[str, int]]:
    """Return the machines, and how many runs ran on each."""
    return Counter(machine_of(run) or "unknown (main.log names none)" for run in runs).most_common()


def versions(runs: Sequence[RunRecord]) -> list[tuple[str, int]]:
    """Return the versions of packages, and how many runs had them."""
    return Counter(_versions(run.summary.get("versions")) for run in runs).most_common()


def _versions(found: Any) -> str:
    if not isinstance(found, Mapping) or not found:
        return "unknown"
    return ", ".join(f"{name} {version}" for name, version in found.items())


def relative(path: Path, folder: Path) -> str:
    """Return a path relative to the folder of the page, with slashes."""
    return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()


def videos(runs: Sequence[RunRecord], folder: Path, embed: bool) -> dict[str, Any]:
    """Return the videos of runs: the last of each run first, then earlier ones, up to `MOST_VIDEOS`.

    Args:
        runs: of which.
        folder: where the page is.
        embed: whether the page shall hold them, up to `EMBED_LIMIT` bytes in all.
    """
    queues = [(run, found) for run in runs if (found := _files(run.directory))]
    depth = max((len(found) for _, found in queues), default=0)
    all_of_them = [(run, found[place]) for place in range(depth) for run, found in queues if place < len(found)]
    chosen, size = [], 0
    order = {id(run): number for number, run in enumerate(runs)}
    for run, path in sorted(all_of_them[:MOST_VIDEOS], key=lambda pair: order[id(pair[0])]):
        where = relative(path, folder)
        source, held = quote(where, errors="surrogateescape"), False
        if embed and (data := _content(path, EMBED_LIMIT - size)) is not None:
            size += len(data)
            source, held = f"data:video/mp4;base64,{base64.b64encode(data).decode()}", True
        chosen.append({"run": run, "source": source, "embedded": held, "name": path.stem, "kind": path.parent.name})
    return {"shown": chosen, "left": len(all_of_them) - len(chosen), "embedded": sum(one["embedded"] for one in chosen)}


def _files(directory: Path) -> list[Path]:
    """Return the videos of a run, tests before training and new ones before old ones."""
    return sorted(
        directory.glob("videos/**/*.mp4"),
        key=lambda path: (path.parent.name == "test", _step(path), path.name),
        reverse=True,
    )


def _step(path: Path) -> int:
    found = re.match(r"step-(\d{1,18})", path.name)
    return int(found[1]) if found else -1


def _content(path: Path, room: int) -> bytes | None:
    """Return a video; None where it is larger than the room, or cannot be read."""
    try:
        return path.read_bytes() if path.stat().st_size <= room else None
    except OSError:
        return None
