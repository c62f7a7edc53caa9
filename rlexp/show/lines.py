"""What a person reads at the end of a run: plain lines, each path and each command on a line of its own.

Nothing is cut or folded here, so that every command can be copied from a terminal of any width and from a file.
"""

from __future__ import annotations

import math
import os
import re
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

from rlexp.errors import ConfigError
from rlexp.files.places import LAST, candidates

PLAIN = re.compile(r"[\w./:+-]+", re.ASCII)
"""Text that Hydra's grammar takes as it is."""


def number(value: float | None, digits: int | None = None) -> str:
    """Return a number for a person to read, small ones with two decimals; '-' where there is none."""
    if value is None or math.isnan(value):
        return "-"
    return f"{value:,.{decimals(value) if digits is None else digits}f}"


def decimals(value: float) -> int:
    """Return how many decimals of a return a person wants to see."""
    return 1 if abs(value) >= 10 else 2


def program(module: str = "rlexp.main") -> str:
    """Return how one of the commands is called by who called this one: by the same name, with the same Python."""
    scripts = {"rlexp.main": "rlexp", "rlexp.evaluate": "rlexp-evaluate"}
    if Path(sys.argv[0]).name in scripts.values():
        return shlex.quote(str(Path(sys.argv[0]).with_name(scripts[module]))) if _typed_path() else scripts[module]
    found = shutil.which("python")
    same = found is not None and Path(found).absolute() == Path(sys.executable).absolute()
    python = "python" if same else (sys.orig_argv[0] if sys.orig_argv else sys.executable)
    return f"{shlex.quote(python)} -m {module}"


def _typed_path() -> bool:
    """Return whether the command was not found by its name alone."""
    found = shutil.which(Path(sys.argv[0]).name)
    return found is None or Path(found).absolute() != Path(sys.argv[0]).absolute()


def hydra_quoted(text: object) -> str:
    """Return a text as Hydra's grammar takes it whatever is in it: quoted, without interpolation."""
    escaped = re.sub(r"(\\*)\$\{", lambda found: found.group(1) * 2 + r"\${", str(text))
    escaped = re.sub(r"(\\*)'", lambda found: found.group(1) * 2 + r"\'", escaped)
    escaped = re.sub(r"\\+$", lambda found: found.group() * 2, escaped)
    return f"'{escaped}'"


def shown(path: Path, here: Path) -> str:
    """Return a path relative to the folder that the user stands in where it lies below it."""
    try:
        text = str(path.resolve().relative_to(here.resolve()))
    except ValueError:
        text = str(path.resolve())
    return f"./{text}" if text in ("auto", "null") else text  # which mean something else after resume=


def resume_command(run_dir: Path, here: Path, summary: dict[str, Any], *more: str) -> str:
    """Return the command that resumes a run, as a shell takes it."""
    words, env_id = [f"resume={shown(run_dir, here)}"], str(summary.get("env_id", ""))
    if ":" in env_id:  # a module is imported only where it is named
        words.append(f"env.id={env_id if PLAIN.fullmatch(env_id) else hydra_quoted(env_id)}")
    return " ".join([program(), *map(shlex.quote, [*words, *_own_code(summary), *more])])


def _own_code(summary: dict[str, Any]) -> list[str]:
    """Return the word that names the modules of own code, which are imported only where they are named."""
    return [f"plugins=[{','.join(summary['plugins'])}]"] if summary.get("plugins") else []


def evaluate_command(run_dir: Path, here: Path, summary: dict[str, Any]) -> str:
    """Return the command that evaluates the last checkpoint of a run, as a shell takes it."""
    words, env_id = [f"checkpoint={shown(run_dir, here)}/checkpoints/{LAST}"], str(summary.get("env_id", ""))
    if ":" in env_id:
        words.append(f"env_id={env_id}")
    words += _own_code(summary)
    return " ".join([program("rlexp.evaluate"), *map(shlex.quote, words)])


def run_lines(run_dir: Path, summary: dict[str, Any], here: Path, total_timesteps: int) -> list[str]:
    """Return what a completed run achieved, where it is, and what can be done with it.

    Args:
        run_dir: its directory.
        summary: its summary.
        here: the folder that the user stands in.
        total_timesteps: environment steps asked for.
    """
    result = summary.get("eval")
    if result is not None:
        mean = result["mean_return"]
        spread = f"{number(mean)} +- {number(result['std_return'], decimals(mean))}"
        returned = f"{spread} ({result['episodes']} greedy episodes)"
    else:
        returned = f"{number(summary.get('objective'))} (last training episodes)"
    lines = [
        "",
        f"return: {returned}",
        f"steps/s: {number(summary.get('steps_per_second'), 0)} ({summary.get('env_steps', 0):,} steps)",
        "directory:",
        shown(run_dir, here),
    ]
    videos = sorted(run_dir.glob("videos/test/*.mp4"), key=lambda path: path.stat().st_mtime)
    if videos:
        lines += ["video:", shown(videos[-1], here)]
    longer = [f"total_timesteps={2 * max(total_timesteps, int(summary.get('env_steps', 0)))}"]
    lines += ["see its curves:", f"tensorboard --logdir {shlex.quote(shown(run_dir, here))}"]
    lines += ["evaluate it again:", evaluate_command(run_dir, here, summary)]
    lines += ["train it longer:", resume_command(run_dir, here, summary, *longer)]
    return lines


def saved_steps(run_dir: Path) -> int | None:
    """Return after how many environment steps the newest checkpoint that can be read was written; None without one."""
    from rlexp.files import checkpoint  # torch, which a config error need not wait for

    for path in candidates(run_dir):
        try:
            return checkpoint.load(path).env_steps
        except ConfigError:
            continue
    return None


def resume_lines(run_dir: Path, summary: dict[str, Any], here: Path) -> list[str]:
    """Return what is saved of a run that ended before its time, and the command that continues it."""
    steps = saved_steps(run_dir)
    if steps is None:
        return ["nothing was saved: the run had no checkpoint yet"]
    if int(os.environ.get("GROUP_WORLD_SIZE", "1")) > 1:  # nodes that torchrun started
        return [
            f"saved after {steps:,} steps; continue with the same torchrun command on each node, and",
            shlex.quote(f"resume={shown(run_dir, here)}"),
        ]
    command = resume_command(run_dir, here, summary)
    return [f"saved after {steps:,} steps; continue with:", command]
