"""The page of a report: plain values of runs, and the one HTML file that they are written into."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
import numpy as np

from rlexp.errors import ConfigError
from rlexp.files.summary import versions
from rlexp.report import about
from rlexp.report.comparison import improvements, profiles, ranked
from rlexp.report.curves import (
    EVALUATED,
    EVALUATIONS,
    MEAN_RETURN,
    METRICS,
    POINTS,
    RETURN,
    SECONDS,
    STEPS,
    Columns,
    Curve,
    curves_of,
    phases_of,
    read_columns,
    scalars_of,
    shown_runs,
)
from rlexp.report.groups import Group, grouped
from rlexp.report.read import RunRecord, read_runs
from rlexp.report.statistics import Array
from rlexp.report.table import as_records, warnings
from rlexp.show.lines import decimals, number

ASSETS = Path(__file__).parent / "assets"
RUNNING = "running"
SHOWN_AT_FIRST = 8
"""Methods that are shown at first where there are more than `FEW`."""
FEW = 12
NUMBERS = 50_000
"""Numbers of all curves of the first scalar, and of those of the others: they set how many points a curve has."""
FEWEST_FIRST, FEWEST = 60, 12
"""Fewest points of a curve of the first scalar, and of others."""


@dataclass(frozen=True)
class Wanted:
    """What a page shall be.

    Attributes:
        paths: directories of runs.
        output: the file.
        title: its title; empty: the name of the first directory.
        embed: whether it holds the videos.
        refresh: seconds after which a browser loads it anew while runs go on; 0: never.
    """

    paths: tuple[str, ...]
    output: Path
    title: str = ""
    embed: bool = False
    refresh: int = 0


@dataclass(frozen=True)
class Written:
    """A page that was written: its size, and how many runs it shows."""

    path: Path
    size: int
    runs: int
    groups: int
    running: int


def write(wanted: Wanted) -> Written:
    """Read the runs and write the page: to a temporary file, which is renamed.

    Raises:
        ConfigError: there is no run, or the page cannot be written.
    """
    runs = read_runs(wanted.paths)
    groups = grouped(runs)
    running = sum(run.state == RUNNING for run in runs)
    text = rendered(groups, wanted, wanted.refresh if running else 0)
    temporary = wanted.output.with_name(f"{wanted.output.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8", errors="replace")
        temporary.replace(wanted.output)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise ConfigError(f"cannot write {wanted.output}: {error.strerror}; name another with --output") from None
    return Written(wanted.output, len(text.encode(errors="replace")), len(runs), len(groups), running)


def rendered(groups: Sequence[Group], wanted: Wanted, refresh: int = 0) -> str:
    """Return the page."""
    folder = wanted.output.parent
    runs = [run for group in groups for run in group.runs]
    data, notes = values_of(groups)
    style, script = ((ASSETS / name).read_text(encoding="utf-8") for name in ("style.css", "script.js"))
    loader = jinja2.FileSystemLoader(ASSETS)
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("page.html.j2").render(
        title=wanted.title or Path(wanted.paths[0]).resolve().name or "runs",
        refresh=refresh,
        created=time.strftime("%Y-%m-%d %H:%M:%S"),
        version=versions()["rlexp"],
        style=style,
        script=script,
        digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        data=as_json(data),
        states=Counter(run.state for run in runs).most_common(),
        warnings=warnings(groups),
        scores=[_score_row(group, record) for group, record in zip(groups, data["groups"], strict=True)],
        data_values=data,
        differences=about.differences(groups),
        runs=[_run_row(run, group, notes, folder) for group in groups for run in group.runs],
        videos=about.videos(runs, folder, wanted.embed),
        embed=wanted.embed,
        limit=about.EMBED_LIMIT // 2**20,
        commands=[(group, about.command_of(group)) for group in groups],
        machines=about.machines(runs),
        versions=about.versions(runs),
    )


def as_json(values: Mapping[str, Any]) -> str:
    """Return values as JSON that may stand in a script element: nothing in it ends the element or opens another."""
    text = json.dumps(values, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def values_of(groups: Sequence[Group]) -> tuple[dict[str, Any], dict[Path, str]]:
    """Return what the page's script draws, and what is wrong with the files of each run."""
    order = ranked(groups)
    notes: dict[Path, str] = {}
    scalars: dict[str, None] = {}
    found = []
    for group, record in zip(groups, as_records(groups), strict=True):
        own, phases = _curves(group, notes, len(groups))
        scalars |= dict.fromkeys(own["lines"])
        chosen = ("setting", "env_id", "mean", "iqm", "low", "high", "best", "scores")
        seeds = [run.seed for run in group.counted]
        plain = {name: _finite(record[name]) for name in chosen}
        found.append({**plain, "method": group.method, "seeds": seeds, "time": phases, "curves": own})
    methods = list(dict.fromkeys(group.method for group in groups))
    first = [name for name in (RETURN, EVALUATED) if name in scalars]
    return {
        "groups": found,
        "methods": methods,
        "first": order[:SHOWN_AT_FIRST] if len(methods) > FEW else methods,
        "envs": list(dict.fromkeys(group.env_id for group in groups)),
        "scalars": [*first, *(name for name in scalars if name not in first)],
        "improvements": improvements(groups),
        "profiles": profiles(groups),
    }, notes


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _curves(group: Group, notes: dict[Path, str], groups: int) -> tuple[dict[str, Any], dict[str, float] | None]:
    """Return the curves of a group and its mean time by phase; add what is wrong with files to the notes."""
    shown, tables = shown_runs(group), {}
    for run in group.runs:
        going = run.state == RUNNING
        metrics = read_columns(run.directory / METRICS, going)
        evaluations = read_columns(run.directory / EVALUATIONS, going, (STEPS, SECONDS, MEAN_RETURN))
        problems = [metrics.problem, evaluations.problem]
        notes[run.directory] = "; ".join(problem for problem in problems if problem)
        tables[run.directory] = metrics, evaluations
    own = [tables[run.directory] for run in shown]
    names = scalars_of([metrics for metrics, _ in own])
    rest = [name for name in names if name != RETURN]
    points = max(FEWEST_FIRST, min(POINTS, NUMBERS // (3 * groups)))
    fewer = max(FEWEST, min(POINTS, NUMBERS // (3 * groups * max(1, len(rest)))))
    renamed = [Columns({**table.values, EVALUATED: table.values[MEAN_RETURN]}) for _, table in own
               if MEAN_RETURN in table.values]  # fmt: skip
    metrics_of_runs = [metrics for metrics, _ in own]
    sets = {
        "metrics": curves_of(metrics_of_runs, [name for name in names if name == RETURN], points),
        "rest": curves_of(metrics_of_runs, rest, fewer),
        "evaluations": curves_of(renamed, [EVALUATED], points),
    }
    grids = {kind: _grid(next(iter(curves.values()))) for kind, curves in sets.items() if curves}
    lines = {name: _line(curve, kind) for kind, curves in sets.items() for name, curve in curves.items()}
    spent = [found for run in shown if (found := phases_of(run, tables[run.directory][0])) is not None]
    means = [float(f"{value:.4g}") for value in np.mean(spent, axis=0)] if spent else []
    phases = dict(zip(("collect", "update", "rest"), means, strict=True)) if spent else None
    return {"grids": grids, "lines": lines}, phases


def _grid(curve: Curve) -> dict[str, Any]:
    return {"steps": [int(step) for step in curve.steps], "seconds": _short(curve.seconds)}


def _line(curve: Curve, grid: str) -> dict[str, Any]:
    """Return a curve as plain values; without an interval where it has none, or none but the curve itself."""
    counts = [int(count) for count in curve.counts]
    line: dict[str, Any] = {"grid": grid, "y": _short(curve.middle)}
    line["n"] = counts[0] if len(set(counts)) == 1 else counts
    if np.nanmax(np.nan_to_num(curve.high - curve.low)) > 0:
        line |= {"low": _short(curve.low), "high": _short(curve.high)}
    return line


def _short(values: Array) -> list[float | None]:
    """Return numbers with four digits that count; None where there is none."""
    return [float(f"{value:.4g}") if value == value else None for value in values.tolist()]


def _score_row(group: Group, record: Mapping[str, Any]) -> dict[str, Any]:
    digits = decimals(record["iqm"] or 0.0)
    speed = group.average("steps_per_second")
    cells = [(record[name], number(record[name], digits)) for name in ("mean", "iqm", "low", "high")]
    return {"group": group, "cells": [*cells, (speed, number(speed, 0))], "best": record["best"]}


def _run_row(run: RunRecord, group: Group, notes: Mapping[Path, str], folder: Path) -> dict[str, Any]:
    where = about.relative(run.directory, folder)
    steps, speed, seconds = (run.number(key) for key in (STEPS, "steps_per_second", "wall_seconds"))
    cells = [(steps, number(steps, 0)), (run.score, number(run.score)), (speed, number(speed, 0)),
             (seconds, number(seconds, 0))]  # fmt: skip
    counted = any(run is one for one in group.counted)
    said = [run.error, notes.get(run.directory, "")]
    if run.score is not None and not counted:
        said.append("not counted: another run has this seed")
    return {
        "run": run, "group": group, "where": where, "link": quote(where, errors="surrogateescape") + "/",
        "cells": cells, "note": "; ".join(one for one in said if one),
    }  # fmt: skip
