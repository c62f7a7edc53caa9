"""From what Hydra and OmegaConf raise to one line: what was given, what is allowed, what to write."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any, get_type_hints

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep
from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException, OverrideParseException
from omegaconf.errors import ConfigKeyError, InterpolationToMissingValueError, OmegaConfBaseException

from rlexp.algos import ALGORITHMS
from rlexp.config.hydra_plugins import missing, near_group, needed
from rlexp.config.places import choices
from rlexp.config.schema import Config
from rlexp.errors import ConfigError, printable
from rlexp.settings import fields_of

MOST_NEAR, LEAST_NEAR = 3, 0.75
"""Near keys in one answer, and the least similarity of their last parts (difflib's ratio)."""
MOST_DIGITS, MOST_BRACKETS = 400, 200
"""Of one number, and of brackets in one argument."""


def check_arguments(arguments: list[str]) -> None:
    """Check that Hydra can read arguments; what it cannot, it would answer with a traceback.

    Raises:
        ConfigError: one is beyond what anybody means.
    """
    for argument in arguments:
        if re.search(rf"\d{{{MOST_DIGITS}}}", argument) or sum(map(argument.count, "[{(")) > MOST_BRACKETS:
            raise ConfigError(f"cannot read the override {argument[:40]!r}...: it is too long or too deep")
        _check_choice(argument)


def _check_choice(argument: str) -> None:
    """Check that what is chosen in a group is a name: of null or 3 Hydra says nothing that helps."""
    group = argument.lstrip("+").partition("=")[0].partition("@")[0]
    groups = choices()
    if "=" not in argument or argument.startswith("-") or not (group in groups or group.startswith("hydra/")):
        return
    try:
        (override,) = OverridesParser.create().parse_overrides([argument])
    except OverrideParseException:
        return  # which Hydra tells
    value = override.value()
    values = value.list if isinstance(value, ChoiceSweep) else [value]
    if any(one is None or isinstance(one, bool | int | float | dict) for one in values):
        allowed = groups.get(group, ["a name"])
        raise ConfigError(f"{argument} is not a choice; allowed: {', '.join(allowed)}")


def explain(error: Exception) -> str:
    """Return an error of composition as one readable line."""
    return printable(_explained(error))


def _explained(error: Exception) -> str:
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, MissingConfigException):
            return _choice(cause)
        if isinstance(cause, OverrideParseException):
            return f"cannot read the override {cause.override!r}: write key=value, group=choice or --multirun key=a,b"
        if isinstance(cause, InterpolationToMissingValueError):
            key = str(cause).partition("Missing mandatory value: ")[2].split()[0]
            return f"{key} has no value; give it as {key}=VALUE"
        if isinstance(cause, ConfigKeyError | AttributeError) and getattr(cause, "full_key", None):
            return unknown_key(str(cause.full_key))  # type: ignore[union-attr]  # just looked for
        if isinstance(cause, OmegaConfBaseException) and cause.full_key:
            reason = str(cause).split("\n")[0].rstrip(".")
            if "is not a ListConfig" in reason:
                return (
                    f"{cause.full_key}: its type is {_type_name(cause.full_key)}; write it in brackets, such as "
                    f"{cause.full_key}=[A,B]"
                )
            type_name = _type_name(cause.full_key)
            return f"{cause.full_key}: {reason}" + (f"; its type is {type_name}" if type_name else "")
    text = " ".join(str(error).split())
    group = re.match(r"Could not (?:override|delete)(?: from config.)? '([\w./]+)(@[\w.:]*)?'", text)
    if group is not None:
        name = group.group(1)
        return f"{name} takes no package; write {name}=CHOICE" if group.group(2) else unknown_key(name)
    if isinstance(error, ConfigCompositionException) and text.startswith("Ambiguous value"):
        value = re.search(r"'(.*?)'", text)
        given = value.group(1) if value else "an override"
        return f"{given} names several values; add --multirun to run each of them, or write key=[a,b] for a list"
    return text


