"""The paths among the words of a command."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from rlexp.errors import ConfigError
from rlexp.files.places import candidates, run_directory
from rlexp.show.lines import PLAIN, hydra_quoted


def with_run_directory(arguments: Sequence[str]) -> list[str]:
    """Return the command's arguments with hydra.run.dir set to the run that `resume` names, paths quoted.

    Raises:
        ConfigError: it names no run with a checkpoint, or another argument does not go with it.
    """
    words = [word.lstrip("+") for word in arguments]
    arguments = [_path_quoted(word) for word in arguments]
    values = {word.partition("=")[0]: _unquoted(word.partition("=")[2]) for word in words if "=" in word}
    sweep = bool({"-m", "--multirun"} & set(words))
    resume = values.get("resume", "null")
    if values.get("sweep.skip_completed", "false").lower() == "true" and not (sweep and "hydra.sweep.dir" in values):
        raise ConfigError(
            "sweep.skip_completed=true needs the directory of a sweep: add --multirun hydra.sweep.dir=DIR"
        )
    if resume in ("", "null"):
        return list(arguments)
    directory = "hydra.sweep.dir" if sweep else "hydra.run.dir"
    if resume == "auto":
        if directory not in values:
            raise ConfigError(f"resume=auto needs a directory that stays the same: add {directory}=DIR")
        return list(arguments)
    if sweep:
        raise ConfigError(
            f"resume={resume} resumes one run; for a sweep give sweep.skip_completed=true hydra.sweep.dir=DIR"
        )
    run_dir = run_directory(Path(resume))
    if not candidates(run_dir):
        raise ConfigError(f"resume={resume} has no checkpoint; start it again, or give hydra.run.dir=DIR resume=auto")
    if directory in values and Path(values[directory]).resolve() != run_dir.resolve():
        raise ConfigError(
            f"hydra.run.dir={values[directory]} is not the run of resume={resume}; leave hydra.run.dir out"
        )
    kept = [word for word in arguments if word.lstrip("+").partition("=")[0] not in ("resume", directory)]
    # absolute, since hydra.job.chdir=true leads elsewhere
    return [*kept, *(f"{key}={hydra_quoted(os.path.abspath(path))}" for key, path in
                     (("resume", resume), (directory, run_dir)))]  # fmt: skip


PATHS = ("resume", "hydra.run.dir", "hydra.sweep.dir", "hydra.sweep.subdir")
"""Keys whose values are paths."""


def _path_quoted(word: str) -> str:
    """Return an argument with its path quoted for Hydra's grammar, unless it is so already, or has an interpolation."""
    key, equals, value = word.partition("=")
    if not equals or key.lstrip("+") not in PATHS or PLAIN.fullmatch(value) or "${" in value or not value:
        return word
    return word if _is_quoted(value) else f"{key}={hydra_quoted(value)}"


def _is_quoted(value: str) -> bool:
    return len(value) > 1 and value[0] == value[-1] and value[0] in "'\"" and not Path(value).exists()


def _unquoted(value: str) -> str:
    """Return what Hydra's grammar reads from a quoted value; any other is what it is."""
    if not _is_quoted(value):
        return value
    quote = value[0]
    inner = re.sub(rf"(\\+){quote}", lambda found: found.group(1)[: len(found.group(1)) // 2] + quote, value[1:-1])
    inner = re.sub(r"\\+$", lambda found: found.group()[: len(found.group()) // 2], inner)
    return re.sub(r"(\\+)\$\{", lambda found: found.group(1)[: len(found.group(1)) // 2] + "${", inner)
