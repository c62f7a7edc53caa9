"""Spellings of other libraries whose value means something else here: functions from the value to our words.

Each takes the value as it was typed ("" where there was none) and what the command line gives for our keys, and returns
the words to write, or advice, which begins with a semicolon.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping

from rlexp.algos import ALGORITHMS, PPO
from rlexp.command.elsewhere import ELSEWHERE, MASKED, RECURRENT, algorithms
from rlexp.config.environment import EnvConfig
from rlexp.config.places import conf_dir

Given = Mapping[str, str]
Conversion = Callable[[str, Given], str]

TRUE, FALSE = ("", "true", "1", "yes", "on", "y"), ("false", "0", "no", "off", "n", "none", "null", "-1")
PRECISION = {
    "32": "32-true", "fp32": "32-true", "float32": "32-true", "16": "16-mixed", "fp16": "16-mixed",
    "float16": "16-mixed", "half": "16-mixed", "mixed": "bf16-mixed", "amp": "bf16-mixed",
    "bf16": "bf16-mixed", "bfloat16": "bf16-mixed", "true": "bf16-mixed", "": "bf16-mixed",
}  # fmt: skip
"""How others name precisions."""


def device(value: str, given: Given) -> str:
    """Return what a device such as cuda:0, gpu or cpu is here."""
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


def logged(logger: str, key: str) -> Conversion:
    """Return a conversion to a setting of a logger that has to be chosen too."""

    def convert(value: str, given: Given) -> str:
        text = f"[{value.strip('[]')}]" if key == "tags" else value or "NAME"
        return f"logger={logger} logger.{logger}.{key}={text}"

    return convert


def cpu(value: str, given: Given) -> str:
    """A switch, or the number of processes as in Spinning Up."""
    if value.isdigit() and int(value) > 1:
        return f"fabric.devices={value}"
    return "accelerator=cuda" if value.lower() in FALSE else "accelerator=cpu"


def no_device(value: str, given: Given) -> str:
    """Return what a switch that turns the GPU off is here."""
    return "accelerator=cpu" if value.lower() in TRUE else "accelerator=cuda"


def count_of_devices(value: str, given: Given) -> str:
    """Return what a number of devices or ranks is here."""
    listed = re.findall(r"\d+", value) if value.startswith("[") or "," in value else []
    if listed:
        return f"fabric.devices={len(listed)}"
    return f"fabric.devices={value}" if value.isdigit() else "fabric.devices=1 (or more: the number of ranks)"


def gpus(value: str, given: Given) -> str:
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


def updates(value: str, given: Given) -> str:
    """Return what a number of updates is in environment steps."""
    envs, steps, text = _rollout(given)
    count = int(value) if value.isdigit() else 100
    return f"total_timesteps={count * envs * steps} ({count} updates of {text} steps)"


def steps_per_collect(value: str, given: Given) -> str:
    """Return what steps over all environments are for each of them."""
    envs, _, _ = _rollout(given)
    count = int(value) if value.isdigit() else 512
    return f"algo.num_steps={max(1, count // envs)} ({count} steps / env.num_envs={envs})"


def widths(value: str, given: Given) -> str:
    """Return layer widths as a list."""
    widths = re.findall(r"\d+", value)
    widths = widths * 2 if len(widths) == 1 and "[" not in value else widths
    return f"'algo.hidden_sizes=[{','.join(widths or ['64', '64'])}]'"


def lower(key: str) -> Conversion:
    """Return a conversion to the name of a choice in small letters."""
    return lambda value, given: f"{key}={value.rpartition('.')[2].strip(chr(39)).lower() or 'VALUE'}"


def schedule(value: str, given: Given) -> str:
    """Return what a schedule of the learning rate is here."""
    return f"algo.anneal_lr={'true' if 'lin' in value.lower() or value.lower() in TRUE else 'false'}"


def fixed(words: str, otherwise: str = "") -> Conversion:
    """Return a conversion of a switch: words where it is on, others where it is off."""
    return lambda value, given: words if not otherwise or value.lower() in TRUE else otherwise


def experiment(value: str, given: Given) -> str:
    """SheepRL's exp=, and CleanRL's and the zoo's name of an experiment."""
    name = value.lower()
    if name in algorithms() or name in ELSEWHERE or name.endswith(("_decoupled", "_recurrent")):
        return algorithm(value, given)
    if (conf_dir() / "experiment" / f"{value}.yaml").is_file():
        return f"experiment={value}"
    return f"hydra.run.dir=outputs/runs/{value or 'NAME'}"


