"""What the keys and values of other libraries turn into: tables of conversions."""

from __future__ import annotations

from rlexp.algos import ALGORITHMS
from rlexp.command import conversions
from rlexp.command.conversions import PRECISION, TRUE, Conversion
from rlexp.command.elsewhere import ELSEWHERE

CONVERSIONS: dict[str, Conversion] = {
    "wandb": conversions.fixed("logger=[csv,tensorboard,wandb]", "logger=[csv,tensorboard]"),
    "wandb project": conversions.logged("wandb", "project"),
    "wandb entity": conversions.logged("wandb", "entity"),
    "wandb group": conversions.logged("wandb", "group"),
    "wandb name": conversions.logged("wandb", "name"),
    "wandb tags": conversions.logged("wandb", "tags"),
    "wandb mode": lambda value, given: f"logger=wandb logger.wandb.offline={str(value == 'offline').lower()}",
    "mlflow": conversions.fixed("logger=[csv,tensorboard,mlflow]", "logger=[csv,tensorboard]"),
    "mlflow place": conversions.logged("mlflow", "tracking_uri"),
    "mlflow experiment": conversions.logged("mlflow", "experiment"),
    "device": conversions.device,
    "gpus": conversions.gpus,
    "no device": conversions.no_device,
    "cpu": conversions.cpu,
    "video every": conversions.with_video("video.every"),
    "video steps": conversions.with_video("video.max_steps"),
    "infos": conversions.infos,
    "images": conversions.images,
    "channels last": conversions.fixed("env.channels=last", "env.channels=first"),
    "channels first": conversions.fixed("env.channels=first", "env.channels=last"),
    "no check": conversions.fixed("env.check=false", "env.check=true"),
    "envpool": conversions.fixed("env.backend=envpool", "env.backend=gymnasium"),
    "tanh": conversions.fixed("env.action_bounds=tanh", "env.action_bounds=clip"),
    "clip actions": conversions.fixed("env.action_bounds=clip", "env.action_bounds=tanh"),
    "jobs": conversions.jobs,
    "updates": conversions.updates,
    "collected": conversions.steps_per_collect,
    "widths": conversions.widths,
    "activation": conversions.lower("algo.activation_function"),
    "optimizer": conversions.lower("algo.optimizer"),
    "schedule": conversions.schedule,
    "experiment": conversions.experiment,
    "algorithm": conversions.algorithm,
    "trainer": conversions.trainer,
    "seeds": conversions.seeds,
    "keywords": conversions.keywords,
    "processes": conversions.processes,
    "sync": conversions.fixed("env.vectorization=sync", "env.vectorization=async"),
    "async": conversions.fixed("env.vectorization=async", "env.vectorization=sync"),
    "normalize": conversions.normalize,
    "run test": conversions.run_test,
    "test": conversions.test,
    "std": conversions.std,
    "value clip": conversions.clip_value,
    "precision": conversions.precision,
    "half": conversions.fixed("fabric.precision=16-mixed accelerator=cuda", "fabric.precision=32-true"),
    "ranks": lambda value, given: "fabric.devices=2",
    "decoupled": conversions.fixed("topology=decoupled fabric.devices=2", "topology=coupled"),
    "short": lambda value, given: "total_timesteps=1024",
    "sweep": lambda value, given: "--multirun",
    "launcher": conversions.plugin("launcher"),
    "sweeper": conversions.plugin("sweeper"),
    "version": lambda value, given: "--version",
}
"""By the names that `rlexp.command.synonyms.CONVERTED` gives them."""

DEVICES = ("gpu", "auto", "mps", "tpu", "cuda:0", "cuda:1", "cuda:2", "cuda:3", "true", "false")

STRATEGIES = (
    "ddp_spawn", "ddp_fork", "ddp_notebook", "ddp_find_unused_parameters_true", "ddp_find_unused_parameters_false",
    "ddp2", "dp", "fsdp", "fsdp_native", "deepspeed", "deepspeed_stage_1", "deepspeed_stage_2", "deepspeed_stage_3",
    "xla", "single_device", "singledevice", "single", "none", "null",
)  # fmt: skip

SWITCHED = ("true", "false")

SUITES = {
    "ale": "env=atari", "gymnasium_mujoco": "env=mujoco",
    "classic_control": "env.id=CartPole-v1", "classic": "env.id=CartPole-v1",
    "dm_control": "env=dmc", "toy_text": "env.id=FrozenLake-v1",
    "super_mario_bros": "env.id=module:Id", "crafter": "env.id=module:Id", "minerl": "env.id=module:Id",
    "minedojo": "env.id=module:Id", "diambra": "env.id=module:Id", "dummy": "env.id=CartPole-v1",
    "procgen": "env.id=module:Id", "unity": "env.id=module:Id",
}  # fmt: skip
"""Families of environments that others choose by a name, and an id as rlexp takes it."""

VALUES: dict[str, tuple[tuple[str, ...], Conversion]] = {
    "accelerator": (DEVICES, conversions.device),
    "fabric.accelerator": (DEVICES, conversions.device),
    "strategy": (STRATEGIES, conversions.strategy),
    "fabric.strategy": (STRATEGIES, conversions.strategy),
    "algo": (ELSEWHERE, conversions.algorithm),
    "env": (tuple(SUITES), lambda value, given: SUITES[value.lower()]),
    "env.clip_rewards": (SWITCHED, conversions.number_or_off("env.clip_rewards")),
    "env.clip_observations": (("true", "false"), lambda value, given:
                              f"env.clip_observations={'10' if value.lower() == 'true' else 'null'}"),
    "env.images": (SWITCHED, conversions.images),
    "fabric.devices": (("auto", "-1", "cpu", "cuda", "gpu"), conversions.count_of_devices),
    "fabric.precision": (tuple(name for name in PRECISION if name), conversions.precision),
    "env.vectorization": (
        ("subproc", "dummy", "async_vector", "sync_vector", "multiprocessing"),
        conversions.processes,
    ),
    "topology.name": (("decoupled",), lambda value, given: "topology=decoupled"),
    "resume": (("true", "false", "1", "0"), lambda value, given:
               "resume=RUN_DIRECTORY" if value.lower() in TRUE else "resume=null"),
    "experiment": (tuple(ALGORITHMS), lambda value, given: f"algo={value.lower()}"),
}  # fmt: skip
"""Our own keys and groups, values of others that they do not take, and what is written instead."""
