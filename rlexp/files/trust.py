"""What is believed of a checkpoint, or a run directory, that may come from a stranger."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlexp import plugins
from rlexp.config.code import code_of
from rlexp.config.compose import from_plain
from rlexp.config.schema import Config
from rlexp.errors import ConfigError

if TYPE_CHECKING:  # this module is imported by a command before torch is
    from torch import Tensor

    from rlexp.data.state import RankState, Saved

MOST_VALUES, DEEPEST, LONGEST_TEXT = 10_000, 12, 4_096
"""Bounds of a config: keys and values, nesting, characters of a text."""
MARKED = re.compile(r"_.*_")
"""Keys that mean something to Hydra: _target_, _args_ and the like."""


def stored_config(
    state: Saved, path: Path, env_id: str | None = None, key: str = "env_id", named: Sequence[str] = ()
) -> Config:
    """Return the checked config of a checkpoint.

    Args:
        state: the checkpoint.
        path: where it lies, for messages.
        env_id: the environment that the user named, if any. An id of the form module:Id imports that module, so it is
            taken from a file only where the user names it too, or has imported the module already.
        key: the word of the command line that names it.
        named: modules and paths of code that the user named.

    Raises:
        ConfigError: the config is no plain one, does not follow the schema, or would run code.
    """
    if not state.algo.isidentifier():
        raise ConfigError(f"checkpoint={path} holds no experiment")
    try:
        _check_values(state.config, DEEPEST, [MOST_VALUES])
    except _Refused as error:
        raise ConfigError(f"checkpoint={path} is refused: in its config, {error}") from None
    try:
        config = from_plain(state.config, state.algo)
    except ConfigError as error:
        raise ConfigError(f"checkpoint={path}: {error}") from None
    check_module(config.env.id, path, env_id, key)
    for code in code_of(config):
        if not plugins.trusted(code.path, named, code.function):
            module = code.path.partition(":")[0]
            raise ConfigError(
                f"checkpoint={path} wants to import the module {module} for its {code.key}; if you trust it, "
                f"add plugins=[{module}]"
            )
    return config


class _Refused(Exception):
    """A value is none of a config; str() says why."""


def _check_values(value: Any, depth: int, left: list[int]) -> None:
    """Check nested containers of plain values; `left` is how many there may be yet."""
    left[0] -= 1
    if depth < 0 or left[0] < 0:
        raise _Refused("containers are nested too deeply or hold too much")
    if isinstance(value, dict):
        for item in (*value.keys(), *value.values()):
            _check_values(item, depth - 1, left)
    elif isinstance(value, list | tuple):
        for item in value:
            _check_values(item, depth - 1, left)
    else:
        _check_value(value)


def _check_value(value: Any) -> None:
    if isinstance(value, str):
        if "${" in value:
            raise _Refused("there is an interpolation, ${...}")
        if MARKED.fullmatch(value):
            raise _Refused(f"there is {value[:40]}, which Hydra would act on")
        if not value.isprintable() or len(value) > LONGEST_TEXT:
            raise _Refused("there is a text that cannot be printed on one line")
    elif isinstance(value, int):
        if abs(value) >= 2**63:
            raise _Refused("there is a number of more than 64 bits")
    elif not isinstance(value, float | None):
        raise _Refused(f"there is a {type(value).__name__}")


def check_module(stored: str, path: Path, named: str | None, key: str = "env_id") -> None:
    """Check that an environment id from a file imports no module that the user has not named.

    Raises:
        ConfigError: it would.
    """
    module = stored.rpartition(":")[0]
    if module and module not in sys.modules and stored != named:
        raise ConfigError(
            f"checkpoint={path} wants to import the module {module} for its environment; if you trust it, "
            f"add {key}={stored}"
        )


def check_sizes(config: Config, agent: dict[str, Tensor], path: Path) -> None:
    """Check that the config's layer sizes fit the stored tensors, before a network of these sizes is built.

    Raises:
        ConfigError: they do not.
    """
    largest = max((size for value in agent.values() for size in value.shape), default=0)
    model = config.model
    listed: dict[str, Any] = {
        "algo.hidden_sizes": config.algo.hidden_sizes,
        "model.actor_hidden_sizes": model.actor_hidden_sizes,
        "model.critic_hidden_sizes": model.critic_hidden_sizes,
        "algo.atoms": [getattr(config.algo, "atoms", 1)],
        "model.memory_size": [model.memory_size] if model.memory != "none" else None,
    }
    if not plugins.is_path(model.encoder):  # of somebody's own network nobody knows what its arguments mean
        listed["model.kwargs"] = list(_numbers(model.kwargs))
    for key, sizes in listed.items():
        if sizes and (max(sizes) > largest or len(sizes) > len(agent)):
            shown = f"[{', '.join(map(str, sizes[:4]))}{', ...' if len(sizes) > 4 else ''}]"
            raise ConfigError(f"checkpoint={path}: its tensors do not fit its {key}={shown}")
    if config.env.frame_stack > largest:
        raise ConfigError(f"checkpoint={path}: its tensors do not fit its env.frame_stack={config.env.frame_stack}")


def _numbers(value: Any) -> Iterator[float]:
    """Yield the numbers in nested containers."""
    if isinstance(value, dict | list | tuple):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _numbers(item)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield value


def check_ranks(config: Config, ranks: list[RankState], path: Path) -> None:
    """Check that a checkpoint holds the states of as many ranks and environments as its config asks for.

    Raises:
        ConfigError: it does not.
    """
    if len(ranks) != config.world_size:
        raise ConfigError(f"checkpoint={path} is of {len(ranks)} ranks, but its experiment needs {config.world_size}")
    for index, own in enumerate(ranks):
        plays = index < config.players
        learns = config.topology.name == "coupled" or index > 0
        if (plays and own.player is None) or (learns and own.memory is None):
            raise ConfigError(f"checkpoint={path} does not hold what a run needs to resume: the state of rank {index}")
        if plays and own.player is not None and list(own.player.returns.shape) != [config.env.num_envs]:
            raise ConfigError(f"checkpoint={path} does not hold the states of its env.num_envs={config.env.num_envs}")


def check_tensors(found: dict[str, Tensor], wanted: dict[str, Tensor], path: Path) -> None:
    """Check names, shapes, types and finiteness of tensors.

    Args:
        found: in the file.
        wanted: of the same names, shapes and types as they must be; on any device.
        path: of the file, for messages.

    Raises:
        ConfigError: names the first that differs.
    """
    different = sorted(found.keys() ^ wanted.keys())
    if different:
        has = "has" if different[0] in found else "lacks"
        raise ConfigError(f"checkpoint={path} {has} {different[0][:80]!r}, unlike the policy of its experiment")
    for name, tensor in wanted.items():
        given = found[name]
        if given.shape != tensor.shape or given.dtype != tensor.dtype:
            raise ConfigError(
                f"checkpoint={path}: {name} is {_shown(given)}, but its experiment needs {_shown(tensor)}"
            )
        if not bool(given.isfinite().all()):
            raise ConfigError(f"checkpoint={path}: {name} is not finite")


def _shown(tensor: Tensor) -> str:
    return f"{list(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"


def check_links(folder: Path, run_dir: Path) -> None:
    """Check that a folder of a run, and all in it, lies within the run's directory; it need not be there.

    Raises:
        ConfigError: a link leads out of it.
    """
    inside = [folder]
    for root, folders, files in os.walk(folder):
        inside += [Path(root, name) for name in (*folders, *files)]
        if Path(root) == run_dir and "wandb" in folders:  # wandb links to logs of its own, and writes through none
            folders.remove("wandb")
    base = run_dir.resolve()
    for path in inside:
        if not path.resolve().is_relative_to(base):
            raise ConfigError(f"{path} leads out of the run directory, to {path.resolve()}; remove the link")
