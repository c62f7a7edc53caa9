"""The tables that a person reads at the end of a run and of a sweep."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from rlexp.summary import Summary


def _number(value: float | None, digits: int = 1) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


def run_table(run_dir: Path, summary: dict[str, Any], env_id: str) -> None:
    """Print what a run of an environment achieved and where it left what."""
    table = Table.grid(padding=(0, 2))
    result = summary["eval"]
    if result is not None:
        spread = f"{_number(result['mean_return'])} +- {_number(result['std_return'])}"
        table.add_row("return", f"{spread} ({result['episodes']} greedy episodes)")
    else:
        table.add_row("return", f"{_number(summary['objective'])} (last training episodes)")
    table.add_row("steps/s", f"{_number(summary['steps_per_second'], 0)} ({summary['env_steps']:,} steps)")
    where = _shown(run_dir)
    table.add_row("directory", where)
    films = sorted(run_dir.glob("videos/test/*.mp4"))
    if films:
        table.add_row("video", _shown(films[-1]))
    table.add_row("curves", f"tensorboard --logdir {where}/tensorboard")
    named = f" env_id={env_id}" if ":" in env_id else ""  # a module is imported only where it is named
    table.add_row("again", f"python -m rlexp.evaluate checkpoint={where}/checkpoints/last.ckpt{named}")
    _console().print(table)


def sweep_table(sweep_dir: Path, jobs: list[tuple[str, Path]]) -> bool:
    """Print a row for each job of a sweep, (overrides, directory); return whether all are completed."""
    table = Table("job", "overrides", "state", "return", "steps/s", title=f"sweep {_shown(sweep_dir)}")
    good = True
    for number, (overrides, folder) in enumerate(jobs):
        summary = Summary(folder).read()
        state = summary.get("state", "not started")
        good = good and state == "completed"
        speed = _number(summary.get("steps_per_second"), 0)
        table.add_row(str(number), overrides, state, _number(summary.get("objective")), speed)
    _console().print(table)
    return good


def _console() -> Console:
    """Return a console that does not fold lines where the output is a file."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=200)


def _shown(path: Path) -> str:
    """Return a path relative to the working directory where it lies below it."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
