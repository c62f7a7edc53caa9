"""The command: compose, check, launch, report.

usage: python -m rlexp.main [--multirun] [group=choice ...] [key=value ...]
       python -m rlexp.main resume=RUN_DIRECTORY
"""

from __future__ import annotations

import contextlib
import gc
import logging
import math
import os
import signal
import sys
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from rlexp import launch
from rlexp.config import Config, conf_dir, plain, register, typed
from rlexp.explain import check_arguments, explain, surplus_keys, unknown_key
from rlexp.faults import Fault, writing
from rlexp.launch import Interrupted, Job, Origin, RunFailed
from rlexp.logger import log_to
from rlexp.report import run_table, sweep_table
from rlexp.resume import make_last, marks, prepared, resumed
from rlexp.rules import validate
from rlexp.settings import ConfigError
from rlexp.summary import Summary
from rlexp.trust import check_links

log = logging.getLogger(__name__)
register()


def run(composed: DictConfig) -> float:
    """Run one experiment, alone or as a job of a sweep; return its objective, the mean evaluation return.

    A failure is noted rather than raised, and the objective is then NaN: Hydra would stop or garble a sweep for it.
    """
    settings = HydraConfig.get()
    run_dir = Path(settings.runtime.output_dir)
    sweep = settings.mode == RunMode.MULTIRUN
    if sweep:
        print(f"\njob {settings.job.num}: {' '.join(settings.overrides.task)}", flush=True)
    try:
        summary = _run(composed, run_dir)
    except (ConfigError, RunFailed, Fault) as error:
        _errors.append(error)
        if sweep:
            print(f"error: {error}", file=sys.stderr, flush=True)
        if isinstance(error, ConfigError):
            _refuse(composed, run_dir, error, sweep)
        return math.nan
    if summary and not sweep:
        run_table(run_dir, summary, str(composed.env.id))
    objective = summary.get("objective")
    return math.nan if objective is None else float(objective)


def _run(composed: DictConfig, run_dir: Path) -> dict[str, Any]:
    """Check everything, then launch; return the summary.

    Raises:
        ConfigError: the config or the environment is not usable; nothing was started.
        RunFailed: a rank failed, or another run is in the directory.
        Fault: the run directory cannot be written.
        Interrupted: SIGINT or SIGTERM came.
    """
    try:
        config = typed(composed)
    except OmegaConfBaseException as error:  # which Hydra would announce with a line of its own
        raise ConfigError(explain(error)) from None
    surplus = next(surplus_keys(config, composed), None)
    if surplus is not None:
        raise ConfigError(unknown_key(surplus))
    if config.resume in (None, "auto"):  # else it is no more than what differs from the checkpoint's
        validate(config)
    from rlexp.envs import check_environment  # gymnasium, which a config error need not wait for
    from rlexp.experiment import run_rank

    first = os.environ.get("RANK", "0") == "0"  # else one of the ranks that torchrun started; rank 0 speaks for all
    before = marks(run_dir)
    former = resumed(config, HydraConfig.get().overrides.task, run_dir)
    if former is not None and former.completed:
        if not first:
            return {}
        done, total = former.origin.updates, former.config.updates
        why = f" (an evaluation reached eval.stop_at={former.config.eval.stop_at:g})" if done < total else ""
        print(f"{run_dir} is completed after {former.origin.env_steps:,} steps{why}; nothing is left to do", flush=True)
        return Summary(run_dir).read()
    if former is not None:
        config = former.config
    spec = check_environment(config)
    launch.check_devices(config)
    origin = None if former is None else former.origin
    if not first:
        return launch.run(Job(config, spec, run_dir, origin), run_rank)
    check_links(run_dir, run_dir)
    with launch.locked(run_dir):
        if marks(run_dir) != before:
            raise RunFailed(f"another run has written checkpoints in {run_dir} meanwhile; give the command again")
        if former is None:
            _save_composed(composed, run_dir)
        else:
            make_last(former.origin, run_dir)
            with writing(run_dir / ".hydra"):
                OmegaConf.save(OmegaConf.create(plain(config)), run_dir / ".hydra" / "config.yaml")
        _announce(config, origin)
        return launch.run(Job(config, spec, run_dir, origin), run_rank)


def _announce(config: Config, origin: Origin | None) -> None:
    """Say in a line or two what is about to run."""
    from rlexp.envs import video_note

    steps = config.updates * config.steps_per_update
    begun = f", going on after {origin.env_steps:,}" if origin else ""
    print(
        f"{config.env.id}: {config.updates:,} updates of {config.steps_per_update:,} steps = {steps:,} steps, "
        f"{config.world_size} rank{'s' * (config.world_size > 1)}, seed {config.seed}{begun}",
        flush=True,
    )
    note = video_note(config)
    if note is not None:
        print(note, flush=True)


