"""From the spellings of other libraries to ours: which words of a command line are not ours, and what to write."""

from __future__ import annotations

import functools
import itertools
import re
import shlex
from collections import deque
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rlexp.algos import ALGORITHMS
from rlexp.command.conversions import CONVERSIONS, VALUES, Conversion
from rlexp.command.synonyms import PREFIXES
from rlexp.config.explain import near_keys
from rlexp.config.schema import Config
from rlexp.errors import ConfigError
from rlexp.settings import fields_of

Answer = str | Conversion
"""One of our keys, a conversion of the value, or advice, which begins with a semicolon."""
SWITCHES = ("--help", "-h", "--hydra-help", "--resolve", "--run", "-r", "--multirun", "-m")
OPTIONS = (
    "--cfg", "-c", "--package", "-p", "--config-path", "-cp", "--config-name", "-cn", "--config-dir", "-cd",
    "--experimental-rerun", "--info", "-i",
)  # fmt: skip
"""Hydra's own, without and with a value; that of --info may be left out."""
INFO = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")
GROUPED = ("hyperparams", "params")
"""Options of rl-baselines3-zoo that take several key:value."""
GENERIC = {"id", "name", "every", "keep", "episodes", "check", "kwargs", "backend", "stop_at", "overlap", "infos"}
"""Last parts of our keys that mean something only with what stands before them."""
NODES = {"env", "algo", "topology", "fabric", "checkpoint", "eval", "sweep", "hydra"}


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


def translated(
    arguments: Sequence[str], vocabulary: Vocabulary, switches: Sequence[str] = (), options: Sequence[str] = ()
) -> list[str]:
    """Return arguments as they are if they are ours.

    Args:
        arguments: of the command line.
        vocabulary: of the command.
        switches: options that it takes without a value.
        options: options that it takes with one.

    Raises:
        ConfigError: some are not ours; the line holds what to write instead of each.
    """
    given = _given(arguments, vocabulary)
    kept: list[str] = []
    answers: list[str] = []
    queue = deque(arguments)
    while queue:
        word = queue.popleft()
        answer = None
        if word in switches:
            pass
        elif word == "-i" in options and queue and _is_value(queue[0]) and queue[0] not in INFO:
            answer = f"-i {queue[0]}: write {written('resume', queue.popleft())}"  # rl-baselines3-zoo's
        elif word.partition("=")[0] in options:
            takes = "=" not in word and bool(queue) and (word not in ("--info", "-i") or queue[0] in INFO)
            kept += [word, queue.popleft()] if takes else [word]
            continue
        elif re.match(r"--?[A-Za-z]", word):
            answer = _option(word, queue, vocabulary, given)
        elif word.startswith("~"):
            answer = _deletion(word.lstrip("~").partition("=")[0], vocabulary)
        elif "=" in word:
            answer = _pair(word, vocabulary, given)
        elif re.fullmatch(r"[\w./:-]+", word):
            answer = _bare(word, queue, vocabulary, given)
        if answer is None:
            kept.append(word)
        else:
            answers.append(answer)
    if answers:
        raise ConfigError("; ".join(answers))
    return kept


def _given(arguments: Sequence[str], vocabulary: Vocabulary) -> dict[str, str]:
    """Return what is given for each of our keys, by whatever spelling."""
    given = {}
    for word, following in itertools.pairwise([*arguments, ""]):
        name, equals, value = word.lstrip("+-").partition("=")
        found = _found(_normal(name), vocabulary)
        if isinstance(found, str) and (equals or word.startswith("-")):
            given[found] = value if equals else following
    return given


def _deletion(key: str, vocabulary: Vocabulary) -> str | None:
    """Return the answer to ~key; None where Hydra may see to it."""
    if key in vocabulary.keys or (key in vocabulary.groups and key != "experiment"):
        return f"~{key}: {key} cannot be taken out; leave it out for its default, or write {key}=VALUE"
    return None


def _option(word: str, queue: deque[str], vocabulary: Vocabulary, given: Mapping[str, str]) -> str:
    """Return the answer to a word that begins with a dash; its value is taken from the queue."""
    name, equals, value = word.lstrip("-").partition("=")
    name = _normal(name)
    if name in GROUPED:
        pairs = [queue.popleft() for _ in range(len(queue)) if ":" in queue[0]]
        answers = [_pair(pair.replace(":", "=", 1), vocabulary, given) or f"write {pair.replace(':', '=', 1)}"
                   for pair in pairs]  # fmt: skip
        return f"{word}: " + ", ".join(answers or ["write each as key=value"])
    if not equals and queue and _is_value(queue[0]) and not (_is_switch(name, vocabulary) and not _boolean(queue[0])):
        value = queue.popleft()
        while name.endswith("env_kwargs") and queue and ":" in queue[0] and _is_value(queue[0]):
            value += f" {queue.popleft()}"
        word = f"{word} {value}"
    if f"--{name.replace('_', '-')}" in (*SWITCHES, *OPTIONS):
        return f"{word}: write --{name.replace('_', '-')} {value}".rstrip()
    return _answered(word, name, value, vocabulary, given) or _no_option(word, name, vocabulary)


