"""Spellings of other libraries whose value means something else here: functions from the value to our words.

Each takes the value as it was typed ("" where there was none) and what the command line gives for our keys, and returns
the words to write, or advice, which begins with a semicolon.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping

from rlexp.algos import ALGORITHMS, PPO
from rlexp.config.places import conf_dir
from rlexp.config.schema import EnvConfig

Given = Mapping[str, str]
Conversion = Callable[[str, Given], str]

TRUE, FALSE = ("", "true", "1", "yes", "on", "y"), ("false", "0", "no", "off", "n", "none", "null", "-1")
RECURRENT = ("ppo_recurrent", "recurrent_ppo", "recurrentppo", "ppo_lstm", "ppo_recurrent_decoupled", "a2c_recurrent")
ELSEWHERE = (
    "sac", "dqn", "ddpg", "td3", "trpo", "qrdqn", "tqc", "ars", "impala", "appo", "apex", "reinforce", "vpg", "droq",
    "sac_ae", "rainbow", "c51", "ppg", "iqn", "her", "crossq", "ppo_mask", "maskableppo", "dreamer_v1", "dreamer_v2",
    "dreamer_v3", "dreamer", "dreamerv3", "p2e_dv1", "p2e_dv2", "p2e_dv3", "acktr", "acer", "a3c", "muzero", "cql",
    "rpo", "pqn", "bc", "marwil", "sarsa", "discrete_sac", "discretesac", "redq", "npg", *RECURRENT,
)  # fmt: skip
"""Algorithms of other libraries that are not here."""
PRECISION = {
    "32": "32-true", "fp32": "32-true", "float32": "32-true", "16": "16-mixed", "fp16": "16-mixed",
    "float16": "16-mixed", "half": "16-mixed", "mixed": "bf16-mixed", "amp": "bf16-mixed",
    "bf16": "bf16-mixed", "bfloat16": "bf16-mixed", "true": "bf16-mixed", "": "bf16-mixed",
}  # fmt: skip
"""How others name precisions."""


def _device(value: str, given: Given) -> str:
    kind, _, index = value.lower().partition(":")
    if kind in ("gpu", "cuda", *TRUE):
        here = f" (and CUDA_VISIBLE_DEVICES={index} before the command)" if index.isdigit() and index != "0" else ""
        return f"accelerator=cuda{here}"
    if kind.isdigit():
        return f"accelerator=cuda (and CUDA_VISIBLE_DEVICES={kind} before the command)"
    if kind in ("cpu", *FALSE):
        return "accelerator=cpu"
    if kind == "auto":
        return "accelerator=cuda (where there is a GPU; the default is accelerator=cpu)"
    return "accelerator=cpu (or accelerator=cuda)"


def _cpu(value: str, given: Given) -> str:
    """A switch, or the number of processes as in Spinning Up."""
    if value.isdigit() and int(value) > 1:
        return f"fabric.devices={value}"
    return "accelerator=cuda" if value.lower() in FALSE else "accelerator=cpu"


def _no_device(value: str, given: Given) -> str:
    return "accelerator=cpu" if value.lower() in TRUE else "accelerator=cuda"


def _count_of_devices(value: str, given: Given) -> str:
    listed = re.findall(r"\d+", value) if value.startswith("[") or "," in value else []
    if listed:
        return f"fabric.devices={len(listed)}"
    return f"fabric.devices={value}" if value.isdigit() else "fabric.devices=1 (or more: the number of ranks)"


def _gpus(value: str, given: Given) -> str:
    """Lightning's and RLlib's number of GPUs, 0 for the CPU; also a list of them."""
    listed = re.findall(r"\d+", value)
    count = len(listed) if value.startswith("[") else int(value) if value.isdigit() else 1
    return "accelerator=cpu" if count == 0 else f"accelerator=cuda fabric.devices={count}"


def _rollout(given: Given) -> tuple[int, int, str]:
    """Return environments and steps of a rollout, as given or by default, and a text that says so."""
    envs = _number(given, "env.num_envs", EnvConfig().num_envs)
    steps = _number(given, "algo.num_steps", ALGORITHMS["ppo"]().num_steps)
    return envs, steps, f"env.num_envs={envs} x algo.num_steps={steps}"


def _number(given: Given, key: str, default: int) -> int:
    return int(given[key]) if given.get(key, "").isdigit() and int(given[key]) > 0 else default


def _minibatches(value: str, given: Given) -> str:
    envs, steps, text = _rollout(given)
    count = int(value) if value.isdigit() and int(value) else 4
    return f"algo.per_rank_batch_size={max(1, envs * steps // count)} ({text} steps / {count})"


def _updates(value: str, given: Given) -> str:
    envs, steps, text = _rollout(given)
    count = int(value) if value.isdigit() else 100
    return f"total_timesteps={count * envs * steps} ({count} updates of {text} steps)"


def _steps_per_collect(value: str, given: Given) -> str:
    envs, _, _ = _rollout(given)
    count = int(value) if value.isdigit() else 512
    return f"algo.num_steps={max(1, count // envs)} ({count} steps / env.num_envs={envs})"


def _widths(value: str, given: Given) -> str:
    widths = re.findall(r"\d+", value)
    widths = widths * 2 if len(widths) == 1 and "[" not in value else widths
    return f"'algo.hidden_sizes=[{','.join(widths or ['64', '64'])}]'"


def _lower(key: str) -> Conversion:
    return lambda value, given: f"{key}={value.rpartition('.')[2].strip(chr(39)).lower() or 'VALUE'}"


def _schedule(value: str, given: Given) -> str:
    return f"algo.anneal_lr={'true' if 'lin' in value.lower() or value.lower() in TRUE else 'false'}"


def _fixed(words: str, otherwise: str = "") -> Conversion:
    """Return a conversion of a switch: words where it is on, others where it is off."""
    return lambda value, given: words if not otherwise or value.lower() in TRUE else otherwise


def _experiment(value: str, given: Given) -> str:
    """SheepRL's exp=, and CleanRL's and the zoo's name of an experiment."""
    name = value.lower()
    if name in ALGORITHMS or name in ELSEWHERE or name.endswith(("_decoupled", "_recurrent")):
        return _algorithm(value, given)
    if (conf_dir() / "experiment" / f"{value}.yaml").is_file():
        return f"experiment={value}"
    return f"hydra.run.dir=outputs/runs/{value or 'NAME'}"


