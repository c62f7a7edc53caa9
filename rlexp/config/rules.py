"""What a config must keep to beyond its types: ranges, and the rules that cross fields."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rlexp import plugins
from rlexp.algos import OffPolicy
from rlexp.config.code import entries, wrappers_of
from rlexp.config.environment import BACKENDS
from rlexp.config.model import MODELS, longest_sequence
from rlexp.config.schema import EVAL_SEED_START
from rlexp.errors import ConfigError
from rlexp.settings import as_yaml, check, fields_of

if TYPE_CHECKING:
    from rlexp.config.environment import EnvConfig
    from rlexp.config.schema import Config


def validate(config: Config) -> None:
    """Check ranges and the rules that cross fields.

    Raises:
        ConfigError: names the first key that is wrong.
    """
    check_ranks(config)
    check_rules(config)


def check_ranks(config: Config) -> None:
    """Check ranges, and that each rank has something to do: then the sizes of rollouts are known.

    Raises:
        ConfigError: names the first key that is wrong.
    """
    check(config)
    _check_topology(config)
    _check_env(config.env, config.algo.num_steps)
    if config.env.backend == "torch":
        _check_torch_backend(config.env)
    if config.env.own_backend and config.capture_video:
        raise ConfigError(f"capture_video=true: env.backend={config.env.backend} draws nothing; leave it out")
    if config.updates < 1:
        raise ConfigError(
            f"total_timesteps={config.total_timesteps} is less than one update of {config.steps_per_update} steps "
            f"(env.num_envs={config.env.num_envs} * algo.num_steps={config.algo.num_steps} * {config.players} "
            f"collecting ranks); raise total_timesteps or lower algo.num_steps"
        )
    rows = config.algo.num_steps // 2 * config.env.num_envs * config.players  # if every other step only resets
    if config.topology.share_data and config.env.resets_on_next_step and rows < config.trainers:
        raise ConfigError(
            f"algo.num_steps={config.algo.num_steps} may leave less than a transition for each of {config.trainers} "
            f"trainers, since some steps only reset; give algo.num_steps={2 * config.trainers} or more"
        )


def check_rules(config: Config) -> None:
    """Check the other rules that cross fields, the algorithm's own included.

    Raises:
        ConfigError: names the first key that is wrong.
    """
    config.algo.check(config.sizes)
    _check_model(config)
    _check_replay(config)
    entries("callback", config.callbacks, "callbacks")
    entries("logger", config.logger.own, "logger.own")
    _check_log(config)
    _check_evaluation(config)
    _check_choices(config)
    last_seed = config.seed + config.players * config.env.num_envs
    if last_seed >= EVAL_SEED_START and config.env.seeding == "offset":
        raise ConfigError(f"seed={config.seed} is out of range; allowed: below {EVAL_SEED_START} for every environment")


def _check_replay(config: Config) -> None:
    if not isinstance(config.algo, OffPolicy):
        return
    held, steps = config.memory.size // config.memory_envs, config.algo.num_steps
    if held < steps:
        raise ConfigError(
            f"memory.size={config.memory.size} is less than one rollout of {steps * config.memory_envs} transitions "
            f"(algo.num_steps={steps} * {config.memory_envs} environments); raise it"
        )
    if config.algo.learning_starts > config.memory.size:
        raise ConfigError(
            f"algo.learning_starts={config.algo.learning_starts} is more than memory.size={config.memory.size} holds"
        )
    if config.env.action_bounds == "tanh":
        raise ConfigError(
            f"env.action_bounds=tanh is for PPO and A2C: {type(config.algo).__name__} squashes its actions by itself; "
            "leave it out"
        )
    if config.fabric.precision == "bf16-true":
        raise ConfigError(
            "fabric.precision=bf16-true: target networks move by less than bfloat16 can hold; give bf16-mixed"
        )


def _check_model(config: Config) -> None:
    model = config.model
    if (model.name == "custom") != (model.path is not None):
        raise ConfigError(
            f"model={model.name} and model.path={as_yaml(model.path)} do not go together; write model=custom "
            "model.path=package.module:Class"
        )
    if model.path is not None and not plugins.is_path(model.path):
        raise ConfigError(f"model.path={model.path} is no path; write package.module:Class")
    for key in ("actor_hidden_sizes", "critic_hidden_sizes"):
        if getattr(model, key) == []:
            raise ConfigError(f"model.{key}=[] is empty; give at least one width, or null for algo.hidden_sizes")
    if config.algo.one_torso:
        split = {"critic_keys": model.critic_keys, "actor_hidden_sizes": model.actor_hidden_sizes,
                 "critic_hidden_sizes": model.critic_hidden_sizes}  # fmt: skip
        for key, value in split.items():
            if value:
                raise ConfigError(f"model.{key} needs a torso each for actor and critic; give algo.shared_torso=false")
    if model.memory != "none":
        _check_memory(config)
    if model.name not in (*MODELS, "custom"):
        plugins.found("model", model.name, "model")


def _check_memory(config: Config) -> None:
    if not config.algo.recurrent:
        raise ConfigError(
            f"model={config.model.memory}: recurrent networks need an on-policy algorithm; give algo=ppo or algo=a2c"
        )
    steps, rows, fits = config.algo.num_steps, config.algo.per_rank_batch_size, longest_sequence(config.algo.num_steps)
    length = config.model.sequence_length or fits
    if steps % length:
        raise ConfigError(
            f"algo.num_steps={steps} is no multiple of model.sequence_length={length}; give a length that divides it, "
            f"such as model.sequence_length={fits}"
        )
    if rows is not None and rows < length:
        raise ConfigError(
            f"algo.per_rank_batch_size={rows} is less than one sequence of model.sequence_length={length}; raise it"
        )


def _check_log(config: Config) -> None:
    for name in ("wandb", "mlflow"):
        group = getattr(config.logger, name)
        for key, value, _ in fields_of(group):
            if not group.enabled and value != getattr(type(group)(), key):
                raise ConfigError(
                    f"logger.{name}.{key}={as_yaml(value)} is for logger={name}, which is not chosen; add logger={name}"
                )
    if config.env.backend == "torch" and config.log.infos:
        raise ConfigError("log.infos: environments of env.backend=torch have no infos; give env.backend=gymnasium")
    if len(set(config.log.infos)) < len(config.log.infos):
        raise ConfigError(f"log.infos={config.log.infos} names a value twice")


def _check_evaluation(config: Config) -> None:
    if config.eval.every > 0 and config.eval.episodes == 0:
        raise ConfigError(f"eval.every={config.eval.every} needs episodes, but eval.episodes=0; give eval.episodes=10")
    if config.eval.stop_at is not None and config.eval.every == 0:
        raise ConfigError(
            f"eval.stop_at={config.eval.stop_at:g} needs evaluations during training, but eval.every=0; give "
            "eval.every=10000"
        )


def _check_choices(config: Config) -> None:
    """Check the settings that are a number or a word."""
    threads = config.fabric.threads_per_rank
    if isinstance(threads, str) and threads != "auto":
        raise ConfigError(f"fabric.threads_per_rank={threads} is not a choice; allowed: auto, or a number from 1")
    for key in ("clip_observations", "clip_rewards"):
        limit = getattr(config.env, key)
        if isinstance(limit, str) and limit != "auto":
            raise ConfigError(f"env.{key}={limit} is not a choice; allowed: auto, null (off), or a number above 0")


def _check_env(env: EnvConfig, num_steps: int) -> None:
    wrappers_of(env)
    if env.own_backend and not plugins.is_path(env.backend):
        raise ConfigError(f"env.backend={env.backend} is not a choice; allowed: {', '.join(BACKENDS)}, or a path "
                          "package.module:function to what builds a vector environment")  # fmt: skip
    if env.threads is not None and env.backend != "envpool":
        raise ConfigError(f"env.threads={env.threads} is for env.backend=envpool, but env.backend={env.backend}")
    if not env.resets_on_next_step:
        return
    chosen, other = "env.vectorization=vector", "env.vectorization=sync"
    if env.backend != "gymnasium":
        chosen, other = f"env.backend={env.backend}", "env.backend=gymnasium"
        if env.vectorization != "sync":
            raise ConfigError(f"env.vectorization={env.vectorization} is not for {chosen}; leave it out")
        if env.own_backend and env.max_episode_steps is not None:
            raise ConfigError(
                f"env.max_episode_steps is not for {chosen}, which cuts its episodes itself; leave it out"
            )
    if env.wrappers and env.backend != "envpool":
        raise ConfigError(f"env.wrappers do not go with {chosen}, which steps all environments at once; give {other}")
    for name in ("frame_stack", "action_repeat"):
        fits = name == "frame_stack" and env.backend == "envpool"
        if getattr(env, name) > 1 and not fits:
            raise ConfigError(f"env.{name}={getattr(env, name)} does not go with {chosen}; give {other}")
    if num_steps < 2:
        raise ConfigError(
            f"algo.num_steps={num_steps} is too short for {chosen}, where one step may only reset; give 2 or more"
        )


def _check_topology(config: Config) -> None:
    if config.fabric.precision == "16-mixed" and config.fabric.accelerator != "cuda":
        raise ConfigError(
            f"fabric.precision=16-mixed needs accelerator=cuda, but fabric.accelerator={config.fabric.accelerator}; "
            "give fabric.precision=bf16-mixed"
        )
    if config.compile is True and config.fabric.precision == "16-mixed":
        raise ConfigError("compile=true does not go with fabric.precision=16-mixed; give fabric.precision=bf16-mixed")
    if config.topology.overlap and config.topology.name == "coupled":
        raise ConfigError("topology.overlap=true needs a player of its own; give topology=decoupled")
    if config.topology.player_accelerator == "cuda" and config.fabric.accelerator != "cuda":
        raise ConfigError(
            f"topology.player_accelerator=cuda needs accelerator=cuda, but fabric.accelerator="
            f"{config.fabric.accelerator}; give accelerator=cuda"
        )
    if config.topology.name == "decoupled":
        if config.world_size < 2:
            raise ConfigError(
                f"topology=decoupled needs a player and at least one trainer, but fabric.devices="
                f"{config.fabric.devices}; give fabric.devices=2 or more"
            )
        if not config.topology.share_data and config.env.num_envs < config.trainers:
            raise ConfigError(
                f"env.num_envs={config.env.num_envs} is less than the {config.trainers} trainers, which each need an "
                f"environment; give env.num_envs={config.trainers} or more, or topology.share_data=true"
            )


def _check_torch_backend(env: EnvConfig) -> None:
    """Check that nothing is asked for that environments of tensors do not have."""
    fixed = {"vectorization": "sync", "kwargs": {}, "wrappers": [], "frame_stack": 1, "action_repeat": 1}
    for key, allowed in fixed.items():
        value = getattr(env, key)
        if value != allowed:
            raise ConfigError(
                f"env.{key}={value} does not go with env.backend=torch; allowed there: env.{key}={allowed}, "
                "or give env.backend=gymnasium"
            )
