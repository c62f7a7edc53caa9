"""The command: compose, check, launch, report.

usage: python -m rlexp.main [--multirun] [group=choice ...] [key=value ...]
       python -m rlexp.main resume=RUN_DIRECTORY
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import shlex
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
from rlexp.arguments import asks_version, find_modules_here, read
from rlexp.config import Config, conf_dir, plain, register, typed
from rlexp.ending import BROKEN_POOL, Command, farewell, on_stop, remove_empty, said
from rlexp.explain import explain, surplus_keys, unknown_key
from rlexp.faults import Fault, writing
from rlexp.launch import Interrupted, Job, Origin, RunFailed
from rlexp.launch.cause import logged
from rlexp.launch.stopping import note_stop, note_stops, noted_stop
from rlexp.launch.threads import jobs_at_once, wait_politely
from rlexp.logger import log_to
from rlexp.prefix import prefixed
from rlexp.report import program, resume_lines, run_lines, shown
from rlexp.resume import make_last, marks, prepared, resumed
from rlexp.rules import validate
from rlexp.settings import ConfigError
from rlexp.summary import Summary, versions
from rlexp.trust import check_links
from rlexp.types import SpaceSpec

log = logging.getLogger(__name__)
register()


def run(composed: DictConfig) -> float:
    """Run one experiment, alone or as a job of a sweep; return its objective, the mean evaluation return.

    A failure is noted rather than raised, and the objective is then NaN: Hydra would stop or garble a sweep for it.
    """
    settings = HydraConfig.get()
    places = OmegaConf.to_container(settings.runtime, resolve=False)  # a path may hold what looks like ${...}
    assert isinstance(places, dict)
    run_dir, Command.here = Path(places["output_dir"]), Path(places["cwd"])
    if settings.mode != RunMode.MULTIRUN:
        return _attempt(composed, run_dir, in_sweep=False)
    sweep.record(settings, run_dir)
    with contextlib.ExitStack() as stack:
        if sweep.current() is None:  # a process that a launcher has started for jobs
            stack.enter_context(prefixed(f"[{settings.job.num}] "))
            note_stops()
            note_stop(sweep.inherited_stop())
        if noted_stop():
            remove_empty(run_dir)
            return math.nan
        gap = "" if sweep.current() is None else "\n"
        print(f"{gap}job {settings.job.num}: {' '.join(settings.overrides.task)}", flush=True)
        return _attempt(composed, run_dir, in_sweep=True)


def _attempt(composed: DictConfig, run_dir: Path, in_sweep: bool) -> float:
    """Run one experiment; report how it ended, and return its objective.

    Raises:
        Interrupted: SIGINT or SIGTERM came, and this process runs no further jobs.
    """
    try:
        summary = _run(composed, run_dir)
    except (ConfigError, RunFailed, Fault) as error:
        Command.errors.append(error)
        if in_sweep:
            print(f"error: {error}", file=sys.stderr, flush=True)
        if isinstance(error, ConfigError):
            _refuse(composed, run_dir, error, in_sweep)
        return math.nan
    except Interrupted as error:
        if in_sweep and Command.run_dir == run_dir:
            saved = resume_lines(run_dir, Summary(run_dir).peek(), Command.here)[0]
            print(f"interrupted; {saved.partition('; continue')[0]}", flush=True)
        if sweep.current() is None and in_sweep:
            note_stop(error.signum)
            remove_empty(run_dir)
            return math.nan
        raise
    if summary and not in_sweep:
        print("\n".join(run_lines(run_dir, summary, Command.here, int(composed.total_timesteps))), flush=True)
    objective = summary.get("objective")
    return math.nan if objective is None else float(objective)


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
        place = shown(run_dir, Command.here)
        print(f"{place} is completed after {former.origin.env_steps:,} steps{why}; nothing is left to do", flush=True)
        return Summary(run_dir).read()
    if former is not None:
        config = former.config
    spec = check_environment(config)
    launch.check_devices(config)
    origin = None if former is None else former.origin
    settings = HydraConfig.get()
    jobs = jobs_at_once(settings.launcher) if settings.mode == RunMode.MULTIRUN else 1
    job = Job(config, spec, run_dir, origin, overrides, jobs)
    if not first:
        return launch.run(job, run_rank)
    if noted_stop():
        raise Interrupted(noted_stop())
    check_links(run_dir, run_dir)
    with launch.locked(run_dir):
        if marks(run_dir) != before:
            raise RunFailed(f"another run has written checkpoints in {run_dir} meanwhile; give the command again")
        Command.run_dir = run_dir
        if former is None:
            _save_composed(composed, run_dir)
        else:
            make_last(former.origin, run_dir)
            with writing(run_dir / ".hydra"):
                OmegaConf.save(OmegaConf.create(plain(config)), run_dir / ".hydra" / "config.yaml")
        _begin_log(config, run_dir)
        _announce(config, spec, origin)
        return launch.run(job, run_rank)


def _begin_log(config: Config, run_dir: Path) -> None:
    """Write into main.log what runs, with what, where, and by which command."""
    from rlexp.machine import described

    with logged(run_dir):
        log.info("command: %s %s", program(), " ".join(map(shlex.quote, Command.typed)))
        log.info("versions: %s", ", ".join(f"{name} {version}" for name, version in versions().items()))
        log.info("machine: %s", described())
        log.info("config:\n%s", OmegaConf.to_yaml(OmegaConf.create(plain(config))).rstrip())


def _announce(config: Config, spec: SpaceSpec, origin: Origin | None) -> None:
    """Say in a few lines what is about to run, and what its observations are taken for."""
    from rlexp.envs import video_note

    steps = config.updates * config.steps_per_update
    begun = f", going on after {origin.env_steps:,}" if origin else ""
    print(
        f"{config.env.id}: {config.updates:,} updates of {config.steps_per_update:,} steps = {steps:,} steps, "
        f"{config.world_size} rank{'s' * (config.world_size > 1)}, seed {config.seed}{begun}",
        flush=True,
    )
    print(f"observation: {spec.observation.description}", flush=True)
    for note in (spec.observation.note, video_note(config)):
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
        remove_empty(run_dir)
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
    Command.here, Command.typed = Path.cwd(), tuple(sys.argv[1:])
    early.install(on_stop)
    wait_politely()
    status = 0
    find_modules_here()
    if asks_version(sys.argv[1:]):
        return
    try:
        sys.argv[1:] = read(sys.argv[1:])
        sys.argv[1:] = prepared([*sys.argv[1:], *_torchrun_overrides(sys.argv[1:])])
        hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="config")(run)()
    except ConfigError as error:
        Command.errors.append(error)
    except sweep.Refused as refused:
        sys.exit(said("\n".join(f"error: {line}" for line in refused.lines)))
    except (HydraException, OmegaConfBaseException) as error:
        status = said(f"error: {explain(error)}")
    except Interrupted as error:
        status = 128 + error.signum
    except OSError as error:
        status = said(f"error: {error.filename or 'the system'}: {error.strerror or error}")
    except Exception as error:
        if type(error).__name__ not in BROKEN_POOL:
            raise
        status = said("error: a process of the sweep was killed, and joblib has ended the others")
    if noted_stop():
        status = 128 + noted_stop()
    sys.exit(farewell(status))


if __name__ == "__main__":
    # By its real name, so that launchers that pickle the task find it again.
    from rlexp.main import cli as named_cli

    named_cli()
