"""What is believed of a checkpoint, or a run directory, that may come from a stranger."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlexp.config.compose import from_plain
from rlexp.config.schema import Config
from rlexp.errors import ConfigError
from rlexp.files.archive import Refused, leaves

if TYPE_CHECKING:
    from torch import Tensor

MOST_VALUES, DEEPEST, LONGEST_TEXT = 10_000, 12, 4_096
"""Bounds of a config: keys and values, nesting, characters of a text."""
MARKED = re.compile(r"_.*_")
"""Keys that mean something to Hydra: _target_, _args_ and the like."""


def stored_config(state: dict[str, Any], path: Path, env_id: str | None = None, key: str = "env_id") -> Config:
    """Return the checked config of a checkpoint.

    Args:
        state: the checkpoint.
        path: where it lies, for messages.
        env_id: the environment that the user named, if any. An id of the form module:Id imports that module, so it is
            taken from a file only where the user names it too, or has imported the module already.
        key: the word of the command line that names it.

    Raises:
        ConfigError: the config is no plain one, does not follow the schema, or would run code.
    """
    values, algo = state.get("config"), state.get("algo")
    if not isinstance(values, dict) or not isinstance(algo, str) or not algo.isidentifier():
        raise ConfigError(f"checkpoint={path} holds no experiment")
    try:
        for value in leaves(values, MOST_VALUES, DEEPEST):
            _check_value(value)
    except Refused as error:
        raise ConfigError(f"checkpoint={path} is refused: in its config, {error}") from None
    try:
        config = from_plain(values, algo)
    except ConfigError as error:
        raise ConfigError(f"checkpoint={path}: {error}") from None
    check_module(config.env.id, path, env_id, key)
    return config


def _check_value(value: Any) -> None:
    if isinstance(value, str):
        if "${" in value:
            raise Refused("there is an interpolation, ${...}")
        if MARKED.fullmatch(value):
            raise Refused(f"there is {value[:40]}, which Hydra would act on")
        if not value.isprintable() or len(value) > LONGEST_TEXT:
            raise Refused("there is a text that cannot be printed on one line")
    elif isinstance(value, int):
        if abs(value) >= 2**63:
            raise Refused("there is a number of more than 64 bits")
    elif not isinstance(value, float | None):
        raise Refused(f"there is a {type(value).__name__}")


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


def check_sizes(config: Config, policy: Any, path: Path) -> None:
    """Check that a config asks for no larger networks and observations than the policy's tensors can be of.

    Raises:
        ConfigError: it does, or the policy is no mapping from names to tensors.
    """
    import torch

    named = isinstance(policy, dict) and all(isinstance(name, str) for name in policy)
    if not named or not all(isinstance(value, torch.Tensor) for value in policy.values()):
        raise ConfigError(f"checkpoint={path} holds no policy")
    largest = max((size for value in policy.values() for size in value.shape), default=0)
    sizes = config.algo.hidden_sizes
    if max(sizes) > largest or len(sizes) > len(policy):
        shown = f"[{', '.join(map(str, sizes[:4]))}{', ...' if len(sizes) > 4 else ''}]"
        raise ConfigError(f"checkpoint={path}: its tensors do not fit its algo.hidden_sizes={shown}")
    if config.env.frame_stack > largest:
        raise ConfigError(f"checkpoint={path}: its tensors do not fit its env.frame_stack={config.env.frame_stack}")


def check_ranks(config: Config, ranks: Any, path: Path) -> None:
    """Check that a config asks for no more ranks and environments than a checkpoint holds the state of.

    Raises:
        ConfigError: it does, or what is there is no state.
    """
    import torch

    if not isinstance(ranks, list) or not all(isinstance(own, dict) for own in ranks):
        raise ConfigError(f"checkpoint={path} does not hold what a run needs to resume: the states of its ranks")
    if len(ranks) != config.world_size:
        raise ConfigError(f"checkpoint={path} is of {len(ranks)} ranks, but its experiment needs {config.world_size}")
    for own in ranks[: config.players]:
        player = own.get("player")
        returns = player.get("returns") if isinstance(player, dict) else None
        if not isinstance(returns, torch.Tensor) or list(returns.shape) != [config.env.num_envs]:
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
    base = run_dir.resolve()
    for path in inside:
        if not path.resolve().is_relative_to(base):
            raise ConfigError(f"{path} leads out of the run directory, to {path.resolve()}; remove the link")
