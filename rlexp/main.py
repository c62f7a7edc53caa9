"""The command: compose, check, launch, report.

usage: python -m rlexp.main [--multirun] [group=choice ...] [key=value ...]
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
import sys
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from rlexp.config import conf_dir, register, resolve
from rlexp.explain import explain
from rlexp.launch import Interrupted, Job, RunFailed, log_to
from rlexp.launch import run as launch
from rlexp.logger import Summary
from rlexp.report import run_table, sweep_table
from rlexp.settings import ConfigError

register()


def run(composed: DictConfig) -> float:
    """Run one experiment, alone or as a job of a sweep; return its objective, the mean evaluation return.

    Raises:
        ConfigError: the config or the environment is not usable; nothing was started.
        RunFailed: a rank failed.
        Interrupted: SIGINT or SIGTERM came.
    """
    settings = HydraConfig.get()
    run_dir = Path(settings.runtime.output_dir)
    sweep = settings.mode == RunMode.MULTIRUN
    if sweep:
        _remember(run_dir.parent)
        _save_composed(composed, run_dir)
        print(f"\njob {settings.job.num}: {' '.join(settings.overrides.task)}", flush=True)
    try:
        from rlexp.envs import check_environment
        from rlexp.experiment import run_rank

        config = resolve(composed)
        spec = check_environment(config)
        if not sweep:
            _save_composed(composed, run_dir)
        steps = config.updates * config.steps_per_update
        print(
            f"{config.env.id}: {config.updates:,} updates of {config.steps_per_update:,} steps = {steps:,} steps, "
            f"{config.world_size} rank{'s' * (config.world_size > 1)}, seed {config.seed}",
            flush=True,
        )
        summary = launch(Job(config, spec, run_dir), run_rank)
    except ConfigError as error:
        if sweep:
            _write_failure(run_dir, str(error))
            print(f"error: {error}", file=sys.stderr, flush=True)
        else:
            _remove_empty(run_dir)
        raise
    except RunFailed as error:
        if sweep:
            print(f"error: {error}; see {run_dir / 'main.log'}", file=sys.stderr, flush=True)
        raise
    if summary and not sweep:
        run_table(run_dir, summary)
    objective = summary.get("objective")
    return math.nan if objective is None else float(objective)


_sweeps: list[Path] = []
"""The directory of the sweep under way, if any; noted by the first job that runs in this process."""


def _remember(sweep_dir: Path) -> None:
    if sweep_dir not in _sweeps:
        _sweeps.append(sweep_dir)


def _save_composed(composed: DictConfig, run_dir: Path) -> None:
    """Write .hydra/ as Hydra itself does; here, so that a config that is refused leaves no directory behind."""
    folder = run_dir / ".hydra"
    folder.mkdir(parents=True, exist_ok=True)
    settings = HydraConfig.instance().cfg
    OmegaConf.save(composed, folder / "config.yaml")
    OmegaConf.save(OmegaConf.masked_copy(settings, "hydra"), folder / "hydra.yaml")
    OmegaConf.save(settings.hydra.overrides.task, folder / "overrides.yaml")


def _write_failure(run_dir: Path, error: str) -> None:
    """Say in a job's own files that it could not start."""
    import logging

    summary = Summary(run_dir)
    summary.start(0)
    summary.change(state="failed", error=error)
    handler = log_to(run_dir / "main.log")
    logging.getLogger(__name__).error("%s", error, exc_info=True)
    logging.getLogger().removeHandler(handler)


def _remove_empty(run_dir: Path) -> None:
    """Remove the directories that Hydra made for a run that did not start, as far as they are empty."""
    with contextlib.suppress(OSError):
        for folder in (run_dir, *run_dir.parents[:2]):
            folder.rmdir()


def _end_sweep() -> bool:
    """Print the table of the sweep, if there was one; return whether all jobs are completed."""
    good = True
    for sweep_dir in _sweeps:
        folders = sorted(
            (path for path in sweep_dir.iterdir() if path.is_dir() and path.name.partition("-")[0].isdigit()),
            key=lambda path: int(path.name.partition("-")[0]),
        )
        jobs = []
        for folder in folders:
            overrides = OmegaConf.to_container(OmegaConf.load(folder / ".hydra" / "overrides.yaml"))
            jobs.append((" ".join(map(str, overrides)), folder))  # type: ignore[arg-type]  # a list in a file of ours
        good = sweep_table(sweep_dir, jobs) and good
    return good


def cli() -> None:
    """Run the command and exit: 0; 1 with one line on the standard error; 130 or 143 after SIGINT or SIGTERM."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises its errors instead of printing them, and we explain them
    status = 0
    try:
        hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="config")(run)()
    except (ConfigError, RunFailed) as error:
        status = 1
        if not _sweeps:
            print(f"error: {error}", file=sys.stderr)
    except (HydraException, OmegaConfBaseException) as error:
        status = 1
        print(f"error: {explain(error)}", file=sys.stderr)
    except Interrupted as error:
        status = 128 + error.signum
        print(f"stopped by {signal.Signals(error.signum).name}", file=sys.stderr)
    except KeyboardInterrupt:
        status = 130
        print("stopped by SIGINT", file=sys.stderr)
    if not _end_sweep() and status == 0:
        status = 1
    sys.exit(status)


if __name__ == "__main__":
    # By its real name, so that launchers that pickle the task find it again.
    from rlexp.main import cli as named_cli

    named_cli()