def _algorithm(value: str, given: Given) -> str:
    name, _, rest = value.lower().replace("-", "_").partition("_")
    if value.lower() in RECURRENT:
        return "algo=ppo env.frame_stack=4 (recurrent networks are not there)"
    if name not in ALGORITHMS or rest not in ("", "decoupled"):
        return f"; algorithms here: {', '.join(f'algo={one}' for one in sorted(ALGORITHMS))}"
    return f"algo={name}" + (" topology=decoupled fabric.devices=2" if rest else "")


def _trainer(value: str, given: Given) -> str:
    """lightning-hydra-template's trainer=."""
    if value.startswith("ddp"):
        return "fabric.devices=2 strategy=ddp"
    return "accelerator=cpu" if value in ("cpu", "default", "mps") else "accelerator=cuda"


def _seeds(value: str, given: Given) -> str:
    listed = re.findall(r"\d+", value)
    several = ",".join(listed) if len(listed) > 1 else ",".join(map(str, range(int(listed[0]) if listed else 3)))
    return f"--multirun seed={several or '0'}"


def _keywords(value: str, given: Given) -> str:
    pairs = re.findall(r"['\"]?(\w+)['\"]?\s*[:=]\s*([^,{}\s]+)", value) or [("NAME", "VALUE")]
    return " ".join(f"+env.kwargs.{name}={one}" for name, one in pairs)


def _processes(value: str, given: Given) -> str:
    return f"env.vectorization={'async' if re.search('sub|async|multi|ray', value.lower()) else 'sync'}"


def _normalize(value: str, given: Given) -> str:
    on = str(value.lower() not in FALSE).lower()
    return f"env.normalize_observations={on} env.normalize_rewards={on}"


def _run_test(value: str, given: Given) -> str:
    return "eval.episodes=10" if value.lower() in TRUE else "eval.episodes=0"


def _test(value: str, given: Given) -> str:
    """lightning-hydra-template's test after training, and the switch that plays a trained agent."""
    off = value.lower() in FALSE
    return "eval.episodes=0" if off else "; to evaluate a checkpoint: python -m rlexp.evaluate checkpoint=PATH"


def _std(value: str, given: Given) -> str:
    try:
        return f"algo.log_std_init={math.log(float(value)):.4g}"
    except ValueError:
        return "algo.log_std_init=0"


def _clip_value(value: str, given: Given) -> str:
    """A clip range of its own for the value loss."""
    if value.lower() in (*FALSE, "none", "null"):
        return "algo.clip_vloss=false"
    return f"algo.clip_vloss=true (with the range of algo.clip_coef={PPO().clip_coef})"


def _precision(value: str, given: Given) -> str:
    return f"fabric.precision={PRECISION.get(value.lower(), '32-true' if value.lower() in FALSE else value)}"


def _strategy(value: str, given: Given) -> str:
    """Lightning's names; those that split a network over ranks have no counterpart."""
    return "strategy=ddp" if value.lower().startswith(("ddp", "dp", "fsdp", "deepspeed", "xla")) else "strategy=auto"


def _number_or_off(key: str) -> Conversion:
    """Return a conversion of a switch to a limit: signs and the like are clipped to 1 elsewhere."""
    return lambda value, given: f"{key}={1 if value.lower() in TRUE else 'null'}"


def _with_video(key: str) -> Conversion:
    """Return a conversion to a key of the videos, which are off by default."""
    return lambda value, given: f"{key}={value or 'STEPS'} capture_video=true"


def _infos(value: str, given: Given) -> str:
    """Names as a list or a tuple of Python, or one alone."""
    names = re.findall(r"[A-Za-z_][\w./-]*", value) or ["is_success"]
    return f"'log.infos=[{','.join(names)}]'"


