"""What a person typed, before Hydra sees it.

An environment's id is taken as `env=ID`, which Hydra would look up among the files of the group. What is not ours is
refused in one line that holds the words to write instead; see `rlexp.command.spelling`.
"""

from __future__ import annotations

import functools
import os
import re
import sys
from collections.abc import Mapping, Sequence

from rlexp import __version__, plugins
from rlexp.algos import ALGORITHMS
from rlexp.command.advice import ADVICE
from rlexp.command.spelling import OPTIONS, SWITCHES, translated
from rlexp.command.synonyms import CONVERTED, RENAMED
from rlexp.command.synonyms_replay import RENAMED_REPLAY
from rlexp.command.values import CONVERSIONS
from rlexp.command.words import Answer, Vocabulary, written
from rlexp.config.explain import check_arguments, known_keys
from rlexp.config.places import choices
from rlexp.config.schema import Config
from rlexp.errors import ConfigError
from rlexp.files.places import SUFFIX
from rlexp.settings import fields_of

EVALUATION = {
    "checkpoint": (
        "ckpt_path load ckpt model_path path resume checkpoint_path trained_agent i run run_dir load_run model "
        "weights load_path load_checkpoint resume_from file policy_path restore checkpoint.path "
        "checkpoint.resume_from load_model folder f"
    ),
    "episodes": (
        "n_eval_episodes num_episodes n_episodes eval_episodes n num_eval_episodes eval.episodes n_eval test_episodes "
        "num_test_episodes test_num eval_num_episodes"
    ),
    "deterministic": ("greedy det deterministic_policy"),
    "capture_video": (
        "video record_video record save_video film videos save_videos render render_mode env.capture_video"
    ),
    "env_id": ("env env.id environment gym_id env_name task environment_id env.name"),
    "seed": ("random_seed eval_seed rng_seed"),
    "; it comes from the checkpoint, so leave it out": (
        "algo algo_name experiment exp total_timesteps algorithm topology config num_envs env.num_envs n_envs"
    ),
    "; leave it out: evaluation runs on the CPU": (
        "device accelerator cuda gpu fabric.accelerator fabric.devices devices use_cuda"
    ),
}
"""The same for the command that evaluates: its key, or advice (after a semicolon), and other spellings."""
COMPLETION = {"--shell-completion", "-sc"}


def find_modules_here() -> None:
    """Let modules in the current folder be imported, as `python -m` does and a console script does not.

    Processes that are started from this one, also by joblib, take its sys.path over.
    """
    here = os.getcwd()
    if not sys.flags.safe_path and not {"", here} & set(sys.path):
        sys.path.insert(0, here)


def named_plugins(arguments: Sequence[str]) -> list[str]:
    """Return the modules that `plugins=[a,b]` or `plugins=a` names."""
    text = next((word.partition("=")[2] for word in arguments if word.lstrip("+").startswith("plugins=")), "")
    return [name.strip(" '\"") for name in text.strip("[]").split(",") if name.strip(" '\"")]


def asks_version(arguments: Sequence[str]) -> bool:
    """Print the version if that is what the arguments ask for; return whether they did."""
    asked = bool({"--version", "-V"} & set(arguments))
    if asked:
        print(f"rlexp {__version__}")
    return asked


def read(arguments: Sequence[str]) -> list[str]:
    """Return the arguments of the training command as Hydra takes them.

    Raises:
        ConfigError: some are not ours; the line holds what to write instead of each.
    """
    if COMPLETION & set(arguments):
        return list(arguments)
    words = _with_environment(translated(arguments, training(), SWITCHES, OPTIONS))
    words = _of_swept_algorithms(_named_by_backend(_with_loggers(words)))
    words = [f"plugins=[{word[8:]}]" if re.match(r"plugins=[^\[]", word) else word for word in words]
    check_arguments(words)
    searching = [
        word for word in words if word.startswith(("search=", "hydra/sweeper=")) and not word.endswith("=null")
    ]
    if searching and not {"-m", "--multirun"} & set(words):
        raise ConfigError(f"{searching[0]} is for several runs; add --multirun")
    return words


def read_evaluation(arguments: Sequence[str], keys: Mapping[str, bool]) -> list[str]:
    """Return the arguments of the command that evaluates.

    Args:
        arguments: of the command line.
        keys: what it takes, and whether each is a switch.

    Raises:
        ConfigError: some are not ours; the line holds what to write instead of each.
    """
    answers: dict[str, Answer] = {"stochastic": lambda value, given: "deterministic=false"}
    for found, spellings in EVALUATION.items():
        answers |= dict.fromkeys(spellings.split(), found)
    paths = [
        word for word in arguments if word.endswith((SUFFIX, ".ckpt")) and "=" not in word and not word.startswith("-")
    ]
    if len(arguments) == len(paths) == 1:
        raise ConfigError(f"{paths[0]}: write {written('checkpoint', paths[0])}")
    return translated(arguments, Vocabulary(keys, {}, answers))


