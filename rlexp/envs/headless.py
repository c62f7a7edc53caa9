"""How environments draw where there is no display: what pygame and MuJoCo must know before they are imported."""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

from rlexp.envs.frames import Frames
from rlexp.errors import ConfigError

DISPLAYS = ("DISPLAY", "WAYLAND_DISPLAY")
LIBRARIES = {"egl": "libEGL.so.1", "osmesa": "libOSMesa.so"}
"""What MuJoCo draws with where there is no display, best first, and the library that it needs."""
INSTALL = "apt-get install libegl1 (or libosmesa6-dev, which is slower)"


def no_display() -> bool:
    """Return whether this is a Linux machine without a display."""
    return sys.platform == "linux" and not any(os.environ.get(name) for name in DISPLAYS)


@contextlib.contextmanager
def prepare_drawing() -> Iterator[None]:
    """Within, an environment is built that is to draw; what the user has set stays.

    SDL's driver `offscreen` draws for every environment; `dummy` leaves some of them black. MUJOCO_GL is read when
    mujoco is imported, which is known afterwards only: it is unset again where mujoco was not.
    """
    if not no_display():
        yield
        return
    os.environ.setdefault("SDL_VIDEODRIVER", "offscreen")
    chosen = None if "MUJOCO_GL" in os.environ else mujoco_library()
    if chosen is not None:
        os.environ["MUJOCO_GL"] = chosen
    try:
        yield
    finally:
        if chosen is not None and "mujoco" not in sys.modules:
            os.environ.pop("MUJOCO_GL", None)


def mujoco_library() -> str | None:
    """Return what MuJoCo can draw with without a display; None if neither library is there."""
    for name, library in LIBRARIES.items():
        with contextlib.suppress(OSError):
            ctypes.CDLL(library)
            return name
    return None


def check_drawing(env_id: str, make: Callable[[], Any], seconds: float) -> None:
    """Draw one frame, in a process of its own: a graphics library that was used does not survive a fork.

    Args:
        env_id: to be named in an error.
        make: builds the environment.
        seconds: longest time that it may take.

    Raises:
        ConfigError: nothing is drawn; one line says why, and what to do.
    """
    if sys.platform != "linux":
        _raise(env_id, _draw(make))
        return
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)

    def child() -> None:
        sender.send(_draw(make))
        sender.close()
        sys.stdout.flush()
        os._exit(0)  # whatever a graphics library would do at the end

    process = context.Process(target=child)
    process.start()
    sender.close()
    try:
        problem = receiver.recv() if receiver.poll(seconds) else f"drew no frame within {seconds:g} s"
    except EOFError:
        process.join()
        code = process.exitcode or 0
        how = f"killed by signal {-code}" if code < 0 else f"left with exit code {code}"
        problem = f"ended its process when it drew a frame ({how})"
    finally:
        if process.is_alive():
            process.kill()
        process.join()
    _raise(env_id, problem)


def _draw(make: Callable[[], Any]) -> str:
    """Draw one frame; return what is wrong with it, empty for nothing."""
    try:
        env = make()
        env.reset(seed=0)
        rendered = env.render()
    except Exception as error:
        return f"cannot draw: {type(error).__name__}: {' '.join(str(error).split())}"
    if rendered is None:
        return "draws nothing: render() returned None"
    try:
        Frames().read(rendered)
    except (ValueError, TypeError) as error:
        return f"draws no picture: render() returned something else ({error})"
    return ""


def _raise(env_id: str, problem: str) -> None:
    """Raise what is wrong with a frame.

    Raises:
        ConfigError: something is.
    """
    if not problem:
        return
    todo = "give capture_video=false"
    if "mujoco" in sys.modules and no_display():
        chosen = os.environ.get("MUJOCO_GL")
        if chosen is None:
            todo = f"MuJoCo needs a display, libEGL or libOSMesa here: {INSTALL}, or {todo}"
        else:
            todo = f"MUJOCO_GL={chosen}; try another of egl, osmesa ({INSTALL}), or {todo}"
    raise ConfigError(f"capture_video=true, but env.id={env_id} {problem}; {todo}")
