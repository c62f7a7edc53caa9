"""The runs that a command line asks for, each checked, with words of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from rlexp.command.api import compose
from rlexp.command.arguments import read
from rlexp.command.sweep_jobs import SweepJob, job_name, swept_keys
from rlexp.config.explain import explain
from rlexp.config.schema import Config
from rlexp.errors import ConfigError
from rlexp.show.lines import hydra_quoted

OWN = (
    "hydra.run.dir",
    "hydra.sweep.dir",
    "hydra/launcher",
    "hydra/sweeper",
    "search",
    "resume",
    "sweep.skip_completed",
)
"""Keys that say where and how a command runs, which the submission decides."""


@dataclass(frozen=True)
class Submitted:
    """A run.

    Attributes:
        words: of its command line, its directory and resume=auto among them.
        config: of it.
    """

    words: tuple[str, ...]
    config: Config


def expanded(words: Sequence[str], multirun: bool, folder: Path) -> list[Submitted]:
    """Return the runs of a command line: one, or every combination of what is swept.

    Raises:
        ConfigError: one of them cannot run, or a word is decided by the submission.
    """
    for word in words:
        if word.lstrip("+").partition("=")[0] in OWN:
            raise ConfigError(f"{word}: the submission decides that; leave it out")
    words = [word for word in read(["-m", *words] if multirun else words) if word != "-m"]
    batch = [list(words)]
    if multirun:
        try:
            parsed = OverridesParser.create().parse_overrides(words)
            batch = [list(job) for job in BasicSweeper.split_arguments(parsed, None)[0]]
        except HydraException as error:
            raise ConfigError(explain(error)) from None
    jobs = [SweepJob(number, tuple(own), Path()) for number, own in enumerate(batch)]
    swept = swept_keys(jobs)
    found = []
    for job in jobs:
        try:
            config = compose(job.overrides)
        except ConfigError as error:
            raise ConfigError(f"job {job.number}: {error}" if len(jobs) > 1 else str(error)) from None
        place = folder / job_name(job.number, job.overrides, swept)
        found.append(Submitted((*job.overrides, f"hydra.run.dir={hydra_quoted(place)}", "resume=auto"), config))
    return found