@functools.cache
def training() -> Vocabulary:
    """Return the vocabulary of the training command."""
    keys = dict.fromkeys(known_keys(), False)
    for algorithm in ALGORITHMS.values():
        keys |= {key: isinstance(value, bool) for key, value, _ in fields_of(Config(algo=algorithm()))}
    keys["compile"] = True
    groups = {group: tuple(names) for group, names in choices().items()}
    answers: dict[str, Answer] = {}
    for key, spellings in (RENAMED | RENAMED_REPLAY).items():
        answers |= dict.fromkeys(spellings.split(), key)
    for text, spellings in ADVICE.items():
        answers |= dict.fromkeys(spellings.split(), f"; {text}")
    for name, spellings in CONVERTED.items():
        answers |= dict.fromkeys(spellings.split(), CONVERSIONS[name])
    return Vocabulary(keys, groups, answers)


def _with_environment(words: list[str]) -> list[str]:
    """Return words with env=ID as Hydra takes it: env=gym env.id=ID.

    Raises:
        ConfigError: env.id is given as well, or ids and choices are mixed.
    """
    choices = training().groups["env"]
    for place, word in enumerate(words):
        key, _, text = word.lstrip("+").partition("=")
        values = [value.strip("'\" ") for value in text.split(",")]
        ids = [value for value in values if value not in choices and _is_environment(value)]
        if key != "env" or not ids:
            continue
        other = next((one for one in words if one.lstrip("+").startswith("env.id=")), None)
        if other is not None:
            raise ConfigError(f"{word} and {other} name two environments; give one of them")
        if len(ids) < len(values):
            raise ConfigError(f"{word} mixes ids with choices of conf/env; write env.id=ID,ID with ids alone")
        return [*words[:place], "env=gym", f"env.id={text}", *words[place + 1 :]]
    return words


def _with_loggers(words: list[str]) -> list[str]:
    """Return words with the paths and the plugins' names in logger= as Hydra takes them: in logger.own.

    Raises:
        ConfigError: logger.own is given as well.
    """
    for place, word in enumerate(words):
        key, _, text = word.lstrip("+").partition("=")
        names = [name.strip("'\" ") for name in text.strip("[] ").split(",")]
        own = [name for name in names if plugins.is_path(name) or name in plugins.names("logger")]
        if key != "logger" or not own:
            continue
        other = next((one for one in words if one.lstrip("+").startswith("logger.own=")), None)
        if other is not None:
            raise ConfigError(f"{word} and {other} both name loggers of your own; name all of them in one of the two")
        rest = ",".join(name for name in names if name not in own) or "csv"
        return [*words[:place], f"logger=[{rest}]", f"logger.own=[{','.join(own)}]", *words[place + 1 :]]
    return words


def _named_by_backend(words: list[str]) -> list[str]:
    """Return words in which an environment of `env.backend=package.module:function` is called by that function."""
    keys = {word.lstrip("+").partition("=")[0]: word.partition("=")[2] for word in words}
    path = keys.get("env.backend", "")
    if not plugins.is_path(path) or {"env", "env.id", "resume", "experiment"} & keys.keys():
        return words
    return [*words, "env=gym", f"env.id={path.replace(':', '-')}"]


def _of_swept_algorithms(words: list[str]) -> list[str]:
    """Return words in which settings of algorithms go to the jobs alone where the algorithm is swept over.

    Hydra composes once before the jobs, with the default algorithm, which need not have them. A setting that is "swept"
    over a single value is left out there.
    """
    several = any(re.match(r"(algo|experiment)=[^\[{]*,", word) for word in words)
    if not several or not {"--multirun", "-m"} & set(words):
        return words

    def swept(word: str) -> str:
        key, _, value = word.partition("=")
        single = key.startswith("algo.") and value and (re.match(r"[\[{'\"]", value) or "," not in value)
        if not single or re.match(r"\w+\(", value):
            return word
        return f"{key}=choice({value})"

    return [swept(word) for word in words]


def _is_environment(value: str) -> bool:
    """Return whether a value of env= is an id of gymnasium, or looks like one."""
    if re.search(r"-v\d+$|[:/]", value):
        return True
    if not re.fullmatch(r"[\w-]+", value):
        return False
    from rlexp.envs.packages import is_name  # gymnasium, which only an id needs

    return is_name(value)
