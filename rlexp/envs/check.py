"""What can be known of an environment before anything is launched: that it exists, builds, and has known spaces."""

from __future__ import annotations

import contextlib
import tempfile
import traceback
import warnings
from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np

from rlexp.config.code import wrappers_of
from rlexp.config.schema import Config
from rlexp.data.generators import kept_generators
from rlexp.data.spaces import SpaceSpec
from rlexp.envs.build import ordinary
from rlexp.envs.headless import check_drawing, prepare_drawing
from rlexp.envs.make import make_environment
from rlexp.envs.masks import MASK, WithActionMask, has_method, options, shows_mask
from rlexp.envs.own_vector import check_own
from rlexp.envs.pools import check_next_step
from rlexp.envs.reading import reading_of
from rlexp.envs.spaces import space_spec
from rlexp.envs.tensors import TIME_LIMITS
from rlexp.envs.text import text_note
from rlexp.envs.trial import check_trial, close, first_info
from rlexp.envs.unknown import outdated, pip_install, unregistered
from rlexp.errors import ConfigError, described

EXTRAS = {
    "box2d": "box2d",
    "Box2D": "box2d",
    "swig": "box2d",
    "pygame": "box2d",
    "mujoco": "mujoco",
    "MuJoCo": "mujoco",
}
"""The module or gymnasium extra that is missing, and the extra of rlexp that brings it."""


def check_environment(config: Config) -> SpaceSpec:
    """Build the environment once and return its spaces; with capture_video=true let it draw one frame.

    The global random generators are left as they were.

    Raises:
        ConfigError: the id is unknown (with the nearest names), a package is missing (with the pip command), the
            environment does not build, a space is not supported, the backend does not have it, or it draws nothing.
    """
    with kept_generators():
        return _checked(config)


def _checked(config: Config) -> SpaceSpec:
    env_id = config.env.id
    if config.env.own_backend:
        spec = check_own(config.env)
        _check_bounds(config, spec)
        return spec
    if config.env.backend == "torch" and env_id not in TIME_LIMITS:
        raise ConfigError(
            f"env.id={env_id} has no version for env.backend=torch; those that do: {', '.join(TIME_LIMITS)}; "
            "or give env.backend=gymnasium"
        )
    env = _built(config)
    try:
        space_spec(env.observation_space, env.action_space, reading_of(config.env))  # before anything is sampled
        modes = env.metadata.get("render_modes") or []
        if config.capture_video and not {"rgb_array", "rgb_array_list"} & set(modes):
            raise ConfigError(f"capture_video=true, but {env_id} has no render mode rgb_array")
        mask = _try(env, config)
        if mask and not shows_mask(env):
            env = WithActionMask(env)
        reading = reading_of(config.env, mask)
        spec = space_spec(env.observation_space, env.action_space, reading, _note(env, mask))
        if spec.observation.mask not in (0, mask):
            raise ConfigError(
                f"the part action_mask of the observation has {spec.observation.mask} elements, but the actions have "
                f"{mask} options; env.action_masks=false leaves masks out"
            )
    except ConfigError as error:
        raise ConfigError(f"env.id={env_id}: {error}") from error.__cause__
    finally:
        with contextlib.suppress(Exception):
            env.close()
    if config.capture_video:
        played = replace(config.env, backend="gymnasium", vectorization="sync")
        check_drawing(env_id, lambda: make_environment(played, drawing=True), config.fabric.timeout_seconds)
    _check_bounds(config, spec)
    _check_evaluated(config, spec)
    if config.env.resets_on_next_step:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            check_next_step(config.env, spec)
    return spec


