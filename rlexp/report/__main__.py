"""The command that writes a page of runs: one HTML file that opens from the disk.

usage: python -m rlexp.report DIR ... [--output FILE] [--title TEXT] [--embed-videos] [--follow [SECONDS]]

DIR is the directory of a run or of a sweep, or any directory above some. The page shows learning curves with their
intervals, final evaluations, chances to be better, time by phase, what differs in the configs, the state of each run,
videos, and the commands that repeat it. Runs that differ in their seed alone are one group.

  --output FILE        where to write it; default: report.html in the first DIR
  --title TEXT         title of the page; default: the name of the first DIR
  --embed-videos       the page holds the videos (up to 64 MB); else it links to them
  --follow [SECONDS]   write it anew every so many seconds (30) until no run is running; the browser reloads it
"""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rlexp.errors import ConfigError, printable
from rlexp.files.summary import versions

if TYPE_CHECKING:
    from rlexp.report.page import Wanted, Written

PAGE = "report.html"
VALUED = ("--output", "--title")
OPTIONS = (*VALUED, "--embed-videos", "--follow")
EVERY = 30
INTERRUPTED = 130


def parse(arguments: Sequence[str]) -> Wanted:
    """Return what the arguments ask for.

    Raises:
        ConfigError: an option is unknown or lacks its value, or there is no directory.
    """
    words, paths, given, every = list(arguments), list[str](), dict[str, str](), 0
    while words:
        name, equals, value = words.pop(0).partition("=")
        if not name.startswith("-"):
            paths.append(name + equals + value)
        elif name not in OPTIONS:
            raise ConfigError(f"{name} is no option; allowed: {', '.join(OPTIONS)}")
        elif name in VALUED:
            if not equals and not words:
                raise ConfigError(f"{name} has no value; write: {name} {'FILE' if name == '--output' else 'TEXT'}")
            given[name] = value if equals else words.pop(0)
        elif name == "--follow":
            if not equals and words and words[0].isdecimal():
                value = words.pop(0)
            every = _seconds(value) if equals or value else EVERY
        elif equals:
            raise ConfigError(f"{name} takes no value")
        else:
            given[name] = "yes"
    if not paths:
        raise ConfigError("no directory is given; write: python -m rlexp.report outputs/runs")
    return _wanted(paths, given, every)


def _seconds(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 86_400:
        raise ConfigError(f"--follow {text}: give whole seconds from 1 to 86400, such as --follow {EVERY}")
    return int(text)


def _wanted(paths: Sequence[str], given: dict[str, str], every: int) -> Wanted:
    first = Path(paths[0])
    if not first.exists():
        raise ConfigError(f"{first} does not exist; give the directory of a run or of a sweep, such as outputs/runs")
    output = Path(given.get("--output") or (first if first.is_dir() else first.parent) / PAGE)
    if output.is_dir():
        raise ConfigError(f"--output {output} is a directory; give a file, such as {output / PAGE}")
    if not output.parent.is_dir():
        raise ConfigError(f"--output {output}: the directory {output.parent} does not exist")
    from rlexp.report.page import Wanted  # jinja2 and numpy, which an error in the words need not wait for

    return Wanted(tuple(paths), output, given.get("--title", ""), "--embed-videos" in given, every)


def said(written: Written) -> str:
    """Return the line that says what was written."""
    size = f"{written.size / 1e6:.1f} MB" if written.size >= 1e6 else f"{written.size / 1e3:.0f} kB"
    running = f", {written.running} running" if written.running else ""
    counts = [
        f"{count} {name}{'s' * (count != 1)}" for count, name in ((written.runs, "run"), (written.groups, "group"))
    ]
    return f"{printable(str(written.path))} ({', '.join(counts)}{running}; {size})"


def main(arguments: Sequence[str]) -> None:
    """Write the page; with `--follow` until no run is running.

    Raises:
        ConfigError: there is nothing to show, or the page cannot be written.
    """
    wanted = parse(arguments)
    from rlexp.report.page import write

    written = write(wanted)
    print(said(written), flush=True)
    if not wanted.refresh or not written.running:
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)  # else the process ends at once
    try:
        while written.running:
            time.sleep(wanted.refresh)
            written = write(wanted)
    except KeyboardInterrupt:
        write(dataclasses.replace(wanted, refresh=0))  # nothing writes it any more: no browser need load it anew
        raise
    print(said(written), flush=True)


def cli() -> None:
    """Run the command and exit: 0, 1 with one line on the standard error, or 130 after Ctrl-C."""
    words = set(sys.argv[1:])
    if {"--version", "-V"} & words:
        print(f"rlexp {versions()['rlexp']}")
        return
    if {"-h", "--help"} & words:
        print(__doc__)
        return
    try:
        main(sys.argv[1:])
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:  # nobody reads what it says; the page is written
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    cli()
