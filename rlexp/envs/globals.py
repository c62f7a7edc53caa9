"""The global random generators, each environment with states of its own."""

from __future__ import annotations

import contextlib
import ctypes
import random
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.random.mtrand import set_bit_generator

WATCHED_RESETS = 2

WATCHED_STEPS = 32
"""Resets and steps after which an environment that drew from no global generator is taken to draw from none."""

ENTROPY: Any = sys.modules["numpy.random.bit_generator"]
"""Where numpy takes the seed of a generator that is given none: `default_rng()`, gymnasium's `np_random(None)`."""


def _numpys() -> Any:
    """Return numpy's global generator, the RandomState behind `numpy.random.random` and the like."""
    return np.random.mtrand._rand


class OwnGlobals:
    """The states of the global generators that belong to one environment, in place while it runs.

    Reading the state of Python's generator takes as long as a step of CartPole. So an environment is watched over its
    first resets and steps, and afterwards only the generators that it has drawn from are swapped.

    Args:
        alone: whether the environment has a process of its own; then all its states stay in place.
    """

    def __init__(self, alone: bool) -> None:
        self._alone = alone
        self._python: Any = None
        self._numpy: Any = np.random.MT19937(0)
        self._torch: Any = None
        self._entropy = random.Random(0)  # in place of the operating system's
        self._drawn: set[str] = set()
        self._resets = self._steps = 0
        self.active = False
        """Whether steps must be taken within `running`."""

    def seed(self, seed: int) -> None:
        """Start every global generator of the environment from its seed."""
        self._python = random.Random(seed).getstate()
        self._numpy = np.random.RandomState(seed % 2**32)._bit_generator
        self._torch = sys.modules["torch"].Generator().manual_seed(seed).get_state() if "torch" in sys.modules else None
        self._entropy = random.Random(f"entropy {seed}")
        self.active = True
        if self._alone:
            self._enter({"python", "torch"})

    @property
    def resets(self) -> bool:
        """Whether resets must be made within `running`."""
        return self.active or self._resets < WATCHED_RESETS or self._alone

    @contextlib.contextmanager
    def running(self, reset: bool = False) -> Iterator[None]:
        """Give the environment its own states within; the process has its own back afterwards."""
        if self._alone:
            set_bit_generator(self._numpy)  # forgets the second number of a pair of normals, as below
            with self._own_entropy():
                yield
            return
        watched = self._resets < WATCHED_RESETS or self._steps < WATCHED_STEPS
        names = {"python", "numpy", "torch", "entropy"} if watched else self._drawn
        if self._python is None or not names:
            yield
            return
        before = random.getstate() if "python" in names else None
        torch_before = sys.modules["torch"].get_rng_state() if "torch" in names and self._torch is not None else None
        numpy_before, numpy_own = _numpys()._bit_generator, _memory(self._numpy) if watched else b""
        self._enter(names)
        try:
            with self._own_entropy() if "entropy" in names else contextlib.nullcontext():
                yield
        finally:
            if before is not None:
                python = random.getstate()
                if watched and python != self._python:
                    self._drawn.add("python")
                self._python = python
                random.setstate(before)
            if torch_before is not None:
                torch = sys.modules["torch"].get_rng_state()
                if watched and not torch.equal(self._torch):
                    self._drawn.add("torch")
                self._torch = torch
                sys.modules["torch"].set_rng_state(torch_before)
            if "numpy" in names:
                set_bit_generator(numpy_before)
            if watched:
                if _memory(self._numpy) != numpy_own:
                    self._drawn.add("numpy")
                self._resets, self._steps = self._resets + reset, self._steps + (not reset)
                self.active = self._steps < WATCHED_STEPS or bool(self._drawn)

    def _enter(self, names: set[str]) -> None:
        """Put the environment's states in place."""
        if "python" in names:
            random.setstate(self._python)
        if "numpy" in names:
            set_bit_generator(self._numpy)
        if "torch" in names and self._torch is not None:
            sys.modules["torch"].set_rng_state(self._torch)

    @contextlib.contextmanager
    def _own_entropy(self) -> Iterator[None]:
        """Let numpy take the seeds of generators that are given none from the environment's own bits within."""
        before = getattr(ENTROPY, "randbits", None)
        if before is not None:
            ENTROPY.randbits = self._bits
        try:
            yield
        finally:
            if before is not None:
                ENTROPY.randbits = before

    def _bits(self, count: int) -> int:
        """Return so many random bits where numpy asks the operating system for the seed of a new generator."""
        self._drawn.add("entropy")
        return self._entropy.getrandbits(count)

    def state(self) -> dict[str, Any]:
        """Return what `load` needs, in plain types, arrays and tensors; empty where nothing was ever drawn."""
        if self._alone and self._python is not None:
            self._python = random.getstate()
            self._torch = sys.modules["torch"].get_rng_state() if "torch" in sys.modules else None
        elif not self._drawn:
            return {}
        return {
            "python": python_state(self._python),
            "numpy": numpy_state(self._numpy),
            "torch": self._torch,
            "entropy": python_state(self._entropy.getstate()),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Continue from what `state` returned."""
        if not state:
            return
        self._python = from_python_state(state["python"])
        set_numpy_state(self._numpy, state["numpy"])
        self._torch = None if state["torch"] is None else sys.modules["torch"].as_tensor(state["torch"])
        self._entropy.setstate(from_python_state(state["entropy"]))
        if self._alone:
            self._enter({"python", "torch"})
        else:
            self._drawn |= {"python", "numpy", "torch", "entropy"}
            self.active = True


def _memory(generator: Any) -> bytes:
    """Return the memory of a Mersenne twister, 624 numbers and a position: a hundred times as fast as its state."""
    return ctypes.string_at(generator.ctypes.state_address, 625 * 4)


def numpy_state(bits: np.random.BitGenerator) -> dict[str, Any]:
    """Return the state of a bit generator in plain types and arrays of signed integers, as checkpoints hold them."""
    return {key: _signed(value) for key, value in dict(bits.state).items()}


def set_numpy_state(bits: np.random.BitGenerator, state: dict[str, Any]) -> None:
    """Undo `numpy_state`."""
    bits.state = _unsigned(state)


def _signed(value: Any) -> Any:
    """Return nested dicts with their arrays of uint32 and uint64 as int64, bit for bit where they are 64 bits long."""
    if isinstance(value, dict):
        return {key: _signed(item) for key, item in value.items()}
    if isinstance(value, np.ndarray) and value.dtype.kind == "u":
        return value.view(np.int64) if value.dtype.itemsize == 8 else value.astype(np.int64)
    return value


def _unsigned(value: Any) -> Any:
    """Return nested dicts with their arrays as uint64, which every bit generator takes."""
    if isinstance(value, dict):
        return {key: _unsigned(item) for key, item in value.items()}
    return value.astype(np.int64).view(np.uint64) if isinstance(value, np.ndarray) else value


def python_state(state: tuple[Any, ...]) -> dict[str, Any]:
    """Return what Random.getstate returned as plain types and an array."""
    version, numbers, gauss = state
    return {"version": version, "numbers": np.array(numbers, np.int64), "gauss": gauss}


def from_python_state(state: dict[str, Any]) -> tuple[Any, ...]:
    """Undo `python_state`."""
    return state["version"], tuple(map(int, state["numbers"])), state["gauss"]