def algorithm(value: str, given: Given) -> str:
    """Return the algorithm of a name, or say that there is none."""
    name, _, rest = value.lower().replace("-", "_").partition("_")
    if value.lower() in RECURRENT:
        return f"algo={'a2c' if value.lower().startswith('a2c') else 'ppo'} model=lstm"
    if value.lower() in MASKED:
        return "algo=ppo (action masks are used where the environment gives them)"
    if name not in algorithms() or rest not in ("", "decoupled"):
        return f"; algorithms here: {', '.join(f'algo={one}' for one in sorted(ALGORITHMS))}"
    return f"algo={name}" + (" topology=decoupled fabric.devices=2" if rest else "")


def trainer(value: str, given: Given) -> str:
    """lightning-hydra-template's trainer=."""
    if value.startswith("ddp"):
        return "fabric.devices=2 strategy=ddp"
    return "accelerator=cpu" if value in ("cpu", "default", "mps") else "accelerator=cuda"


def seeds(value: str, given: Given) -> str:
    """Return what several seeds are here: a sweep."""
    listed = re.findall(r"\d+", value)
    several = ",".join(listed) if len(listed) > 1 else ",".join(map(str, range(int(listed[0]) if listed else 3)))
    return f"--multirun seed={several or '0'}"


def keywords(value: str, given: Given) -> str:
    """Return keyword arguments of an environment, one word each."""
    pairs = re.findall(r"['\"]?(\w+)['\"]?\s*[:=]\s*([^,{}\s]+)", value) or [("NAME", "VALUE")]
    return " ".join(f"+env.kwargs.{name}={one}" for name, one in pairs)


def processes(value: str, given: Given) -> str:
    """Return how environments run, in processes or in one."""
    return f"env.vectorization={'async' if re.search('sub|async|multi|ray', value.lower()) else 'sync'}"


def normalize(value: str, given: Given) -> str:
    """Return which settings normalise."""
    on = str(value.lower() not in FALSE).lower()
    return f"env.normalize_observations={on} env.normalize_rewards={on}"


def run_test(value: str, given: Given) -> str:
    """Return what an evaluation at the end is here."""
    return "eval.episodes=10" if value.lower() in TRUE else "eval.episodes=0"


def test(value: str, given: Given) -> str:
    """lightning-hydra-template's test after training, and the switch that plays a trained agent."""
    off = value.lower() in FALSE
    return "eval.episodes=0" if off else "; to evaluate a checkpoint: python -m rlexp.evaluate checkpoint=PATH"


def std(value: str, given: Given) -> str:
    """Return the logarithm of a standard deviation."""
    try:
        return f"algo.log_std_init={math.log(float(value)):.4g}"
    except ValueError:
        return "algo.log_std_init=0"


def clip_value(value: str, given: Given) -> str:
    """A clip range of its own for the value loss."""
    if value.lower() in (*FALSE, "none", "null"):
        return "algo.clip_vloss=false"
    return f"algo.clip_vloss=true (with the range of algo.clip_coef={PPO().clip_coef})"


def precision(value: str, given: Given) -> str:
    """Return our name of a precision."""
    return f"fabric.precision={PRECISION.get(value.lower(), '32-true' if value.lower() in FALSE else value)}"


def strategy(value: str, given: Given) -> str:
    """Lightning's names; those that split a network over ranks have no counterpart."""
    return "strategy=ddp" if value.lower().startswith(("ddp", "dp", "fsdp", "deepspeed", "xla")) else "strategy=auto"


def number_or_off(key: str) -> Conversion:
    """Return a conversion of a switch to a limit: signs and the like are clipped to 1 elsewhere."""
    return lambda value, given: f"{key}={1 if value.lower() in TRUE else 'null'}"


def with_video(key: str) -> Conversion:
    """Return a conversion to a key of the videos, which are off by default."""
    return lambda value, given: f"{key}={value or 'STEPS'} capture_video=true"


def infos(value: str, given: Given) -> str:
    """Names as a list or a tuple of Python, or one alone."""
    names = re.findall(r"[A-Za-z_][\w./-]*", value) or ["is_success"]
    return f"'log.infos=[{','.join(names)}]'"


def images(value: str, given: Given) -> str:
    """Return how pictures are read here."""
    symbols = value.lower() in (*FALSE, "state", "vector", "ram")
    return f"env.images={'symbols' if symbols else 'pixels'}"


def jobs(value: str, given: Given) -> str:
    """The zoo's number of jobs that run at once."""
    return f"--multirun hydra/launcher=joblib hydra.launcher.n_jobs={value or '2'}"


def plugin(kind: str) -> Conversion:
    """Return a conversion to a choice of a plugin of Hydra."""
    return lambda value, given: f"hydra/{kind}={value or 'NAME'}"
