"""From the spellings of other libraries to ours: which words of a command line are not ours, and what to write."""

from __future__ import annotations

import itertools
import re
from collections import deque
from collections.abc import Mapping, Sequence

from rlexp.command.values import CONVERSIONS, VALUES
from rlexp.command.words import (
    NODES,
    Vocabulary,
    _as_whole,
    _boolean,
    _is_foreign,
    _is_switch,
    _is_value,
    _no_option,
    _normal,
    _whole_numbers,
    answer_of,
    find_key,
    number_of,
    written,
)
from rlexp.errors import ConfigError

SWITCHES = ("--help", "-h", "--hydra-help", "--resolve", "--run", "-r", "--multirun", "-m")
OPTIONS = (
    "--cfg", "-c", "--package", "-p", "--config-path", "-cp", "--config-name", "-cn", "--config-dir", "-cd",
    "--experimental-rerun", "--info", "-i",
)  # fmt: skip
"""Hydra's own, without and with a value; that of --info may be left out."""
INFO = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")
GROUPED = ("hyperparams", "params")
"""Options of rl-baselines3-zoo that take several key:value."""


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
        found = find_key(_normal(name), vocabulary)
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
        return answer_of(word, VALUES[key][1](value, given))
    if key in vocabulary.groups:
        choices = vocabulary.groups[key]
        if value not in choices and value.lower() in choices:
            return f"{word}: write {key}={value.lower()}"
        if key == "algo" and value.lower().removesuffix("_decoupled") in choices and value not in choices:
            return answer_of(word, CONVERSIONS["algorithm"](value, given))
        return None
    if key in vocabulary.keys:
        return number_of(word, key, value)
    if key.startswith(("hydra/", "env.kwargs.")) or "@" in key:
        return None
    return _answered(word, _normal(key), value, vocabulary, given, known=key in NODES)


def _swept(word: str, key: str, values: Sequence[str], vocabulary: Vocabulary, given: Mapping[str, str]) -> str | None:
    """Return the answer to one of our keys with the values of a sweep; None where it is ours."""
    if key == "total_timesteps" and re.fullmatch(r"\d{1,3}(,000)+", ",".join(values)):
        return number_of(word, key, ",".join(values))
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
    if name not in vocabulary.keys and name not in vocabulary.groups and find_key(name, vocabulary) is None:
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
    found = find_key(negated or name, vocabulary, exact=known)
    if found is None:
        return None
    if callable(found):
        return answer_of(shown, found("false" if negated else value, given))
    if found.startswith(";"):
        return f"{shown}{found.replace(';', ':', 1)}"
    if found in ("env", "env.id"):
        found = "env" if value in vocabulary.groups.get("env", ()) else "env.id"
    if negated:
        value = "false"
    elif vocabulary.keys.get(found) and (value == "" or _boolean(value)):
        value = "false" if value.lower() in ("0", "false", "no", "off") else "true"
    if _is_foreign(found, value):
        return answer_of(shown, VALUES[found][1](value, given))
    if found in _whole_numbers():
        value = ",".join(_as_whole(one) or one for one in value.split(","))
    return f"{shown}: write {written(found, value)}"
