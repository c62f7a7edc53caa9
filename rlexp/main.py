"""The command: compose, check, launch, report.

usage: python -m rlexp.main [--multirun] [group=choice ...] [key=value ...]
       python -m rlexp.main resume=RUN_DIRECTORY
"""

from __future__ import annotations

import contextlib
import gc
import json
import logging
import math
import os
import shlex
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from rlexp import early, launch, sweep
from rlexp.config import Config, conf_dir, plain, register, typed
from rlexp.explain import check_arguments, explain, surplus_keys, unknown_key
from rlexp.faults import Fault, writing
from rlexp.launch import Interrupted, Job, Origin, RunFailed
from rlexp.launch.cause import logged
from rlexp.launch.stopping import note_stop, note_stops, noted_stop
from rlexp.logger import log_to
from rlexp.prefix import prefixed
from rlexp.report import program, resume_lines, run_lines, shown
from rlexp.resume import make_last, marks, prepared, resumed
from rlexp.rules import validate
from rlexp.settings import ConfigError
from rlexp.summary import Summary, versions
from rlexp.sweep_table import sweep_lines
from rlexp.trust import check_links

log = logging.getLogger(__name__)
register()


class _Command:
    """What this command is at."""

    here = Path()  # the folder that the user stands in; hydra.job.chdir=true leaves it
    typed: tuple[str, ...] = ()  # the words of the command line
    run_dir: Path | None = None  # of the run that was begun last
    errors: list[Exception] = []  # what went wrong in jobs that ran in this process  # noqa: RUF012  # one command


def run(composed: DictConfig) -> float:
    """Run one experiment, alone or as a job of a sweep; return its objective, the mean evaluation return.

    A failure is noted rather than raised, and the objective is then NaN: Hydra would stop or garble a sweep for it.
    """
    settings = HydraConfig.get()
    places = OmegaConf.to_container(settings.runtime, resolve=False)  # a path may hold what looks like ${...}
    assert isinstance(places, dict)
    run_dir, _Command.here = Path(places["output_dir"]), Path(places["cwd"])
    if settings.mode != RunMode.MULTIRUN:
        return _attempt(composed, run_dir, in_sweep=False)
    sweep.record(settings, run_dir)
    with contextlib.ExitStack() as stack:
        if sweep.current() is None:  # a process that a launcher has started for jobs
            stack.enter_context(prefixed(f"[{settings.job.num}] "))
            note_stops()
            note_stop(sweep.inherited_stop())
        if noted_stop():
            _remove_empty(run_dir)
            return math.nan
        print(f"\njob {settings.job.num}: {' '.join(settings.overrides.task)}", flush=True)
        return _attempt(composed, run_dir, in_sweep=True)


def _attempt(composed: DictConfig, run_dir: Path, in_sweep: bool) -> float:
    """Run one experiment; report how it ended, and return its objective.

    Raises:
        Interrupted: SIGINT or SIGTERM came, and this process runs no further jobs.
    """
    try:
        summary = _run(composed, run_dir)
    except (ConfigError, RunFailed, Fault) as error:
        _Command.errors.append(error)
        if in_sweep:
            print(f"error: {error}", file=sys.stderr, flush=True)
        if isinstance(error, ConfigError):
            _refuse(composed, run_dir, error, in_sweep)
        return math.nan
    except Interrupted as error:
        if in_sweep and _Command.run_dir == run_dir:
            print(f"interrupted; {resume_lines(run_dir, Summary(run_dir).read(), _Command.here)[0]}", flush=True)
        if sweep.current() is None and in_sweep:
            note_stop(error.signum)
            _remove_empty(run_dir)
            return math.nan
        raise
    if summary and not in_sweep:
        print("\n".join(run_lines(run_dir, summary, _Command.here, int(composed.total_timesteps))), flush=True)
    objective = summary.get("objective")
    return math.nan if objective is None else float(objective)


def _remove_empty(run_dir: Path) -> None:
    """Remove a run's directory, and those above it up to where the user stands, as far as they are empty."""
    below = [folder for folder in run_dir.parents if _Command.here in folder.parents]
    with contextlib.suppress(OSError):
        for folder in (run_dir, *below):
            folder.rmdir()


