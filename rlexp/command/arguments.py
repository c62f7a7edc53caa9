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

from rlexp import __version__
from rlexp.algos import ALGORITHMS
from rlexp.command.conversions import CONVERSIONS
from rlexp.command.spelling import OPTIONS, SWITCHES, Answer, Vocabulary, translated, written
from rlexp.command.synonyms import ADVICE, CONVERTED, EVALUATION, RENAMED
from rlexp.config.explain import check_arguments, known_keys
from rlexp.config.places import conf_dir
from rlexp.config.schema import Config
from rlexp.errors import ConfigError
from rlexp.settings import fields_of

COMPLETION = {"--shell-completion", "-sc"}


def find_modules_here() -> None:
    """Let modules in the current folder be imported, as `python -m` does and a console script does not.

    Processes that are started from this one, also by joblib, take its sys.path over.
    """
    here = os.getcwd()
    if not sys.flags.safe_path and not {"", here} & set(sys.path):
        sys.path.insert(0, here)


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
    check_arguments(words)
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
    paths = [word for word in arguments if word.endswith(".ckpt") and "=" not in word and not word.startswith("-")]
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
    groups = {
        folder.name: tuple(sorted(file.stem for file in folder.glob("*.yaml")))
        for folder in conf_dir().iterdir()
        if folder.is_dir()
    }
    answers: dict[str, Answer] = {}
    for key, spellings in RENAMED.items():
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


def _is_environment(value: str) -> bool:
    """Return whether a value of env= is an id of gymnasium, or looks like one."""
    if re.search(r"-v\d+$|[:/]", value):
        return True
    if not re.fullmatch(r"[\w-]+", value):
        return False
    from rlexp.envs.packages import is_name

    return is_name(value)
