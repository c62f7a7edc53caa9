"""One run, alone or as a job of a sweep."""

from __future__ import annotations

import contextlib
import math
import os
import sys
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from rlexp.command import sweep
from rlexp.command.check import checked
from rlexp.command.ending import Command, remove_empty
from rlexp.command.records import announce, begin_log, refuse, save_composed
from rlexp.command.sweep_signals import inherited_stop
from rlexp.config.compose import load_plugins, plain
from rlexp.errors import ConfigError, Fault, Interrupted, RunFailed, writing
from rlexp.files.lock import locked
from rlexp.files.summary import Summary
from rlexp.files.trust import check_links
from rlexp.launch.devices import check_devices
from rlexp.launch.job import Job
from rlexp.launch.processes import run as launch
from rlexp.launch.stopping import note_stop, note_stops, noted_stop
from rlexp.launch.threads import jobs_at_once
from rlexp.run.resume import Resumed, checkpoint_times, make_last, resumed
from rlexp.show.lines import resume_lines, run_lines, shown
from rlexp.show.prefix import prefixed


def run(composed: DictConfig) -> float:
    """Run one experiment, alone or as a job of a sweep; return its objective, the mean evaluation return.

    A failure is noted rather than raised, and the objective is then NaN: Hydra would stop or garble a sweep for it.
    """
    load_plugins(composed.plugins)  # a process that a parallel launcher has started has not
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
            note_stop(inherited_stop())
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
        summary = run_one(composed, run_dir)
    except (ConfigError, RunFailed, Fault) as error:
        Command.errors.append(error)
        if in_sweep:
            print(f"error: {error}", file=sys.stderr, flush=True)
        if isinstance(error, ConfigError):
            refuse(composed, run_dir, error, in_sweep)
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


def _nothing_left(earlier: Resumed, run_dir: Path) -> dict[str, Any]:
    """Say that a run is completed; return its summary."""
    done, total = earlier.point.updates, earlier.config.updates
    stop_at = earlier.config.eval.stop_at
    reason = "a callback ended training" if stop_at is None else f"an evaluation reached eval.stop_at={stop_at:g}"
    why = f" ({reason})" if done < total else ""
    place = shown(run_dir, Command.here)
    print(f"{place} is completed after {earlier.point.env_steps:,} steps{why}; nothing is left to do", flush=True)
    return Summary(run_dir).read()


def _jobs_at_once() -> int:
    settings = HydraConfig.get()
    return jobs_at_once(settings.launcher) if settings.mode == RunMode.MULTIRUN else 1


def run_one(composed: DictConfig, run_dir: Path) -> dict[str, Any]:
    """Check everything, then launch; return the summary.

    Raises:
        ConfigError: the config or the environment is not usable; nothing was started.
        RunFailed: a rank failed, or another run is in the directory.
        Fault: the run directory cannot be written.
        Interrupted: SIGINT or SIGTERM came.
    """
    config, note = checked(composed)
    from rlexp.envs import check_environment  # gymnasium, which a config error need not wait for

    first = os.environ.get("RANK", "0") == "0"  # else one of the ranks that torchrun started; rank 0 speaks for all
    before, overrides = checkpoint_times(run_dir), list(HydraConfig.get().overrides.task)
    earlier = resumed(config, overrides, run_dir)
    if earlier is not None and earlier.completed:
        return _nothing_left(earlier, run_dir) if first else {}
    if earlier is not None:
        config = earlier.config
    spec = check_environment(config)
    config.algo.check_space(spec.action)
    check_devices(config)
    from rlexp.learn.room import check_room  # torch, which a wrong environment need not wait for
    from rlexp.run.experiment import run_rank
    from rlexp.run.trial import check_network, check_own_code

    check_room(config, spec, run_dir)
    check_network(config, spec)
    check_own_code(config)

    point = None if earlier is None else earlier.point
    job = Job(config, spec, run_dir, point, overrides, _jobs_at_once())
    if not first:
        return launch(job, run_rank)
    if noted_stop():
        raise Interrupted(noted_stop())
    check_links(run_dir, run_dir)
    with locked(run_dir):
        if checkpoint_times(run_dir) != before:
            raise RunFailed(f"another run has written checkpoints in {run_dir} meanwhile; give the command again")
        Command.run_dir = run_dir
        if earlier is None:
            save_composed(composed, run_dir)
        else:
            make_last(earlier.point, run_dir)
            with writing(run_dir / ".hydra"):
                OmegaConf.save(OmegaConf.create(plain(config)), run_dir / ".hydra" / "config.yaml")
        begin_log(config, run_dir)
        announce(config, spec, point, note if earlier is None else None)
        return launch(job, run_rank)
