"""What a command writes and prints around a run."""

from __future__ import annotations

import contextlib
import logging
import shlex
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from rlexp.command.ending import Command, remove_empty
from rlexp.config.compose import plain
from rlexp.config.schema import Config
from rlexp.data.machine import described
from rlexp.data.resuming import ResumePoint
from rlexp.data.spaces import SpaceSpec
from rlexp.errors import ConfigError, Fault, RunFailed, writing
from rlexp.files.lock import locked
from rlexp.files.log import log_to
from rlexp.files.summary import Summary, versions
from rlexp.launch.cause import logged
from rlexp.show.lines import program

log = logging.getLogger(__name__)


def begin_log(config: Config, run_dir: Path) -> None:
    """Write into main.log what runs, with what, where, and by which command."""
    with logged(run_dir):
        log.info("command: %s %s", program(), " ".join(map(shlex.quote, Command.typed)))
        log.info("versions: %s", ", ".join(f"{name} {version}" for name, version in versions().items()))
        log.info("machine: %s", described())
        log.info("config:\n%s", OmegaConf.to_yaml(OmegaConf.create(plain(config))).rstrip())


def announce(config: Config, spec: SpaceSpec, point: ResumePoint | None, fitted: str | None) -> None:
    """Say in a few lines what is about to run, what its observations are taken for, and what was `fitted`."""
    from rlexp.envs import video_note  # gymnasium, which a config error need not wait for

    steps = config.updates * config.steps_per_update
    begun = f", resumed after {point.env_steps:,}" if point else ""
    print(
        f"{config.env.id}: {config.updates:,} updates of {config.steps_per_update:,} steps = {steps:,} steps, "
        f"{config.world_size} rank{'s' * (config.world_size > 1)}, seed {config.seed}{begun}",
        flush=True,
    )
    print(f"observation: {spec.observation.description}", flush=True)
    for note in (spec.observation.note, video_note(config), fitted):
        if note is not None:
            print(note, flush=True)


def save_composed(composed: DictConfig, run_dir: Path) -> None:
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


def refuse(composed: DictConfig, run_dir: Path, error: ConfigError, in_sweep: bool) -> None:
    """Leave no directory behind for a run that did not start; a job of a sweep says in its files why it did not."""
    if not in_sweep:
        remove_empty(run_dir)
        return
    if (run_dir / "checkpoints").is_dir():  # the job was refused, not the run that is there
        return
    with contextlib.suppress(RunFailed, Fault), locked(run_dir):
        save_composed(composed, run_dir)
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
