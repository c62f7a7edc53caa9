"""Other people's code: paths `package.module:Name`, and the names that rlexp and plugins register for them.

A plugin is a module that calls `register` when it is imported. Installed packages announce theirs by the entry-point
group `rlexp.plugins`; `plugins=[module]` names one in the current folder. A path is imported when it is used.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.metadata
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rlexp.errors import ConfigError

GROUP = "rlexp.plugins"
PATH = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")  # package.module:Name
KINDS = ("wrapper", "model", "callback", "logger", "algorithm")


@dataclass(frozen=True)
class Registered:
    """What a name stands for.

    Attributes:
        path: package.module:Name; empty for a name that stands for several wrappers.
        kwargs: arguments unless others are given.
        train_only: of a wrapper, whether evaluation leaves it out.
        parts: the wrappers that one name stands for, as `env.wrappers` lists them.
    """

    path: str = ""
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    train_only: bool = False
    parts: tuple[Any, ...] = ()


_GYM = "gymnasium.wrappers:"
_OWN = "rlexp.envs.wrappers:"
_names: dict[str, dict[str, Registered]] = {kind: {} for kind in KINDS}
_names["wrapper"] = {
    "action_repeat": Registered(f"{_OWN}ActionRepeat"),
    "clip_reward": Registered(f"{_GYM}ClipReward", {"min_reward": -1.0, "max_reward": 1.0}, train_only=True),
    "episodic_life": Registered(f"{_OWN}EpisodicLife", train_only=True),
    "fire_start": Registered(f"{_OWN}FireStart"),
    "flatten": Registered(f"{_GYM}FlattenObservation"),
    "frame_stack": Registered(f"{_GYM}FrameStackObservation", {"stack_size": 4}),
    "grayscale": Registered(f"{_GYM}GrayscaleObservation"),
    "mask_velocity": Registered(f"{_OWN}MaskVelocity"),
    "minigrid": Registered(f"{_OWN}MiniGrid"),
    "minigrid_image": Registered(f"{_OWN}MiniGridImage"),
    "rescale_action": Registered(f"{_GYM}RescaleAction", {"min_action": -1.0, "max_action": 1.0}),
    "resize": Registered(f"{_GYM}ResizeObservation", {"shape": [84, 84]}),
    "time_limit": Registered(f"{_GYM}TimeLimit"),
    "atari": Registered(
        parts=(
            {"wrapper": f"{_GYM}AtariPreprocessing", "noop_max": 30, "frame_skip": 4, "screen_size": 84},
            "episodic_life",
            "fire_start",
            "clip_reward",
            "frame_stack",
        )
    ),
}
_names["callback"] = {
    "early_stop": Registered("rlexp.learn.standard_callbacks:EarlyStop"),
    "schedule": Registered("rlexp.learn.standard_callbacks:Schedule"),
    "milestone_videos": Registered("rlexp.learn.standard_callbacks:MilestoneVideos"),
}
_broken: set[str] = set()  # modules of installed plugins that failed: said once
_config_packages: list[str] = []
_modules: dict[str, str] = {}  # of plugins, and what announced each: the name of an entry point, or `plugins`


def register(kind: str, name: str, target: str | type, *, train_only: bool = False, **kwargs: Any) -> None:
    """Let a name stand for a class.

    Args:
        kind: wrapper, model, callback, logger or algorithm.
        name: as config writes it: `env.wrappers=[NAME]`, `model=NAME`, `callbacks=[NAME]`, `logger=NAME`, `algo=NAME`.
        target: the class, or its path `package.module:Name`, which is imported when it is needed.
        train_only: of a wrapper, whether evaluation leaves it out.
        kwargs: its arguments unless config gives others.

    Raises:
        ConfigError: the kind is unknown, or the name stands for something else already.
    """
    if kind not in KINDS:
        raise ConfigError(f"register({kind!r}, ...) is of no kind that there is; kinds: {', '.join(KINDS)}")
    path = target if isinstance(target, str) else f"{target.__module__}:{target.__qualname__}"
    if not re.fullmatch(r"[A-Za-z_]\w*", name) or not PATH.fullmatch(path):
        raise ConfigError(f"register({kind!r}, {name!r}, {path!r}): write a name and a path package.module:Name")
    new = Registered(path, kwargs, train_only)
    if _names[kind].get(name, new) != new:
        raise ConfigError(f"{kind} {name} is registered already, for {_names[kind][name].path or 'other wrappers'}")
    _names[kind][name] = new


def register_config(package: str) -> None:
    """Let Hydra find the YAML files of a package, such as `my_plugin.conf` with `experiment/mine.yaml` in it."""
    if package not in _config_packages:
        _config_packages.append(package)


def config_packages() -> tuple[str, ...]:
    """Return the packages that plugins keep YAML files in."""
    return tuple(_config_packages)


def names(kind: str) -> dict[str, Registered]:
    """Return the registered names of a kind."""
    return dict(_names[kind])


def load_installed() -> list[str]:
    """Import the plugins of installed packages; return a line for each that fails now: nobody asked for it."""
    failed = []
    for point in importlib.metadata.entry_points(group=GROUP):
        module = point.value.partition(":")[0]
        if module in _modules or module in _broken:
            continue
        try:
            importlib.import_module(module)
            _modules[module] = point.name
        except Exception as error:
            _broken.add(module)
            failed.append(f"the plugin {point.name} ({module}) is left out: {_reason(error)}")
    return failed


def load(modules: Iterable[str]) -> None:
    """Import modules that `plugins=` names.

    Raises:
        ConfigError: one cannot be imported.
    """
    for module in modules:
        if not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", module):
            raise ConfigError(f"plugins={module} is no module; write its name as Python imports it, such as my.module")
        try:
            importlib.import_module(module)
        except Exception as error:
            raise ConfigError(f"plugins=[{module}]: {_reason(error)}") from error
        _modules[module] = "plugins"


def is_path(text: object) -> bool:
    """Return whether a text has the form package.module:Name."""
    return isinstance(text, str) and PATH.fullmatch(text) is not None


def found(kind: str, name: str, key: str) -> Registered:
    """Return what a name or a path stands for; nothing is imported.

    Raises:
        ConfigError: there is no such name.
    """
    if is_path(name):
        return Registered(name)
    if name in _names[kind]:
        return _names[kind][name]
    near = difflib.get_close_matches(name, _names[kind], n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    known = ", ".join(sorted(_names[kind])) or "none"
    raise ConfigError(f"{key}: {name} is not known; {hint}known: {known}, or a path package.module:Name")


def imported(path: str, base: type | tuple[type, ...], key: str) -> Any:
    """Return the class that a path names.

    Args:
        path: package.module:Name.
        base: what the class must derive from.
        key: the key of the config that names it, for messages.

    Raises:
        ConfigError: the module or the name is missing, its import fails, or it is another kind of thing.
    """
    value = _imported(path, key)
    if not (isinstance(value, type) and issubclass(value, base)):
        bases = base if isinstance(base, tuple) else (base,)
        wanted = " or ".join(f"{one.__module__}.{one.__qualname__}" for one in bases)
        raise ConfigError(f"{key}: {path} is {_kind(value)}, but a class derived from {wanted} is needed")
    return value


def _imported(path: str, key: str) -> Any:
    module, _, name = path.partition(":")
    try:
        value: Any = importlib.import_module(module)
        for part in name.split("."):
            value = getattr(value, part)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if module == missing or module.startswith(f"{missing}."):
            raise ConfigError(f"{key}: there is no module {missing} for {path}; modules are looked for in the current "
                              "folder and among installed packages") from error  # fmt: skip
        raise ConfigError(f"{key}: the import of {module} fails: {_reason(error)}") from error
    except AttributeError as error:
        near = difflib.get_close_matches(name, dir(sys.modules.get(module)), n=1)
        hint = f"; did you mean {module}:{near[0]}?" if near else ""
        raise ConfigError(f"{key}: {module} has no {name}{hint}") from error
    except Exception as error:
        raise ConfigError(f"{key}: the import of {module} fails: {_reason(error)}") from error
    return value


def imported_function(path: str, key: str) -> Callable[..., Any]:
    """Return the function that a path names.

    Raises:
        ConfigError: the module or the name is missing, its import fails, or it cannot be called.
    """
    value = _imported(path, key)
    if not callable(value):
        raise ConfigError(f"{key}: {path} is {_kind(value)}, but a function is needed")
    return value  # type: ignore[no-any-return]  # callable, as was just checked


def trusted(path: str, named: Sequence[str], function: bool = False) -> bool:
    """Return whether a path that a file names may be imported, or called.

    Args:
        path: package.module:Name.
        named: the modules and paths that the user named on the command line.
        function: whether it is to be called as it is; a class must derive from what rlexp expects, so that one of a
            module that is imported already does no harm.
    """
    module = path.partition(":")[0]
    known = installed(module) or (module in sys.modules and not function)
    loaded = [plugin for plugin, by in _modules.items() if by == "plugins"]
    return known or path in named or any(f"{module}.".startswith(f"{one}.") for one in (*named, *loaded))


def installed(module: str) -> bool:
    """Return whether a module belongs to rlexp, to gymnasium or to a plugin that an installed package announced."""
    announced = (plugin.partition(".")[0] for plugin, by in _modules.items() if by != "plugins")
    return module.partition(".")[0] in ("rlexp", "gymnasium", *announced)


def _kind(value: Any) -> str:
    return f"the class {value.__qualname__}" if isinstance(value, type) else type(value).__name__


def _reason(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