def unknown_key(key: str) -> str:
    """Return one line on a key that does not exist, with the nearest that do."""
    known = known_keys()
    if key in known:  # so the algorithm that was chosen has no such key, but another has
        name = key.removeprefix("algo.")
        owners = [algo for algo, settings in ALGORITHMS.items() if name in {field.name for field in fields(settings)}]
        return f"{key} is a key of {' and '.join(f'algo={owner}' for owner in owners)}, not of the chosen algorithm"
    if key.startswith("env.kwargs."):
        return f"{key} is new; write +{key}=VALUE to hand a keyword argument to the environment"
    if key.startswith("hydra/") and near_group(key):
        return f"unknown group {key}; did you mean {near_group(key)}?"
    if key.startswith("hydra."):
        return needed(key) or f"unknown key {key}; {_near_in_hydra(key)}"
    near = near_keys(key)
    hint = f"did you mean {' or '.join(near)}?" if near else "--cfg job lists the keys"
    return f"unknown key {key}; {hint}"


def near_keys(key: str) -> list[str]:
    """Return up to three keys or groups that a mistyped one may stand for, the likeliest first.

    Their last parts must be near too: algo.lr is near to algo.anneal_lr as a whole, and means something else.
    """
    known = [*known_keys(), *choices()]
    leaf = key.rpartition(".")[2]
    found = difflib.get_close_matches(key, known, n=MOST_NEAR, cutoff=0.6)
    found = [one for one in found if _ratio(one.rpartition(".")[2], leaf) >= LEAST_NEAR]
    best = [one for one in found if _ratio(one, key) >= 0.9]
    alike = [one for one in known if one.rpartition(".")[2] == leaf]
    return best[:1] or found or alike[:MOST_NEAR]


def _near_in_hydra(key: str) -> str:
    """Return a hint on a key of Hydra's own that does not exist."""
    from hydra.conf import HydraConf  # not at the start: seldom needed, and slow to import
    from omegaconf import DictConfig, OmegaConf

    def keys(node: Any, prefix: str) -> Iterator[str]:
        for name in node:
            yield f"{prefix}{name}"
            if not OmegaConf.is_missing(node, name) and isinstance(node._get_node(name), DictConfig):
                yield from keys(node._get_node(name) or (), f"{prefix}{name}.")

    near = difflib.get_close_matches(key, list(keys(OmegaConf.structured(HydraConf), "hydra.")), n=2, cutoff=0.75)
    return f"did you mean {' or '.join(near)}?" if near else "--cfg hydra lists Hydra's keys"


def _ratio(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one, other).ratio()


def known_keys() -> list[str]:
    """Return every key of the schema, of all algorithms."""
    keys = []
    for algorithm in ALGORITHMS.values():
        keys += [key for key, _, _ in fields_of(Config(algo=algorithm()))]
    return sorted(set(keys))


def surplus_keys(config: Any, values: Any, prefix: str = "") -> Iterator[str]:
    """Yield the keys of the mapping `values` for which the dataclass instance `config` has no field."""
    names = {field.name for field in fields(config)}
    for name in values:
        if name not in names:
            yield f"{prefix}{name}"
        elif is_dataclass(getattr(config, name)):
            yield from surplus_keys(getattr(config, name), values[name], f"{prefix}{name}.")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and what caused it, the nearest first, without Hydra's wrapping."""
    seen = []
    while error is not None and error not in seen:
        seen.append(error)
        error = error.__cause__ or error.__context__
    known = [item for item in seen if isinstance(item, HydraException | OmegaConfBaseException)]
    yield from (item for item in known if type(item) is not ConfigCompositionException)


def _choice(error: MissingConfigException) -> str:
    """Return one line on a group choice that does not exist."""
    group, _, choice = str(error.missing_cfg_file).rpartition("/")
    options = [option for option in error.options or [] if not option.endswith("_schema")]
    if not group or not options:
        return unknown_key(str(error.missing_cfg_file))
    plugin = missing(group, choice, options)
    if plugin is not None:
        return plugin
    near = difflib.get_close_matches(choice.lower(), options, n=1, cutoff=0.75)
    if near:
        return f"{group}={choice} is not a choice; did you mean {group}={near[0]}? allowed: {', '.join(options)}"
    return f"{group}={choice} is not a choice; allowed: {', '.join(options)}"


def _type_name(key: str) -> str | None:
    """Return the declared type of a key, as a person writes it; None for a key that is not of the schema."""
    node: Any = Config
    for name in key.split("."):
        declared = {field.name: field.type for field in fields(node)} if is_dataclass(node) else {}
        if name not in declared:
            return None
        hint = ALGORITHMS["ppo"] if name == "algo" else get_type_hints(node)[name]
        if not is_dataclass(hint):
            return str(declared[name]).replace(" | None", ", or null")
        node = hint
    return "a group"