def checked(composed: DictConfig) -> Config:
    """Return the typed config of a run whose values and rules are checked, as far as they do not need a checkpoint.

    Raises:
        ConfigError: it is not usable.
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
    return config


def check_job(composed: DictConfig) -> None:
    """Check a job of a sweep before the first one starts, its environment included: of equal environments, one.

    Raises:
        ConfigError: it cannot run.
    """
    from rlexp.envs import check_environment

    config = checked(composed)
    launch.check_devices(config)
    values = plain(config)
    key = json.dumps([values["env"], values["capture_video"], values["topology"]], default=str)
    if key not in _environments:
        _environments[key] = None
        try:
            check_environment(config)
        except ConfigError as error:
            _environments[key] = error
    error_before = _environments[key]
    if error_before is not None:
        raise error_before


_environments: dict[str, ConfigError | None] = {}
"""What the check of each environment of a sweep came to."""
sweep.register(check_job)


def _run(composed: DictConfig, run_dir: Path) -> dict[str, Any]:
    """Check everything, then launch; return the summary.

    Raises:
        ConfigError: the config or the environment is not usable; nothing was started.
        RunFailed: a rank failed, or another run is in the directory.
        Fault: the run directory cannot be written.
        Interrupted: SIGINT or SIGTERM came.
    """
    config = checked(composed)
    from rlexp.envs import check_environment  # gymnasium, which a config error need not wait for
    from rlexp.experiment import run_rank

    first = os.environ.get("RANK", "0") == "0"  # else one of the ranks that torchrun started; rank 0 speaks for all
    before = marks(run_dir)
    overrides = list(HydraConfig.get().overrides.task)
    former = resumed(config, overrides, run_dir)
    if former is not None and former.completed:
        if not first:
            return {}
        done, total = former.origin.updates, former.config.updates
        why = f" (an evaluation reached eval.stop_at={former.config.eval.stop_at:g})" if done < total else ""
        place = shown(run_dir, _Command.here)
        print(f"{place} is completed after {former.origin.env_steps:,} steps{why}; nothing is left to do", flush=True)
        return Summary(run_dir).read()
    if former is not None:
        config = former.config
    spec = check_environment(config)
    launch.check_devices(config)
    origin = None if former is None else former.origin
    job = Job(config, spec, run_dir, origin, overrides)
    if not first:
        return launch.run(job, run_rank)
    if noted_stop():
        raise Interrupted(noted_stop())
    check_links(run_dir, run_dir)
    with launch.locked(run_dir):
        if marks(run_dir) != before:
            raise RunFailed(f"another run has written checkpoints in {run_dir} meanwhile; give the command again")
        _Command.run_dir = run_dir
        if former is None:
            _save_composed(composed, run_dir)
        else:
            make_last(former.origin, run_dir)
            with writing(run_dir / ".hydra"):
                OmegaConf.save(OmegaConf.create(plain(config)), run_dir / ".hydra" / "config.yaml")
        _begin_log(config, run_dir)
        _announce(config, origin)
        return launch.run(job, run_rank)


def _begin_log(config: Config, run_dir: Path) -> None:
    """Write into main.log what runs, with what, where, and by which command."""
    from rlexp.machine import described

    with logged(run_dir):
        log.info("command: %s %s", program(), " ".join(map(shlex.quote, _Command.typed)))
        log.info("versions: %s", ", ".join(f"{name} {version}" for name, version in versions().items()))
        log.info("machine: %s", described())
        log.info("config:\n%s", OmegaConf.to_yaml(OmegaConf.create(plain(config))).rstrip())


def _announce(config: Config, origin: Origin | None) -> None:
    """Say in a line or two what is about to run."""
    from rlexp.envs import film_note

    steps = config.updates * config.steps_per_update
    begun = f", going on after {origin.env_steps:,}" if origin else ""
    print(
        f"{config.env.id}: {config.updates:,} updates of {config.steps_per_update:,} steps = {steps:,} steps, "
        f"{config.world_size} rank{'s' * (config.world_size > 1)}, seed {config.seed}{begun}",
        flush=True,
    )
    note = film_note(config)
    if note is not None:
        print(note, flush=True)


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


def _refuse(composed: DictConfig, run_dir: Path, error: ConfigError, in_sweep: bool) -> None:
    """Leave no directory behind for a run that did not start; a job of a sweep says in its files why it did not."""
    if not in_sweep:
        _remove_empty(run_dir)
        return
    if (run_dir / "checkpoints").is_dir():  # the job was refused, not the run that is there
        return
    with contextlib.suppress(RunFailed, Fault), launch.locked(run_dir):
        _save_composed(composed, run_dir)
        summary = Summary(run_dir)
        values = {key: OmegaConf.select(composed, key, throw_on_missing=False) for key in ("seed", "env.id")}
        algo = HydraConfig.get().runtime.choices.get("algo")
        words = list(HydraConfig.get().overrides.task)
        summary.start({"seed": values["seed"], "env_id": values["env.id"], "algo": algo, "overrides": words}, 0)
        summary.change(state="failed", error=str(error))
        handler = log_to(run_dir / "main.log")
        log.error("%s", error)
        logging.getLogger().removeHandler(handler)
        handler.close()


def _settle(run_dir: Path, signum: int) -> None:
    """Say in the summary of a run that is under way that it was interrupted; without a summary, remove what is there.

    For a run that was stopped outside of its ranks' time, or whose process was killed.
    """
    summary = Summary(run_dir)
    state = summary.read().get("state")
    with contextlib.suppress(OSError):
        if state == "running":
            error = f"stopped by {signal.Signals(signum).name}" if signum else "its process was killed"
            summary.change(state="interrupted" if signum else "failed", error=error)
        elif state is None and run_dir.is_dir() and {path.name for path in run_dir.iterdir()} <= {".hydra", "main.log"}:
            shutil.rmtree(run_dir)
            _remove_empty(run_dir)


def _end_sweep(signum: int) -> bool:
    """Print what came of the sweep, if there was one; return whether all its jobs are completed."""
    begun = sweep.current()
    if begun is None:
        return True
    for job in begun.all_jobs():
        if Summary(job.directory).read().get("state") == "running":
            with contextlib.suppress(RunFailed, Fault), launch.locked(job.directory):  # else it still runs
                _settle(job.directory, signum)
    lines, good = sweep_lines(begun, _Command.here, _Command.typed)
    if lines:
        print("\n".join(lines), flush=True)
    return good


def _on_stop(signum: int) -> None:
    """Settle what is under way and say what is saved; the process ends after that."""
    begun = _Command.run_dir
    if begun is not None:
        _settle(begun, signum)
    if sweep.current() is not None:
        _end_sweep(signum)
    elif begun is not None and begun.is_dir():
        print("\n".join(resume_lines(begun, Summary(begun).read(), _Command.here)), flush=True)
    else:
        _remove_begun()
        print("nothing was saved: the run had not begun", flush=True)


def _remove_begun() -> None:
    """Remove the directory that Hydra has made for a run that had not begun."""
    if HydraConfig.initialized() and os.environ.get("RANK", "0") == "0":
        places = OmegaConf.to_container(HydraConfig.get().runtime, resolve=False)
        if isinstance(places, dict) and os.path.isabs(str(places.get("output_dir"))):
            _remove_empty(Path(places["output_dir"]))


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
    _Command.here, _Command.typed = Path.cwd(), tuple(sys.argv[1:])
    early.install(_on_stop)
    status = 0
    try:
        check_arguments(sys.argv[1:])
        sys.argv[1:] = prepared([*sys.argv[1:], *_torchrun_overrides(sys.argv[1:])])
        hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="config")(run)()
    except ConfigError as error:
        _Command.errors.append(error)
    except sweep.Refused as refused:
        sys.exit(_said("\n".join(f"error: {line}" for line in refused.lines)))
    except (HydraException, OmegaConfBaseException) as error:
        status = _said(f"error: {explain(error)}")
    except Interrupted as error:
        status = 128 + error.signum
    except OSError as error:
        status = _said(f"error: {error.filename or 'the system'}: {error.strerror or error}")
    except Exception as error:
        if type(error).__name__ not in BROKEN_POOL:
            raise
        status = _said("error: a process of the sweep was killed, and joblib has ended the others")
    if noted_stop():
        status = 128 + noted_stop()
    sys.exit(_farewell(status))


BROKEN_POOL = ("TerminatedWorkerError", "BrokenProcessPool")
"""What joblib raises where a process of its own was killed."""


def _said(text: str) -> int:
    """Print to the standard error; return the exit code of a failure."""
    print(text, file=sys.stderr, flush=True)
    return 1


def _farewell(status: int) -> int:
    """Say how the command ended and how to continue; return its exit code."""
    signum = status - 128 if status > 128 else 0
    if signum:
        print(f"stopped by {signal.Signals(signum).name}", file=sys.stderr, flush=True)
    good = _end_sweep(signum)
    if sweep.current() is None:
        if _Command.errors:
            status = status or _said(f"error: {_Command.errors[0]}")
        begun = _Command.run_dir
        if begun is not None and begun.is_dir() and (signum or _Command.errors):
            lines = resume_lines(begun, Summary(begun).read(), _Command.here)
            place = [] if signum else ["its log:", shown(begun / "main.log", _Command.here)]
            print("\n".join([*place, *lines]), flush=True)
    gc.freeze()  # else Python searches all that torch and Lightning made for garbage before it ends: a second
    return status or int(bool(_Command.errors) or not good)


if __name__ == "__main__":
    # By its real name, so that launchers that pickle the task find it again.
    from rlexp.main import cli as named_cli

    named_cli()
