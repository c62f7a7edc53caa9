"""Sweeps: which jobs there are, that all of them can run, and where each is.

The process of the command knows the sweep as `current()`. In the processes of a parallel launcher there is none.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from rlexp.command.sweep_jobs import Sweep, SweepJob, job_name, registry, swept_keys, values_of
from rlexp.command.sweep_progress import Progress
from rlexp.command.sweep_signals import forward_signals
from rlexp.config.explain import explain
from rlexp.errors import ConfigError
from rlexp.show.tables import short_names

SWEEPER = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"
MOST_LINES = 10


class Refused(BaseException):
    """Jobs of a sweep cannot run, so none was started; `lines` says why.

    It is no Exception, because Hydra turns an Exception of a callback into a warning.
    """

    def __init__(self, lines: list[str]) -> None:
        super().__init__(lines)
        self.lines = lines


class _Known:
    """What this process knows of a sweep."""

    sweep: Sweep | None = None
    progress: Progress | None = None
    swept: tuple[str, ...] = ()


def current() -> Sweep | None:
    """Return the sweep that this process has started; None in a single run and in the process of a job."""
    return _Known.sweep


def register(run_check: Callable[[DictConfig], Any]) -> None:
    """Register the resolvers of a job's directory, and what checks that a job can run."""
    OmegaConf.register_new_resolver("swept", lambda: list(_Known.swept), use_cache=True, replace=True)
    OmegaConf.register_new_resolver("job_name", _own_name, replace=True)
    Watch.check = staticmethod(run_check)


def _own_name(swept: Sequence[str]) -> str:
    """Return the name of the job whose config Hydra evaluates."""
    settings = HydraConfig.get()
    return job_name(int(settings.job.num), list(settings.overrides.task), list(swept))


class Watch(Callback):
    """Looks at a sweep before its first job: notes its jobs, checks them all, prepares for signals."""

    check: Callable[[DictConfig], Any]

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Note and check.

        Raises:
            Refused: at least one job cannot run.
        """
        _Known.sweep = sweep = Sweep(Path(str(config.hydra.sweep.dir)).absolute())
        own = config.hydra.sweeper.get("_target_") != SWEEPER
        sweep.compares = not own
        if not (own and config.sweep.skip_completed):
            registry(sweep.directory).unlink(missing_ok=True)
        words = [f"{key}={value}" for key, value in (config.hydra.sweeper.get("params") or {}).items()]
        words += list(config.hydra.overrides.task)
        try:
            overrides = OverridesParser.create().parse_overrides(words)
        except HydraException as error:
            raise Refused([explain(error)]) from None
        lists = {} if own else _values_of_axes(overrides)
        _Known.swept = tuple(
            item.key_or_group for item in overrides
            if item.is_sweep_override() and len(lists.get(item.key_or_group, (1, 2))) > 1
        )  # fmt: skip
        with contextlib.suppress(OmegaConfBaseException, ValueError):
            _ = config.hydra.sweep.subdir  # keeps the swept keys in the cache of this config, which jobs inherit
        if not own:
            check_jobs(config, BasicSweeper.split_arguments(overrides, None)[0], sweep)
        if "joblib" in str(config.hydra.launcher.get("_target_")):
            forward_signals()
        _Known.progress = Progress(sweep, "basic_launcher" not in str(config.hydra.launcher.get("_target_")))

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """Say how the sweep is doing; forget the job's configs, which Hydra would keep until the sweep has ended."""
        job_return.cfg = job_return.hydra_cfg = None
        if _Known.progress is not None and len(_Known.progress.jobs()) > 1:
            _Known.progress.say()

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Report no more."""
        if _Known.progress is not None:
            _Known.progress.close()
            _Known.progress = None


def _values_of_axes(overrides: Sequence[Any]) -> dict[str, list[str]]:
    """Return the values of each key that is swept over a list."""
    try:
        batches = BasicSweeper.split_arguments(list(overrides), None)
    except HydraException as error:
        raise Refused([explain(error)]) from None
    found: dict[str, list[str]] = {}
    for words in batches[0]:
        for key, value in values_of(words).items():
            if value not in found.setdefault(key, []):
                found[key].append(value)
    return found


def check_jobs(config: DictConfig, batch: Sequence[Sequence[str]], sweep: Sweep | None = None) -> None:
    """Compose and check every job, note where it will be, and refuse the sweep if one cannot run.

    Args:
        config: of the sweep, with Hydra's node.
        batch: words of each job.
        sweep: where the jobs are noted; None: nowhere, they are examples.

    Raises:
        Refused: see there.
    """
    noted = sweep if sweep is not None else Sweep(Path())
    check = Watch.check
    loader = GlobalHydra.instance().config_loader()
    before = HydraConfig.instance().cfg
    errors: dict[int, str] = {}
    try:
        for number, words in enumerate(batch):
            try:
                job = loader.load_sweep_config(config, list(words))
                with open_dict(job):
                    job.hydra.job.num, job.hydra.job.id = number, str(number)
                HydraConfig.instance().set_config(job)
                folder = noted.directory / str(job.hydra.sweep.subdir)
                noted.jobs.append(SweepJob(number, tuple(job.hydra.overrides.task), Path(os.path.abspath(folder))))
                with open_dict(job):
                    del job["hydra"]
                check(job)
            except (HydraException, OmegaConfBaseException) as error:
                errors[number] = explain(error)
            except ConfigError as error:
                errors[number] = str(error)
    finally:
        HydraConfig.instance().cfg = before
    if errors:
        raise Refused(_refusals([list(words) for words in batch], errors))
    _check_directories(noted)


def _check_directories(sweep: Sweep) -> None:
    """Check that no two jobs share a directory.

    Raises:
        Refused: two do.
    """
    seen: dict[Path, int] = {}
    for job in sweep.jobs:
        if job.directory in seen:
            raise Refused([
                f"jobs {seen[job.directory]} and {job.number} would share the directory {job.directory}; give "
                "hydra.sweep.subdir something that differs, such as '${hydra:job.num}'"
            ])  # fmt: skip
        seen[job.directory] = job.number


def _refusals(batch: list[list[str]], errors: dict[int, str]) -> list[str]:
    """Return one line for each job that cannot run; for all of them together where they all say the same."""
    if len(errors) == len(batch) > 1 and len(set(errors.values())) == 1:
        return [f"all {len(batch)} jobs: {errors[0]}"]
    jobs = [SweepJob(number, tuple(words), Path()) for number, words in enumerate(batch)]
    names = short_names(swept_keys(jobs))
    lines = []
    for number, error in list(errors.items())[:MOST_LINES]:
        which = " ".join(f"{key}={jobs[number].values[key]}" for key in names if key in jobs[number].values)
        lines.append(f"job {number}{f' ({which})' if which else ''}: {error}")
    more = len(errors) - len(lines)
    return [*lines, f"and {more} more jobs cannot run"] if more else lines


# Jobs that a sweeper makes up on the way


def record(settings: Any, run_dir: Path) -> None:
    """Write down, in a job, which one it is, for a sweep whose jobs are not known before."""
    if settings.sweeper.get("_target_") == SWEEPER:
        return
    values = {"number": int(settings.job.num), "overrides": list(settings.overrides.task), "directory": str(run_dir)}
    path = registry(Path(settings.runtime.cwd, str(settings.sweep.dir)))
    with contextlib.suppress(OSError), path.open("a") as file:
        file.write(json.dumps(values) + "\n")  # one write, so that lines of other jobs are not mixed in
