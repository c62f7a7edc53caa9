"""One word of a command line: what it stands for in our keys, and how it is written."""

from __future__ import annotations

import functools
import re
import shlex
from collections.abc import Mapping
from typing import NamedTuple

from rlexp.algos import ALGORITHMS
from rlexp.command.conversions import Conversion
from rlexp.command.synonyms import PREFIXES
from rlexp.command.values import VALUES
from rlexp.config.explain import near_keys
from rlexp.config.schema import Config
from rlexp.settings import fields_of


def find_key(name: str, vocabulary: Vocabulary, exact: bool = False) -> Answer | None:
    """Return what a spelling stands for, without first parts that mean nothing; None: nothing that is known."""
    if name in vocabulary.answers:
        return vocabulary.answers[name]
    if name in vocabulary.keys or name in vocabulary.groups:
        return name
    head, _, rest = name.partition(".")
    if exact or (rest and head not in PREFIXES):
        return None
    if rest:
        return find_key(rest, vocabulary)
    leaves = [key for key in vocabulary.keys if key.rpartition(".")[2] == name and name not in GENERIC]
    return leaves[0] if len(leaves) == 1 else None


def number_of(word: str, key: str, value: str) -> str | None:
    """Return the answer to a whole number that YAML takes for something else."""
    if key not in _whole_numbers():
        return None
    number = _as_whole(value)
    if number is None and key == "total_timesteps" and re.fullmatch(r"\d{1,3}(,000)+", value):
        number = value.replace(",", "")
    return None if number is None else f"{word}: write {key}={number}"


def _as_whole(value: str) -> str | None:
    """Return the digits of a whole number written as 1e6, 100k or 1.5M; None: it is none."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(?:[eE]\+?(\d{1,2})|([kKmM]))", value)
    if match is None:
        return None
    number = float(match[1]) * 10.0 ** (int(match[2]) if match[2] else {"k": 3, "m": 6}[match[3].lower()])
    return f"{number:.0f}" if number == int(number) else None


@functools.cache
def _whole_numbers() -> frozenset[str]:
    """Return the keys that hold whole numbers."""
    keys = {"env.max_episode_steps", "algo.per_rank_batch_size", "env.threads"}
    for algorithm in ALGORITHMS.values():
        keys |= {key for key, value, _ in fields_of(Config(algo=algorithm())) if type(value) is int}
    return frozenset(keys)


def written(key: str, value: str) -> str:
    """Return key=value as Hydra reads it, quoted for a shell where that is needed."""
    if not value:
        return f"{key}={'RUN_DIRECTORY' if key == 'resume' else 'VALUE'}"
    if not re.fullmatch(r"[\w./:+%@*|,-]+|\[.*\]|\{.*\}|'.*'|\".*\"", value):
        value = "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    word = f"{key}={value}"
    return f'"{word}"' if "'" in word and not re.search(r'["$`\\!]', word) else shlex.quote(word)


def _no_option(word: str, name: str, vocabulary: Vocabulary) -> str:
    near = near_keys(name) if vocabulary.groups else []
    keys = "--cfg job lists the keys" if vocabulary.groups else f"keys: {', '.join(vocabulary.keys)}"
    hint = f"did you mean {' or '.join(near)}?" if near else keys
    return f"{word}: there is no such option; write key=value without dashes ({hint})"


def _is_value(word: str) -> bool:
    return "=" not in word and (not word.startswith("-") or re.fullmatch(r"-\d[\d.e-]*", word) is not None)


def _boolean(word: str) -> bool:
    return word.lower() in ("true", "false", "0", "1", "yes", "no", "on", "off")


def _is_switch(name: str, vocabulary: Vocabulary) -> bool:
    found = find_key(name.removeprefix("no_"), vocabulary)
    return isinstance(found, str) and bool(vocabulary.keys.get(found))


def _normal(name: str) -> str:
    return name.lstrip("+").lower().replace("-", "_")


def _is_foreign(key: str, value: str) -> bool:
    """Return whether one of our keys is given a value that it takes in other libraries only."""
    return key in VALUES and (value.lower() in VALUES[key][0] or (key == "fabric.devices" and value.startswith("[")))


def answer_of(word: str, text: str) -> str:
    """Return the answer to a word: advice (which begins with a semicolon), or the words to write."""
    return f"{word}{text.replace(';', ':', 1)}" if text.startswith(";") else f"{word}: write {text}"


class Vocabulary(NamedTuple):
    """What one command takes.

    Attributes:
        keys: its keys, and whether each is a switch (true or false).
        groups: its groups, with their choices.
        answers: a spelling of others, and our key, a conversion, or advice (which begins with a semicolon).
    """

    keys: Mapping[str, bool]
    groups: Mapping[str, tuple[str, ...]]
    answers: Mapping[str, Answer]


Answer = str | Conversion
"""One of our keys, a conversion of the value, or advice, which begins with a semicolon."""

GENERIC = {"id", "name", "every", "keep", "episodes", "check", "kwargs", "backend", "stop_at", "overlap", "infos"}
"""Last parts of our keys that mean something only with what stands before them."""

NODES = {"env", "algo", "topology", "fabric", "checkpoint", "eval", "sweep", "hydra"}
