"""The comparison of groups of runs as a table: for a terminal, as CSV, JSON or LaTeX, with what weakens it."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from rlexp.report.groups import Group
from rlexp.report.read import COMPLETED, RunRecord
from rlexp.show.lines import decimals, number
from rlexp.show.tables import folded

ENOUGH_SEEDS = 5
"""Seeds from which an interval says something (arXiv:2108.13264)."""
BEST = "*"
COLUMNS = ("setting", "mean", "IQM", "95 % interval", "seeds", "steps/s", "")
LATEX = str.maketrans({character: f"\\{character}" for character in "&%$#_{}"} | {"~": r"\textasciitilde{}",
                      "^": r"\textasciicircum{}", "\\": r"\textbackslash{}"})  # fmt: skip


def best_of(groups: Sequence[Group]) -> list[Group]:
    """Return the groups of the highest interquartile mean in their environment, where there is more than one."""
    found = []
    for env_id in dict.fromkeys(group.env_id for group in groups):
        own = [group for group in groups if group.env_id == env_id and group.counted]
        if len(own) > 1:
            highest = max(group.interquartile_mean or 0.0 for group in own if group.counted)
            found += [group for group in own if group.interquartile_mean == highest]
    return found


def table(groups: Sequence[Group], width: int) -> list[str]:
    """Return a line for each group, the best of each environment marked, folded to a width."""
    best = best_of(groups)
    rows = [list(COLUMNS), *(_cells(group, any(group is one for one in best)) for group in groups)]
    return folded(rows, width, right={1, 2, 3, 4, 5})


def _cells(group: Group, best: bool) -> list[str]:
    """Return the cells of a group's row."""
    middle, ends = group.interquartile_mean, group.interval
    digits = decimals(middle or 0.0)
    between = "-" if ends is None else f"{number(ends.low, digits)} to {number(ends.high, digits)}"
    speed = number(group.average("steps_per_second"), 0)
    return [
        group.label,
        number(group.mean, digits if group.counted else None),
        number(middle, digits if group.counted else None),
        between,
        str(len(group.counted)),
        speed,
        BEST if best else "",
    ]


def warnings(groups: Sequence[Group]) -> list[str]:
    """Return what weakens a conclusion from these groups, a line each."""
    counted = [group for group in groups if group.counted]
    lines = [*_left_out([run for group in groups for run in group.runs]), *_twice(groups)]
    few = [group for group in counted if len(group.counted) < ENOUGH_SEEDS]
    if few:
        least = min(len(group.counted) for group in few)
        which = "every setting has" if len(few) == len(counted) else f"{len(few)} of {len(counted)} settings have"
        lines.append(
            f"{which} fewer than {ENOUGH_SEEDS} seeds (the fewest: {least}); intervals of so few are too narrow"
        )
    lines += _undecided(counted)
    for env_id in dict.fromkeys(group.env_id for group in counted):
        own = [group for group in counted if group.env_id == env_id]
        steps = sorted({int(value) for group in own for run in group.counted if (value := run.number("env_steps"))})
        if len(steps) > 1 and steps[-1] > 1.05 * steps[0]:
            lines.append(f"{env_id}: budgets differ, from {steps[0]:,} to {steps[-1]:,} environment steps")
        if len({run.evaluated for group in own for run in group.counted}) > 1:
            lines.append(f"{env_id}: some scores are of evaluations, some of the last training episodes")
    if any(not run.settings for group in groups for run in group.runs):
        lines.append("some runs have no .hydra/config.yaml: what differs between them is not known")
    return lines


def _undecided(groups: Sequence[Group]) -> list[str]:
    """Return a line for each environment whose best group overlaps others."""
    lines = []
    for best in best_of(groups):
        near = [
            group
            for group in groups
            if group is not best and group.env_id == best.env_id and best.interval and group.interval
            and best.interval.overlaps(group.interval)
        ]  # fmt: skip
        if near:
            which = near[0].label if len(near) == 1 else f"{len(near)} others"
            lines.append(f"the interval of {best.label} overlaps that of {which}: which is better is open")
    return lines


def _left_out(runs: Sequence[RunRecord]) -> list[str]:
    """Return a line that says which runs do not count."""
    states = Counter(run.state for run in runs if run.state != COMPLETED)
    states["completed without a score"] = sum(run.state == COMPLETED and run.score is None for run in runs)
    found = ", ".join(f"{count} {state}" for state, count in states.items() if count)
    return [f"not counted: {found}"] if found else []


def _twice(groups: Sequence[Group]) -> list[str]:
    """Return a line that says how many runs repeat a seed."""
    scored = sum(run.score is not None for group in groups for run in group.runs)
    repeated = scored - sum(len(group.counted) for group in groups)
    return [f"{repeated} runs repeat a seed of their setting; the last of each counts"] if repeated else []


def as_records(groups: Sequence[Group]) -> list[dict[str, Any]]:
    """Return plain values of each group."""
    best = best_of(groups)
    return [
        {
            "setting": group.label,
            "settings": dict(group.settings),
            "env_id": group.env_id,
            "seeds": len(group.counted),
            "mean": group.mean,
            "iqm": group.interquartile_mean,
            "low": None if (ends := group.interval) is None else ends.low,
            "high": None if ends is None else ends.high,
            "scores": group.scores.tolist(),
            "env_steps": group.average("env_steps"),
            "steps_per_second": group.average("steps_per_second"),
            "wall_seconds": group.average("wall_seconds"),
            "best": any(group is one for one in best),
        }
        for group in groups
    ]


def as_json(groups: Sequence[Group]) -> str:
    """Return the groups as JSON."""
    return json.dumps({"groups": as_records(groups), "warnings": warnings(groups)}, indent=2, default=str)


def as_csv(groups: Sequence[Group]) -> str:
    """Return the groups as CSV: a column for each setting that differs, then the numbers."""
    keys = list(dict.fromkeys(key for group in groups for key in group.settings))
    plain = ("seeds", "mean", "iqm", "low", "high", "env_steps", "steps_per_second", "wall_seconds", "best")
    file = io.StringIO()
    rows = csv.writer(file, lineterminator="\n")
    rows.writerow([*keys, *(["env_id"] if "env.id" not in keys else []), *plain])
    for record in as_records(groups):
        own = [record["settings"].get(key) for key in keys]
        env = [record["env_id"]] if "env.id" not in keys else []
        rows.writerow(["" if value is None else value for value in (*own, *env, *(record[name] for name in plain))])
    return file.getvalue().rstrip("\n")


def as_latex(groups: Sequence[Group]) -> str:
    """Return the groups as a table of LaTeX with the package booktabs; the best are bold."""
    best = best_of(groups)
    lines = [
        r"\begin{tabular}{lrrrrr}",
        r"\toprule",
        " & ".join(name.translate(LATEX) for name in COLUMNS[:-1]) + r" \\",
    ]
    lines.append(r"\midrule")
    for group in groups:
        cells = [cell.translate(LATEX) for cell in _cells(group, False)[:-1]]
        if any(group is one for one in best):
            cells[2] = rf"\textbf{{{cells[2]}}}"
        lines.append(" & ".join(cells).replace(" to ", "--") + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"])
