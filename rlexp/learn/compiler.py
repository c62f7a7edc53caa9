"""torch.compile: what it needs, and how it is called."""

from __future__ import annotations

import logging
import os
import shutil
import sys
import sysconfig
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

log = logging.getLogger(__name__)


def missing(device: torch.device) -> str | None:
    """Return what torch.compile would need and does not find: a C++ compiler, Python's headers, on a GPU Triton."""
    name = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")
    if not shutil.which(name):
        return f"a C++ compiler ({name} not found; CXX names another)"
    header = Path(sysconfig.get_path("include")) / "Python.h"
    if not header.is_file():
        return f"Python's headers ({header} not found; such as the package python3-dev)"
    if device.type == "cuda":
        from torch.utils._triton import has_triton  # only there on GPUs

        if not has_triton():
            return "Triton, and a GPU that it knows (from compute capability 7.0 on)"
    return None


def compiler_found(device: torch.device) -> bool:
    """Return whether there is what torch.compile needs on a device; warn where it is not."""
    lacking = missing(device)
    if lacking is not None:
        log.warning("compiling needs %s; the run continues without", lacking)
    return lacking is None


def compiled(function: Callable[..., Any], device: torch.device) -> Any:
    """Return `function` compiled: with a C++ wrapper on the CPU, with CUDA graphs on a GPU.

    Each call returns a function of its own: torch keeps graphs by code object, and another learner in this process has
    the same code with other settings, which no guard here tells apart.
    """
    from torch._inductor import config as inductor  # seconds, which an eager run need not wait for

    def own(*arguments: Any) -> Any:
        return function(*arguments)

    own.__code__ = own.__code__.replace()  # a copy
    inductor.compile_threads = 1  # a pool of compiler processes would outlive a forked rank
    if device.type == "cuda":
        inductor.triton.cudagraph_skip_dynamic_graphs = True  # else one more graph for each size of a minibatch
        return torch.compile(own, mode="reduce-overhead")
    options: dict[str, Any] = {"cpp_wrapper": True, "guard_filter_fn": _tensors_and_context}
    return torch.compile(own, options=options)


def _tensors_and_context(guards: Sequence[Any]) -> list[bool]:
    """Return which guards are checked at each call: shapes and types of tensors, and contexts such as autocast.

    Nothing else that a graph depends on changes between two calls of it; to check that took a tenth of a small step.
    """
    return torch.compiler.keep_portable_guards_unsafe(guards)  # type: ignore[no-any-return]