class NoteSweep(Callback):
    """Notes the directory of a sweep where it starts; its jobs may run in other processes.

    Of each job it forgets the configs, which Hydra would keep until the sweep has ended.
    """

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Note it."""
        _sweeps.append(Path(config.hydra.sweep.dir))

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """Forget its configs."""
        job_return.cfg = job_return.hydra_cfg = None


_sweeps: list[Path] = []
"""The directory of the sweep that was started, if one was."""
_errors: list[Exception] = []
"""What went wrong in jobs that ran in this process."""


def _save_composed(composed: DictConfig, run_dir: Path) -> None:
    """Write .hydra/ as Hydra itself does; here, so that a config that is refused leaves no directory behind."""
    folder = run_dir / ".hydra"
    settings = HydraConfig.instance().cfg
    assert settings is not None
    hydra_only = OmegaConf.masked_copy(settings, "hydra")  # type: ignore[arg-type]  # a DictConfig
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(composed, folder / "config.yaml")
        OmegaConf.save(hydra_only, folder / "hydra.yaml")
        OmegaConf.save(HydraConfig.get().overrides.task, folder / "overrides.yaml")


def _refuse(composed: DictConfig, run_dir: Path, error: ConfigError, sweep: bool) -> None:
    """Leave no directory behind for a run that did not start; a job of a sweep says in its files why it did not."""
    if not sweep:
        below = [folder for folder in run_dir.parents if Path.cwd() in folder.parents]
        with contextlib.suppress(OSError):  # only empty directories go: those that Hydra made for the run
            for folder in (run_dir, *below):
                folder.rmdir()
        return
    if (run_dir / "checkpoints").is_dir():  # the job was refused, not the run that is there
        return
    with contextlib.suppress(RunFailed, Fault), launch.locked(run_dir):
        _save_composed(composed, run_dir)
        summary = Summary(run_dir)
        summary.start(0)
        summary.change(state="failed", error=str(error))
        handler = log_to(run_dir / "main.log")
        log.error("%s", error)
        logging.getLogger().removeHandler(handler)
        handler.close()


def _end_sweep() -> bool:
    """Print the table of the sweep, if there was one; return whether all jobs are completed."""
    good = True
    for sweep_dir in filter(Path.is_dir, _sweeps):
        folders = sorted(
            (path for path in sweep_dir.iterdir() if path.is_dir() and path.name.partition("-")[0].isdigit()),
            key=lambda path: int(path.name.partition("-")[0]),
        )
        jobs = []
        for folder in (path for path in folders if (path / ".hydra" / "overrides.yaml").is_file()):
            overrides = OmegaConf.to_container(OmegaConf.load(folder / ".hydra" / "overrides.yaml"))
            jobs.append((" ".join(map(str, overrides)), folder))  # type: ignore[arg-type]  # a list in a file of ours
        good = sweep_table(sweep_dir, jobs) and good
    return good


def _torchrun_overrides(arguments: list[str]) -> list[str]:
    """Return what torchrun decides: the number of ranks, and for ranks other than 0 that they make no directory.

    Raises:
        ConfigError: the arguments say otherwise, or ask for a sweep.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return []
    if {"-m", "--multirun"} & set(arguments):
        raise ConfigError("a sweep starts its own processes; run --multirun with python instead of torchrun")
    local, world = int(os.environ["LOCAL_WORLD_SIZE"]), int(os.environ["WORLD_SIZE"])
    decided = {"fabric.devices": local, "fabric.num_nodes": world // local}
    for argument in arguments:
        key, _, value = argument.partition("=")
        if key in decided and value != str(decided[key]):
            raise ConfigError(f"{argument}, but torchrun started {key}={decided[key]}; leave {key} out")
    overrides = [f"{key}={value}" for key, value in decided.items()]
    in_run_dir = os.environ["RANK"] == "0" or any(argument.startswith("resume=") for argument in arguments)
    return overrides + ([] if in_run_dir else ["hydra.run.dir=."])


def cli() -> None:
    """Run the command and exit: 0; 1 with one line on the standard error; 130 or 143 after SIGINT or SIGTERM."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises its errors instead of printing them, and we explain them
    status = 0
    try:
        check_arguments(sys.argv[1:])
        sys.argv[1:] = prepared([*sys.argv[1:], *_torchrun_overrides(sys.argv[1:])])
        hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="config")(run)()
    except ConfigError as error:
        _errors.append(error)
    except (HydraException, OmegaConfBaseException) as error:
        status = 1
        print(f"error: {explain(error)}", file=sys.stderr)
    except Interrupted as error:
        status = 128 + error.signum
        print(f"stopped by {signal.Signals(error.signum).name}", file=sys.stderr)
    except KeyboardInterrupt:
        status = 130
        print("stopped by SIGINT", file=sys.stderr)
    except OSError as error:
        status = 1
        print(f"error: {error.filename or 'the system'}: {error.strerror or error}", file=sys.stderr)
    good = _end_sweep()
    if _errors and not _sweeps:
        print(f"error: {_errors[0]}", file=sys.stderr)
    gc.freeze()  # else Python searches all that torch and Lightning made for garbage before it ends: a second
    sys.exit(status or int(bool(_errors) or not good))


if __name__ == "__main__":
    # By its real name, so that launchers that pickle the task find it again.
    from rlexp.main import cli as named_cli

    named_cli()