def _images(value: str, given: Given) -> str:
    symbols = value.lower() in (*FALSE, "state", "vector", "ram")
    return f"env.images={'symbols' if symbols else 'pixels'}"


def _jobs(value: str, given: Given) -> str:
    """The zoo's number of jobs that run at once."""
    return f"--multirun hydra/launcher=joblib hydra.launcher.n_jobs={value or '2'}"


def _plugin(kind: str) -> Conversion:
    return lambda value, given: f"hydra/{kind}={value or 'NAME'}"


CONVERSIONS: dict[str, Conversion] = {
    "device": _device,
    "gpus": _gpus,
    "no device": _no_device,
    "cpu": _cpu,
    "video every": _with_video("video.every"),
    "video steps": _with_video("video.max_steps"),
    "infos": _infos,
    "images": _images,
    "channels last": _fixed("env.channels=last", "env.channels=first"),
    "channels first": _fixed("env.channels=first", "env.channels=last"),
    "no check": _fixed("env.check=false", "env.check=true"),
    "envpool": _fixed("env.backend=envpool", "env.backend=gymnasium"),
    "tanh": _fixed("env.action_bounds=tanh", "env.action_bounds=clip"),
    "clip actions": _fixed("env.action_bounds=clip", "env.action_bounds=tanh"),
    "jobs": _jobs,
    "minibatches": _minibatches,
    "updates": _updates,
    "collected": _steps_per_collect,
    "widths": _widths,
    "activation": _lower("algo.activation_function"),
    "optimizer": _lower("algo.optimizer"),
    "schedule": _schedule,
    "experiment": _experiment,
    "algorithm": _algorithm,
    "trainer": _trainer,
    "seeds": _seeds,
    "keywords": _keywords,
    "processes": _processes,
    "sync": _fixed("env.vectorization=sync", "env.vectorization=async"),
    "async": _fixed("env.vectorization=async", "env.vectorization=sync"),
    "normalize": _normalize,
    "run test": _run_test,
    "test": _test,
    "std": _std,
    "value clip": _clip_value,
    "precision": _precision,
    "half": _fixed("fabric.precision=16-mixed accelerator=cuda", "fabric.precision=32-true"),
    "ranks": lambda value, given: "fabric.devices=2",
    "decoupled": _fixed("topology=decoupled fabric.devices=2", "topology=coupled"),
    "short": lambda value, given: "total_timesteps=1024",
    "sweep": lambda value, given: "--multirun",
    "launcher": _plugin("launcher"),
    "sweeper": _plugin("sweeper"),
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
    "atari": "env.id=ALE/Pong-v5", "ale": "env.id=ALE/Pong-v5", "mujoco": "env.id=HalfCheetah-v5",
    "box2d": "env.id=LunarLander-v3", "classic_control": "env.id=CartPole-v1", "classic": "env.id=CartPole-v1",
    "minigrid": "env.id=MiniGrid-Empty-5x5-v0", "dmc": "env.id=dm_control/cartpole-balance-v0",
    "dm_control": "env.id=dm_control/cartpole-balance-v0", "toy_text": "env.id=FrozenLake-v1",
    "super_mario_bros": "env.id=module:Id", "crafter": "env.id=module:Id", "minerl": "env.id=module:Id",
    "minedojo": "env.id=module:Id", "diambra": "env.id=module:Id", "dummy": "env.id=CartPole-v1",
    "procgen": "env.id=module:Id", "unity": "env.id=module:Id",
}  # fmt: skip
"""Families of environments that others choose by a name, and an id as rlexp takes it."""

VALUES: dict[str, tuple[tuple[str, ...], Conversion]] = {
    "accelerator": (DEVICES, _device),
    "fabric.accelerator": (DEVICES, _device),
    "strategy": (STRATEGIES, _strategy),
    "fabric.strategy": (STRATEGIES, _strategy),
    "algo": (ELSEWHERE, _algorithm),
    "env": (tuple(SUITES), lambda value, given: SUITES[value.lower()]),
    "env.clip_rewards": (SWITCHED, _number_or_off("env.clip_rewards")),
    "env.clip_observations": (("true", "false"), lambda value, given:
                              f"env.clip_observations={'10' if value.lower() == 'true' else 'null'}"),
    "env.images": (SWITCHED, _images),
    "fabric.devices": (("auto", "-1", "cpu", "cuda", "gpu"), _count_of_devices),
    "fabric.precision": (tuple(name for name in PRECISION if name), _precision),
    "env.vectorization": (("subproc", "dummy", "async_vector", "sync_vector", "multiprocessing"), _processes),
    "topology.name": (("decoupled",), lambda value, given: "topology=decoupled"),
    "resume": (("true", "false", "1", "0"), lambda value, given:
               "resume=RUN_DIRECTORY" if value.lower() in TRUE else "resume=null"),
    "experiment": (tuple(ALGORITHMS), lambda value, given: f"algo={value.lower()}"),
}  # fmt: skip
"""Our own keys and groups, values of others that they do not take, and what is written instead."""
