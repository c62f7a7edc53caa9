"""Exact resume: from which checkpoint, with which config, and what may differ from it.

`resume=DIR` takes the experiment from the checkpoint, and from the command line only what is written there. With
`resume=auto` and in sweeps the command line says the whole experiment, and is compared with the checkpoint's.
"""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlexp.config.compose import algorithm_name
from rlexp.config.given import given_keys, named_code
from rlexp.config.rules import validate
from rlexp.config.schema import Config
from rlexp.data.resuming import ResumePoint
from rlexp.errors import ConfigError, writing
from rlexp.files.places import BEST, LAST, SUFFIX, candidates, numbered
from rlexp.files.rewind import free_name
from rlexp.files.summary import Summary, versions
from rlexp.files.trust import check_ranks, check_sizes, stored_config
from rlexp.settings import fields_of

FREE = (
    "total_timesteps", "capture_video", "resume", "plugins", "sweep.", "checkpoint.", "eval.", "video.", "log.every",
    "logger.",
    "fabric.timeout_seconds",
    "fabric.threads_per_rank",
)  # fmt: skip
"""Keys that may differ on resume; one that ends in a point stands for all below it."""


@dataclass(frozen=True)
class Resumed:
    """A run that is resumed.

    Attributes:
        config: the checkpoint's, with what may differ.
        point: where it resumes.
        completed: whether nothing is left to do.
    """

    config: Config
    point: ResumePoint
    completed: bool


def asks_to_resume(wanted: Any) -> bool:
    """Return whether a config, composed or typed, asks to resume where its run directory has a checkpoint."""
    return wanted.resume is not None or wanted.sweep.skip_completed


def resumed(wanted: Config, overrides: Sequence[str], run_dir: Path) -> Resumed | None:
    """Return how the run in `run_dir` resumes; None where it is to begin (it has no checkpoint).

    Args:
        wanted: what the command line composes to.
        overrides: the words of the command line.
        run_dir: the directory of the run.

    Raises:
        ConfigError: the checkpoint is not usable, or what is wanted alters the experiment.
    """
    if not asks_to_resume(wanted) or not candidates(run_dir):
        return None
    from rlexp.files import checkpoint  # torch, which a run that begins does not need yet
    from rlexp.files.segments import rank_states

    named = None if wanted.resume in (None, "auto") else Path(str(wanted.resume))
    if named is not None and named.is_file():
        path, state = named, checkpoint.load(named)
    else:
        path, state = checkpoint.load_newest(run_dir)
    stored = stored_config(state, path, wanted.env.id, "env.id", named_code(overrides))
    check_sizes(stored, state.learner.agent, path)
    check_ranks(stored, rank_states(state, path), path)
    point = ResumePoint(path, state.recorder.updates, state.env_steps, state.recorder.seconds)
    config = merged(stored, wanted, None if named is None else set(given_keys(overrides)), run_dir)
    if state.versions != versions():
        new = ", ".join(f"{name} {now} (was {state.versions.get(name)})" for name, now in versions().items()
                        if state.versions.get(name) != now)  # fmt: skip
        print(f"warning: {new}: the run continues, but will not equal one without interruption", file=sys.stderr)
    completed = Summary(run_dir).read().get("state") == "completed" and path.name == LAST
    enough = state.recorder.stopped is not None or config.eval.reached(state.recorder.evaluated)
    return Resumed(config, point, completed and (enough or config.updates <= point.updates))


def merged(stored: Config, wanted: Config, keys: set[str] | None, run_dir: Path) -> Config:
    """Return the stored config with what is wanted otherwise and may be.

    Args:
        stored: the checkpoint's.
        wanted: the command line's.
        keys: the keys in which the command line counts; None: all.
        run_dir: to be named in an error.

    Raises:
        ConfigError: something else is wanted that alters the experiment.
    """
    have = {key: value for key, value, _ in fields_of(stored)} | {"algo": algorithm_name(stored)}
    want = {key: value for key, value, _ in fields_of(wanted)} | {"algo": algorithm_name(wanted)}
    changed = {
        key: value
        for key, value in want.items()
        if (keys is None or key in keys) and (key not in have or have[key] != value)
    }
    if "algo" in changed:  # then its settings differ anyway
        changed = {key: value for key, value in changed.items() if not key.startswith("algo.")}
    refused = {key: value for key, value in changed.items() if not _free(key)}
    if refused:
        said = ", ".join(
            f"{key}={value} (the run has {have.get(key, 'no such key')})" for key, value in refused.items()
        )
        raise ConfigError(f"{run_dir} cannot be resumed with another experiment: {said}")
    if wanted.total_timesteps < stored.total_timesteps and "total_timesteps" in changed:
        raise ConfigError(
            f"total_timesteps={wanted.total_timesteps} is less than the run's {stored.total_timesteps}; "
            "on resume it can only grow"
        )
    config = dataclasses.replace(stored, sweep=wanted.sweep)  # a stranger's checkpoint reports nowhere
    for key, value in changed.items():
        if key != "resume" and not key.startswith("sweep."):
            config = _replaced(config, key.split("."), value)
    validate(config)
    return config


def _free(key: str) -> bool:
    return any(key.startswith(free) if free.endswith(".") else key == free for free in FREE)


def _replaced(node: Any, path: list[str], value: Any) -> Any:
    """Return a copy of a tree of dataclasses with another value in one place."""
    name, *rest = path
    return dataclasses.replace(node, **{name: _replaced(getattr(node, name), rest, value) if rest else value})


def checkpoint_times(run_dir: Path) -> list[tuple[str, int]]:
    """Return names and times of a run's checkpoints, by which it is noticed that another run has written some."""
    found = []
    for path in (run_dir / "checkpoints").glob(f"*{SUFFIX}"):
        with contextlib.suppress(FileNotFoundError):  # a run that is under way renames and removes some
            found.append((path.name, path.stat().st_mtime_ns))
    return sorted(found)


def make_last(point: ResumePoint, run_dir: Path) -> None:
    """Make the checkpoint that a run resumes from its last one, and remove what a killed run wrote halfway.

    Later ones are moved to a folder of their own: what the run does from here may differ.
    """
    from rlexp.files import checkpoint  # torch, which a run that begins does not need yet
    from rlexp.files.segments import share

    folder = run_dir / "checkpoints"
    for unfinished in folder.glob("*.tmp"):
        unfinished.unlink()
    last, best = folder / LAST, folder / BEST
    if point.checkpoint.resolve() == last.resolve():
        return
    with writing(folder):
        content = point.checkpoint.read_bytes()
        later = [path for number, path in numbered(folder).items() if number > point.env_steps]
        later += [path for path in (last, best) if path.is_file() and _is_later(path, point)]
        if later:
            aside = free_name(folder)
            aside.mkdir()
            for path in later:
                share(path, aside)
                path.rename(aside / path.name)
    checkpoint.write(last, content)
    if not best.is_file():
        checkpoint.write(best, content)


def _is_later(path: Path, point: ResumePoint) -> bool:
    """Return whether a checkpoint is of a later time than the one that a run resumes from, or cannot be read."""
    from rlexp.files import checkpoint  # torch, which a run that begins does not need yet

    try:
        return checkpoint.load(path).env_steps > point.env_steps
    except ConfigError:
        return True
