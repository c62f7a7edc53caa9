"""How a command ends: what is left of runs that did not finish, what is printed last, and the exit code."""

from __future__ import annotations

import contextlib
import gc
import os
import shutil
import signal
import sys
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from rlexp.command import sweep
from rlexp.command.sweep_table import sweep_lines
from rlexp.errors import Fault, RunFailed
from rlexp.files.lock import locked
from rlexp.files.summary import Summary
from rlexp.show.lines import resume_lines, shown

BROKEN_POOL = ("TerminatedWorkerError", "BrokenProcessPool")
"""What joblib raises where a process of its own was killed."""


class Command:
    """What this command is at."""

    here = Path()  # the folder that the user stands in; hydra.job.chdir=true leaves it
    typed: tuple[str, ...] = ()  # the words of the command line
    run_dir: Path | None = None  # of the run that was begun last
    errors: list[Exception] = []  # what went wrong in jobs that ran in this process  # noqa: RUF012  # one command


def said(text: str) -> int:
    """Print to the standard error; return the exit code of a failure."""
    print(text, file=sys.stderr, flush=True)
    return 1


def remove_empty(run_dir: Path) -> None:
    """Remove a run's directory, and those above it up to where the user stands, as far as they are empty."""
    below = [folder for folder in run_dir.parents if Command.here in folder.parents]
    with contextlib.suppress(OSError):
        for folder in (run_dir, *below):
            if folder != Command.here:
                folder.rmdir()


def _settle(run_dir: Path, signum: int) -> None:
    """Say in the summary of a run that is under way that it was interrupted; without a summary, remove what is there.

    For a run that was stopped outside of its ranks' time, or whose process was killed.
    """
    summary = Summary(run_dir)
    state = summary.peek().get("state")
    with contextlib.suppress(OSError):
        if state == "running":
            error = f"stopped by {signal.Signals(signum).name}" if signum else "its process was killed"
            summary.change(state="interrupted" if signum else "failed", error=error)
        elif state is None and run_dir.is_dir() and {path.name for path in run_dir.iterdir()} <= {".hydra", "main.log"}:
            shutil.rmtree(run_dir)
            remove_empty(run_dir)


def end_sweep(signum: int) -> bool:
    """Print what came of the sweep, if there was one; return whether all its jobs are completed."""
    begun = sweep.current()
    if begun is None:
        return True
    for job in begun.all_jobs():
        if Summary(job.directory).peek().get("state") == "running":
            with contextlib.suppress(RunFailed, Fault), locked(job.directory):  # else it still runs
                _settle(job.directory, signum)
    lines, good = sweep_lines(begun, Command.here, Command.typed)
    if lines:
        print("\n".join(lines), flush=True)
    return good


def on_stop(signum: int) -> None:
    """Settle what is under way and say what is saved; the process ends after that."""
    begun = Command.run_dir
    if begun is not None:
        _settle(begun, signum)
    if sweep.current() is not None:
        end_sweep(signum)
    elif begun is not None and begun.is_dir():
        print("\n".join(resume_lines(begun, Summary(begun).peek(), Command.here)), flush=True)
    elif os.environ.get("RANK", "0") == "0":  # else rank 0 says it, where torchrun has started several
        _remove_begun()
        print("nothing was saved: the run had not begun", flush=True)


def _remove_begun() -> None:
    """Remove the directory that Hydra has made for a run that had not begun."""
    if HydraConfig.initialized():
        places = OmegaConf.to_container(HydraConfig.get().runtime, resolve=False)
        if isinstance(places, dict) and os.path.isabs(str(places.get("output_dir"))):
            remove_empty(Path(places["output_dir"]))


def farewell(status: int) -> int:
    """Say how the command ended and how to continue; return its exit code."""
    signum = status - 128 if status > 128 else 0
    if signum:
        print(f"stopped by {signal.Signals(signum).name}", file=sys.stderr, flush=True)
    good = end_sweep(signum)
    if sweep.current() is None:
        if Command.errors:
            status = status or said(f"error: {Command.errors[0]}")
        begun = Command.run_dir
        if begun is not None and begun.is_dir() and (signum or Command.errors):
            lines = resume_lines(begun, Summary(begun).peek(), Command.here)
            place = [] if signum else ["its log:", shown(begun / "main.log", Command.here)]
            print("\n".join([*place, *lines]), flush=True)
    gc.freeze()  # else Python searches all that torch and Lightning made for garbage before it ends: a second
    return status or int(bool(Command.errors) or not good)
