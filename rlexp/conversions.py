"""Spellings of other libraries whose value means something else here: functions from the value to our words.

Each takes the value as it was typed ("" where there was none) and what the command line gives for our keys, and returns
the words to write, or advice, which begins with a semicolon.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping

from rlexp.algos import ALGORITHMS, PPO
from rlexp.config import EnvConfig, conf_dir

Given = Mapping[str, str]
Conversion = Callable[[str, Given], str]

TRUE, FALSE = ("", "true", "1", "yes", "on", "y"), ("false", "0", "no", "off", "n", "none", "null", "-1")
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
    return "accelerator=cpu or accelerator=cuda"


def _no_device(value: str, given: Given) -> str:
    return "accelerator=cpu" if value.lower() in TRUE else "accelerator=cuda"


def _count_of_devices(value: str, given: Given) -> str:
    listed = re.findall(r"\d+", value) if value.startswith("[") or "," in value else []
    if listed:
        return f"fabric.devices={len(listed)}"
    return "the number of ranks, such as fabric.devices=1" if not value.isdigit() else f"fabric.devices={value}"


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
    if value.lower() in ALGORITHMS or value.lower().endswith("_decoupled"):
        return _algorithm(value, given)
    if (conf_dir() / "experiment" / f"{value}.yaml").is_file():
        return f"experiment={value}"
    return f"hydra.run.dir=outputs/runs/{value or 'NAME'}"


def _algorithm(value: str, given: Given) -> str:
    name, _, rest = value.lower().partition("_")
    if name not in ALGORITHMS or rest not in ("", "decoupled"):
        return f"; algorithms here: {', '.join(f'algo={one}' for one in sorted(ALGORITHMS))}"
    return f"algo={name}" + (" topology=decoupled fabric.devices=2" if rest else "")


def _trainer(value: str, given: Given) -> str:
    """lightning-hydra-template's trainer=."""
    if value.startswith("ddp"):
        return "fabric.devices=2 strategy=ddp"
    return "accelerator=cpu" if value in ("cpu", "default") else "accelerator=cuda"


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


def _plugin(kind: str) -> Conversion:
    return lambda value, given: f"hydra/{kind}={value or 'NAME'}"


CONVERSIONS: dict[str, Conversion] = {
    "device": _device,
    "no device": _no_device,
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
"""By the names that `rlexp.synonyms.CONVERTED` gives them."""

VALUES: dict[str, tuple[tuple[str, ...], Conversion]] = {
    "accelerator": (("gpu", "auto", "mps", "tpu", "cuda:0", "cuda:1", "true", "false"), _device),
    "fabric.accelerator": (("gpu", "auto", "cuda:0", "cuda:1", "true", "false"), _device),
    "fabric.devices": (("auto", "-1", "cpu", "cuda", "gpu"), _count_of_devices),
    "fabric.precision": (tuple(name for name in PRECISION if name), _precision),
    "env.vectorization": (("subproc", "dummy", "async_vector", "sync_vector", "multiprocessing"), _processes),
    "topology.name": (("decoupled",), lambda value, given: "topology=decoupled"),
    "resume": (("true", "false", "1", "0"), lambda value, given:
               "resume=RUN_DIRECTORY" if value.lower() in TRUE else "resume=null"),
    "experiment": (tuple(ALGORITHMS), lambda value, given: f"algo={value.lower()}"),
}  # fmt: skip
"""Our own keys and groups, values of others that they do not take, and what is written instead."""
