"""The Python API: what the commands do, from Python. `import rlexp` has all of it; see docs/python.md.

run = rlexp.train(["env=lunarlander", "total_timesteps=200000"])
policy = rlexp.load(run.checkpoint)
action, state = policy.act(observation)
"""

from __future__ import annotations

import contextlib
import copy
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException

from rlexp.command.arguments import find_modules_here, named_plugins, read
from rlexp.command.check import checked
from rlexp.command.ending import Command
from rlexp.command.job import run_one
from rlexp.command.paths import with_run_directory
from rlexp.command.runs import Run
from rlexp.config.compose import algorithm_name, load_plugins
from rlexp.config.explain import explain
from rlexp.config.places import conf_dir
from rlexp.config.schema import EVAL_SEED_START, STREAMS, Config
from rlexp.errors import ConfigError
from rlexp.files.places import LAST
from rlexp.settings import fields_of
from rlexp.show.lines import hydra_quoted

if TYPE_CHECKING:
    from rlexp.run.evaluation import EvalResult
    from rlexp.run.policy import Policy


def compose(overrides: Sequence[str] = ()) -> Config:
    """Return the checked config that the words of a command line stand for.

    Args:
        overrides: such as ["env=lunarlander", "algo.gamma=0.999"].

    Raises:
        ConfigError: one is not ours, or the config is not usable; one line says what to write instead.
    """
    with _composed(overrides) as composed:
        return checked(composed)[0]


def train(config: Config | Sequence[str] = ()) -> Run:
    """Train as the command does, in processes of its own, and return the completed run.

    Args:
        config: the words of a command line, or a config, such as `compose` returns. `hydra.run.dir=DIR` among words
            puts the run into DIR, `resume=DIR` resumes one.

    Raises:
        ConfigError: the config, the environment or a checkpoint is not usable; nothing was started.
        RunFailed: a process of the run failed; its directory says why.
        Interrupted: SIGINT or SIGTERM came; a checkpoint is written.
    """
    words = overrides_of(config) if isinstance(config, Config) else list(config)
    before = Command.here, Command.typed, Command.run_dir
    try:
        with _composed(words) as composed, _without_main():
            directory = Path(HydraConfig.get().run.dir).absolute()
            Command.here, Command.typed = Path.cwd(), tuple(words)
            return Run(directory, run_one(composed, directory))
    finally:
        Command.here, Command.typed, Command.run_dir = before


def overrides_of(config: Config) -> list[str]:
    """Return the words that compose to a config: those of its values that differ from the defaults."""
    words = ["env=gym", f"env.id={hydra_quoted(config.env.id)}", f"algo={algorithm_name(config)}"]
    words += [f"plugins={_written(config.plugins)}"] if config.plugins else []
    have = {key: value for key, value, _ in fields_of(compose(words))}
    changed = {key: value for key, value, _ in fields_of(config) if key != "plugins" and have[key] != value}
    return words + [f"{key}={_written(value)}" for key, value in changed.items()]


def _written(value: Any) -> str:
    """Return a value as Hydra reads it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return hydra_quoted(value)
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_written, value)) + "]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}: {_written(item)}" for key, item in value.items()) + "}"
    return str(value)


def load(checkpoint: str | Path, *, env_id: str | None = None, plugins: Sequence[str] = ()) -> Policy:
    """Return the policy of a checkpoint, on the CPU.

    Args:
        checkpoint: its path, or that of a run's directory, whose last one is taken.
        env_id: the environment, where the checkpoint names one in a module of its own, whose code is then run.
        plugins: modules with other code that the checkpoint's experiment uses; they are run.

    Raises:
        ConfigError: the checkpoint is missing, damaged or refused, or does not fit the environment that it names.
    """
    find_modules_here()
    load_plugins(plugins)
    from rlexp.run.policy import load_policy  # torch and gymnasium, which `import rlexp` need not wait for

    path = Path(checkpoint)
    return load_policy(path / "checkpoints" / LAST if path.is_dir() else path, env_id, plugins)


def evaluate(
    policy: Policy,
    episodes: int = 10,
    *,
    seed: int | None = None,
    deterministic: bool = True,
    stream: str = "fresh",
    video_folder: str | Path | None = None,
) -> EvalResult:
    """Play episodes as `python -m rlexp.evaluate` does, and return their raw returns and lengths.

    Args:
        policy: what `load` returned.
        episodes: how many.
        seed: from which the episodes' own follow; None: the experiment's.
        deterministic: whether the most probable action is taken rather than a sample.
        stream: fresh: episodes that the run never played; final or selection: those of its own evaluations.
        video_folder: where a video of the first episode is written; None: nowhere.

    Raises:
        ConfigError: an argument is out of range.
        Fault: an observation or a return is not finite.
    """
    from rlexp.run import evaluation  # torch, as in `load`

    if episodes < 1 or (seed is not None and not 0 <= seed < EVAL_SEED_START) or stream not in STREAMS:
        raise ConfigError(
            f"episodes={episodes}, seed={seed}, stream={stream}: allowed are episodes from 1 on, seeds from 0 below "
            f"{EVAL_SEED_START}, and the streams {', '.join(STREAMS)}"
        )
    return evaluation.evaluate(
        policy.config,
        policy.actor,
        episodes,
        seed=policy.config.seed if seed is None else seed,
        stream=stream,
        deterministic=deterministic,
        video_folder=None if video_folder is None else Path(video_folder),
        env_steps=policy.env_steps,
    )


@contextlib.contextmanager
def _composed(overrides: Sequence[str]) -> Iterator[DictConfig]:
    """Compose words as the command does; within, `HydraConfig` is what the command would have.

    Raises:
        ConfigError: Hydra does not take them.
    """
    if isinstance(overrides, str):
        raise ConfigError(f"overrides={overrides!r} is one text; give a list of words, such as [{overrides!r}]")
    find_modules_here()
    load_plugins(named_plugins(overrides))
    words = with_run_directory(read(list(overrides)))
    before = HydraConfig.instance().cfg
    try:
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            whole = hydra_compose("config", overrides=words, return_hydra_config=True)
            HydraConfig.instance().set_config(whole)
            own = copy.deepcopy(whole)
            with read_write(own), open_dict(own):
                del own["hydra"]
            yield own
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(explain(error)) from None
    finally:
        HydraConfig.instance().cfg = before


@contextlib.contextmanager
def _without_main() -> Iterator[None]:
    """Hide the file of the main module, which a spawned process would otherwise run again.

    So a script needs no `if __name__ == "__main__"`, and a notebook no file.
    """
    main = sys.modules["__main__"]
    hidden = {name: getattr(main, name) for name in ("__file__", "__spec__") if hasattr(main, name)}
    try:
        if "__file__" in hidden:
            del main.__file__
        main.__spec__ = None
        yield
    finally:
        for name, value in hidden.items():
            setattr(main, name, value)