def _pair(word: str, vocabulary: Vocabulary, given: Mapping[str, str]) -> str | None:
    """Return the answer to key=value; None where it is ours, or nothing is known of it."""
    key, _, value = word.lstrip("+").partition("=")
    if "," in value and value[0] not in "[{(" and (key in vocabulary.groups or key in vocabulary.keys):
        return _swept(word, key, value.split(","), vocabulary, given)
    if _is_foreign(key, value) and value not in vocabulary.groups.get(key, ()):
        return _told(word, VALUES[key][1](value, given))
    if key in vocabulary.groups:
        choices = vocabulary.groups[key]
        if value not in choices and value.lower() in choices:
            return f"{word}: write {key}={value.lower()}"
        if key == "algo" and value.lower().removesuffix("_decoupled") in choices and value not in choices:
            return _told(word, CONVERSIONS["algorithm"](value, given))
        return None
    if key in vocabulary.keys:
        return _number(word, key, value)
    if key.startswith(("hydra/", "env.kwargs.")) or "@" in key:
        return None
    return _answered(word, _normal(key), value, vocabulary, given, known=key in NODES)


def _swept(word: str, key: str, values: Sequence[str], vocabulary: Vocabulary, given: Mapping[str, str]) -> str | None:
    """Return the answer to one of our keys with the values of a sweep; None where it is ours."""
    if key == "total_timesteps" and re.fullmatch(r"\d{1,3}(,000)+", ",".join(values)):
        return _number(word, key, ",".join(values))
    answers = [_pair(f"{key}={value}", vocabulary, given) for value in values]
    if not any(answers):
        return None
    written = [(answer or f": write {key}={value}").partition(f": write {key}=")[2]
               for answer, value in zip(answers, values, strict=True)]  # fmt: skip
    if all(written) and not any(" " in one for one in written):
        return f"{word}: write {key}={','.join(written)}"
    return "; ".join(filter(None, answers))


def _bare(word: str, queue: deque[str], vocabulary: Vocabulary, given: Mapping[str, str]) -> str | None:
    """Return the answer to a word without a value, such as a choice, an id, or `seed` before `3`."""
    for group, choices in vocabulary.groups.items():
        if word in choices and group != "experiment":
            return f"{word}: write {group}={word}"
    if vocabulary.groups and re.fullmatch(r"([\w-]+/)?[\w-]+-v\d+", word):
        return f"{word}: write env.id={word}"
    name = _normal(word)
    if name not in vocabulary.keys and name not in vocabulary.groups and _found(name, vocabulary) is None:
        return None
    if queue and _is_value(queue[0]):
        value = queue.popleft()
        return _answered(f"{word} {value}", name, value, vocabulary, given)
    if name in vocabulary.keys or name in vocabulary.groups:
        return f"cannot read the override {word!r}: write {name}=VALUE"
    return _answered(word, name, "", vocabulary, given)


def _answered(
    shown: str, name: str, value: str, vocabulary: Vocabulary, given: Mapping[str, str], known: bool = False
) -> str | None:
    """Return the answer to a name and a value; None where nothing is known of the name."""
    negated = name.removeprefix("no_") if name.startswith("no_") and name not in vocabulary.answers else ""
    found = _found(negated or name, vocabulary, exact=known)
    if found is None:
        return None
    if callable(found):
        return _told(shown, found("false" if negated else value, given))
    if found.startswith(";"):
        return f"{shown}{found.replace(';', ':', 1)}"
    if found in ("env", "env.id"):
        found = "env" if value in vocabulary.groups.get("env", ()) else "env.id"
    if negated:
        value = "false"
    elif vocabulary.keys.get(found) and (value == "" or _boolean(value)):
        value = "false" if value.lower() in ("0", "false", "no", "off") else "true"
    if _is_foreign(found, value):
        return _told(shown, VALUES[found][1](value, given))
    if found in _whole_numbers():
        value = ",".join(_as_whole(one) or one for one in value.split(","))
    return f"{shown}: write {written(found, value)}"


def _found(name: str, vocabulary: Vocabulary, exact: bool = False) -> Answer | None:
    """Return what a spelling stands for, first parts that mean nothing apart; None: nothing that is known."""
    if name in vocabulary.answers:
        return vocabulary.answers[name]
    if name in vocabulary.keys or name in vocabulary.groups:
        return name
    head, _, rest = name.partition(".")
    if exact or (rest and head not in PREFIXES):
        return None
    if rest:
        return _found(rest, vocabulary)
    leaves = [key for key in vocabulary.keys if key.rpartition(".")[2] == name and name not in GENERIC]
    return leaves[0] if len(leaves) == 1 else None


def _number(word: str, key: str, value: str) -> str | None:
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
    found = _found(name.removeprefix("no_"), vocabulary)
    return isinstance(found, str) and bool(vocabulary.keys.get(found))


def _normal(name: str) -> str:
    return name.lstrip("+").lower().replace("-", "_")


def _is_foreign(key: str, value: str) -> bool:
    """Return whether one of our keys is given a value that it takes in other libraries only."""
    return key in VALUES and (value.lower() in VALUES[key][0] or (key == "fabric.devices" and value.startswith("[")))


def _told(word: str, text: str) -> str:
    """Return the answer to a word: advice (which begins with a semicolon), or the words to write."""
    return f"{word}{text.replace(';', ':', 1)}" if text.startswith(";") else f"{word}: write {text}"