def _built(config: Config) -> gymnasium.Env[Any, Any]:
    """Build the environment.

    Raises:
        ConfigError: it cannot be built; one line says why.
    """
    env_id = config.env.id
    old = outdated(env_id)
    if old is not None:
        raise ConfigError(old)
    try:
        drawing = prepare_drawing() if config.capture_video else contextlib.nullcontext()
        with warnings.catch_warnings(), drawing:
            warnings.simplefilter("ignore")  # of an old version, say: what matters of it is in the error
            return make_environment(config.env, checked=True)
    except ConfigError:
        raise
    except gymnasium.error.DependencyNotInstalled as error:
        raise ConfigError(f"env.id={env_id} needs a package that is missing; {_install(str(error))}") from None
    except (gymnasium.error.UnregisteredEnv, gymnasium.error.DeprecatedEnv):
        raise ConfigError(unregistered(env_id)) from None
    except ModuleNotFoundError as error:
        name = error.name or getattr(error.__cause__, "name", None)  # gymnasium wraps the error of module:Id
        raise ConfigError(f"env.id={env_id} needs module {name}, which is not installed") from None
    except (Exception, SystemExit) as error:
        raise ConfigError(f"env.id={env_id} does not build: {described(error)}{_kept(error)}") from error


def _check_evaluated(config: Config, spec: SpaceSpec) -> None:
    """Check that wrappers which evaluation leaves out change no space: it comes last, after all the training.

    Raises:
        ConfigError: they do, or the others do not fit without them.
    """
    left_out = [entry.path for entry in wrappers_of(config.env) if entry.train_only]
    if not left_out:
        return
    mask = spec.observation.mask
    env = make_environment(ordinary(config.env), masked=mask > 0)
    try:
        found = space_spec(env.observation_space, env.action_space, reading_of(config.env, mask))
    finally:
        env.close()
    if found != spec:
        raise ConfigError(
            f"env.wrappers: {', '.join(left_out)} changes the spaces, so evaluation cannot leave it out; give it "
            "train_only: false"
        )


def video_note(config: Config) -> str | None:
    """Return what to tell a person whose training cannot be recorded; None where it can or need not."""
    backend = config.env.backend
    if not config.capture_video or (backend == "gymnasium" and config.env.vectorization != "vector"):
        return None
    chosen = "env.vectorization=vector" if backend == "gymnasium" else f"env.backend={backend}"
    return f"capture_video=true records the test episode only: {chosen} steps all environments at once"


def _try(env: gymnasium.Env[Any, Any], config: Config) -> int:
    """Try the environment out, as if nothing had happened: no global generator is left in another state.

    Returns:
        The elements of its action masks; 0 where it has none, or none are wanted.

    Raises:
        ConfigError: it is wrong; where it raised, its traceback is in a file that the message names.
    """
    seconds = config.fabric.timeout_seconds
    choices = options(env.action_space) if config.env.action_masks and not config.env.resets_on_next_step else 0
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of gymnasium's own checker
            if config.env.check:
                check_trial(env, seconds)
            masked = choices > 0 and (shows_mask(env) or has_method(env) or MASK in first_info(env, seconds))
            if config.env.check:
                close(env, seconds)
    except ConfigError as error:
        raise ConfigError(f"{error}{_kept(error.__cause__)}") from error.__cause__
    return choices if masked else 0


def _note(env: gymnasium.Env[Any, Any], mask: int) -> str | None:
    """Return what to tell a person of what is left out of the observation, and of action masks."""
    said = [text_note(env), f"actions: masks of {mask} options (env.action_masks=false ignores them)" if mask else None]
    return "; ".join(filter(None, said)) or None


def _kept(error: BaseException | None) -> str:
    """Write the traceback of what an environment raised to a file; return where, as the end of a message."""
    if error is None:
        return ""
    text = "".join(traceback.format_exception(error))
    with contextlib.suppress(OSError):
        with tempfile.NamedTemporaryFile("w", prefix="rlexp-traceback-", suffix=".txt", delete=False) as file:
            file.write(text)
        return f"; its traceback is in {file.name}"
    return ""


def _check_bounds(config: Config, spec: SpaceSpec) -> None:
    bounds = np.asarray(spec.action.low + spec.action.high)
    if config.env.action_bounds == "tanh" and not np.isfinite(bounds).all():
        raise ConfigError(
            f"env.action_bounds=tanh needs finite bounds, but actions of {config.env.id} are unbounded; "
            "give env.action_bounds=clip"
        )


def _install(message: str) -> str:
    """Return the pip command for the package that gymnasium's message names."""
    extra = next((extra for name, extra in EXTRAS.items() if name in message), None)
    if extra is not None:
        return f"install it with: {pip_install(f'rlexp[{extra}]')}"
    return f"gymnasium says: {' '.join(message.split())}"
