"""The command that compares runs: a table of what differs between them, over their seeds.

usage: python -m rlexp.compare DIR ... [--csv | --json | --latex]

DIR is the directory of a run or of a sweep, or any directory above some. Runs that differ in their seed alone are one
line: the mean of their scores, the interquartile mean (IQM) with its 95 % bootstrap interval, the number of seeds, and
environment steps a second. The score of a run is the mean return of the evaluation after training; without one, of its
last 100 training episodes. The best setting of each environment is marked. Warnings say what weakens the conclusion.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence

from rlexp.command.arguments import asks_version
from rlexp.errors import ConfigError

FORMATS = ("--csv", "--json", "--latex")


def parse(arguments: Sequence[str]) -> tuple[list[str], str]:
    """Return the directories and the format.

    Raises:
        ConfigError: an option is unknown, or there is no directory.
    """
    options = [word for word in arguments if word.startswith("-")]
    unknown = [word for word in options if word not in FORMATS]
    if unknown:
        raise ConfigError(f"{unknown[0]} is no option; allowed: {', '.join(FORMATS)}")
    if len(options) > 1:
        raise ConfigError(f"{' '.join(options)}: give one of them")
    paths = [word for word in arguments if not word.startswith("-")]
    if not paths:
        raise ConfigError("no directory is given; write: python -m rlexp.compare outputs/runs")
    return paths, options[0] if options else ""


def main(paths: Sequence[str], form: str, width: int) -> str:
    """Return what the command prints.

    Raises:
        ConfigError: there is nothing to compare.
    """
    from rlexp.report.groups import grouped  # numpy, which an error in the words need not wait for
    from rlexp.report.read import read_runs
    from rlexp.report.table import as_csv, as_json, as_latex, table, warnings

    groups = grouped(read_runs(paths))
    made = {"--csv": as_csv, "--json": as_json, "--latex": as_latex}
    if form:
        return made[form](groups)
    return "\n".join([*table(groups, width), *(f"warning: {line}" for line in warnings(groups))])


def cli() -> None:
    """Run the command and exit: 0, or 1 with one line on the standard error."""
    if asks_version(sys.argv[1:]):
        return
    if {"-h", "--help"} & set(sys.argv[1:]):
        print(__doc__)
        return
    width = shutil.get_terminal_size((120, 24)).columns if sys.stdout.isatty() else 200
    try:
        print(main(*parse(sys.argv[1:]), width))
        sys.stdout.flush()
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:  # somebody has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    cli()
