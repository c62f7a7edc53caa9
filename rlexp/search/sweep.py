"""A search from its first trial to its last: what hydra/sweeper=optuna does."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig, OmegaConf

from rlexp.command.ending import Command
from rlexp.command.sweep import Refused, check_jobs, current
from rlexp.config.explain import explain
from rlexp.errors import ConfigError
from rlexp.launch.stopping import noted_stop
from rlexp.launch.threads import jobs_at_once
from rlexp.search.settings import SearchSettings

GROUPS = ("env", "algo", "model", "topology", "accelerator", "strategy", "logger", "experiment")
"""Config groups that the words of a search may choose."""


def search(settings: Mapping[str, Any], words: Sequence[str], config: DictConfig, launcher: Launcher,
           loader: ConfigLoader) -> None:  # fmt: skip
    """Run a search; print what it has found.

    Args:
        settings: those of the sweeper.
        words: of the command line.
        config: composed, with Hydra's node.
        launcher: runs jobs.
        loader: composes them.

    Raises:
        Refused: nothing can be searched, or its jobs cannot run; none was started.
    """
    if importlib.util.find_spec("optuna") is None:
        raise Refused(
            ['hydra/sweeper=optuna needs a package that is missing; install it with: pip install "rlexp[search]"']
        )
    from rlexp.search.result import result_lines
    from rlexp.search.runner import Runner
    from rlexp.search.space import space_of
    from rlexp.search.study import Search

    begun = current()
    assert begun is not None
    folder = begun.directory
    wanted = SearchSettings(**{key: _plain(value) for key, value in settings.items()})
    given = [f"{key}={value}" for key, value in wanted.params.items()]
    try:
        space = space_of(OverridesParser.create(config_loader=loader).parse_overrides([*given, *words]))
        folder.mkdir(parents=True, exist_ok=True)
        made = Search(wanted, folder)
        made.claim(space.distributions, space.fixed)
    except HydraException as error:
        raise Refused([explain(error)]) from None
    except ConfigError as error:
        raise Refused([str(error)]) from None
    check_jobs(config, [[*space.fixed, *space.example()]])

    def launch(jobs: Sequence[Sequence[str]], first: int) -> list[float]:
        return [_objective(done) for done in launcher.launch([list(job) for job in jobs], initial_job_idx=first)]

    at_once = wanted.at_once or jobs_at_once(config.hydra.launcher)
    earlier = begun.all_jobs()
    number = 1 + max((job.number for job in earlier), default=-1)
    known = frozenset(job.directory.name for job in earlier)
    Runner(made, space, launch, at_once, number, known, lambda: bool(noted_stop())).run()
    print("\n".join(result_lines(made, space.fixed, GROUPS, folder, Path(Command.here))), flush=True)


def _objective(done: Any) -> float:
    """Return the objective of a job; NaN where it has none."""
    try:
        value = done.return_value
    except Exception:  # the job has said what was wrong
        return math.nan
    return float(value) if isinstance(value, int | float) else math.nan


def _plain(value: Any) -> Any:
    return OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
