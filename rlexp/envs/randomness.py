"""Every random generator that an environment can reach, each started from the environment's own seed.

An environment may draw from the global generators of Python, numpy and torch, from those of its spaces, and from
generators of its own that no seed reaches. Environments that share a process share its global generators, so each gets
the state that belongs to it while it runs (`OwnGlobals`).
"""

from __future__ import annotations

import contextlib
import copy
import ctypes
import itertools
import random
import sys
from collections.abc import Iterable, Iterator
from types import FunctionType, ModuleType
from typing import Any

import gymnasium
import numpy as np
from numpy.random.mtrand import set_bit_generator

DEEPEST, MOST_OBJECTS, MOST_ITEMS = 8, 3_000, 1_000
"""Bounds of the search for generators: attributes within attributes, objects in all, items of one container."""
PERSON_BITS = 64
"""A numpy generator whose seed has more bits was seeded by the operating system, not by a person."""
WATCHED_RESETS, WATCHED_STEPS = 2, 32
"""Resets and steps after which an environment that drew from no global generator is taken to draw from none."""


# The global generators

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


def same(first: Any, second: Any) -> bool:
    """Return whether two states of generators (nested containers of numbers, arrays and tensors) are equal."""
    if isinstance(first, dict) and isinstance(second, dict):
        return first.keys() == second.keys() and all(same(first[key], second[key]) for key in first)
    return bool(np.array_equal(first, second))


# Generators of the environment's own


class OwnGenerators:
    """The random generators that hang on an environment, by the path of their attributes from a wrapper or itself.

    Found are numpy's Generator and RandomState, Python's Random and torch's Generator, in attributes, lists, tuples and
    dicts, through wrappers and spaces.
    """

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        self._env, self._base = env, env.unwrapped
        self._places: list[tuple[str, Any, Any]] = []  # path, what holds the generator, under which name
        self._unused: dict[str, Any] = {}  # generators of spaces that nobody has drawn from, as they were seeded
        self._spaces: list[gymnasium.Space[Any]] = []  # those that were seeded

    def find(self, seeded: bool = False) -> None:
        """Search the environment; the search takes some hundred microseconds, so it is not made at every reset.

        Args:
            seeded: whether the spaces have just been seeded.
        """
        self._places = []
        layers: list[Any] = [self._env]
        while isinstance(layers[-1], gymnasium.Wrapper):
            layers.append(layers[-1].env)
        # Paths begin at a layer's class, so that a wrapper more, such as that of a video, changes no other path.
        waiting = [(type(layer).__name__, layer, 0) for layer in layers]
        seen = set(map(id, layers))
        while waiting and len(seen) < MOST_OBJECTS:
            path, holder, depth = waiting.pop(0)
            for name, value in _inside(holder):
                if id(value) in seen or not _may_hold(value):
                    continue
                seen.add(id(value))
                if _is_generator(value):
                    self._places.append((f"{path}.{name}", holder, name))
                elif depth < DEEPEST:
                    waiting.append((f"{path}.{name}", value, depth + 1))
        spaces = {path: _state(generator) for path, generator in self._found() if _of_space(path)}
        if seeded:
            self._unused = spaces
        self._unused = {path: state for path, state in self._unused.items() if same(state, spaces.get(path))}

    def _found(self) -> Iterator[tuple[str, Any]]:
        """Yield path and generator, of those places that still hold one."""
        for path, holder, name in self._places:
            value = holder[name] if isinstance(holder, CONTAINERS) else getattr(holder, name, None)
            if _is_generator(value):
                yield path, value

    def read(self) -> dict[str, Any]:
        """Return the states of the generators found, as `write` and checkpoints take them."""
        return plain({path: _state(generator) for path, generator in self._found()})

    def snapshot(self) -> dict[str, Any]:
        """Return the states of the generators found as they are, to be made `plain`, except of spaces never drawn from.

        Those are as they were seeded, and reading them would cost every reset of a fast environment a tenth.
        """
        return {path: _state(generator) for path, generator in self._found() if path not in self._unused}

    def write(self, states: dict[str, Any]) -> bool:
        """Put the generators into states that `read` returned; return whether each of them was there."""
        found = dict(self._found())
        for path, state in states.items():
            if path in found:
                _write(found[path], state)
        return found.keys() >= states.keys()

    def seed_unseeded(self, seed: int) -> None:
        """Seed what no reset of the environment may reach: its spaces, and numpy generators that have a random seed.

        A generator that somebody gave a seed of their own stays as it is.
        """
        for name in SPACES:
            if name not in vars(self._base):  # it belongs to the class, and so to all environments of the process
                with contextlib.suppress(AttributeError):  # a property
                    setattr(self._base, name, copy.deepcopy(getattr(self._base, name)))
        self._seed_spaces(seed)
        self.find(seeded=True)
        for number, (path, generator) in enumerate(self._found()):
            if not _of_space(path) and isinstance(generator, np.random.Generator | np.random.RandomState):
                bits = _bit_generator(generator)
                entropy = getattr(getattr(bits, "seed_seq", None), "entropy", None)
                if isinstance(entropy, int) and entropy.bit_length() > PERSON_BITS:
                    bits.state = type(bits)(np.random.SeedSequence([seed, number])).state

    def settle(self, seed: int, episode: int) -> None:
        """Seed the spaces once more where a reset has made new ones, which nobody has seeded."""
        if self._base.action_space is not self._spaces[0] or self._base.observation_space is not self._spaces[1]:
            self._seed_spaces(int(np.random.SeedSequence([seed, episode]).generate_state(1)[0]))
            self.find(seeded=True)

    def _seed_spaces(self, seed: int) -> None:
        for env in (self._base, self._env):
            for name in SPACES:
                getattr(env, name).seed(seed)
        self._spaces = [self._base.action_space, self._base.observation_space]


CONTAINERS = (dict, list, tuple)
KINDS = (np.random.Generator, np.random.RandomState, random.Random)
SPACES = ("action_space", "observation_space")
PLAIN = (str, bytes, int, float, complex, type(None), np.ndarray, np.generic, np.dtype, type, ModuleType, FunctionType)
"""What no generator hangs on."""


def _may_hold(value: Any) -> bool:
    return not isinstance(value, PLAIN)


def _of_space(path: str) -> bool:
    return "_space." in path


def _inside(value: Any) -> Iterable[tuple[Any, Any]]:
    if isinstance(value, dict):
        return itertools.islice(value.items(), MOST_ITEMS)
    if isinstance(value, list | tuple):
        return itertools.islice(enumerate(value), MOST_ITEMS)
    return list(getattr(value, "__dict__", {}).items())


def _is_generator(value: Any) -> bool:
    if isinstance(value, KINDS):
        return not isinstance(value, random.SystemRandom)  # the system's entropy: it has no state
    return "torch" in sys.modules and isinstance(value, sys.modules["torch"].Generator)


def _bit_generator(generator: np.random.Generator | np.random.RandomState) -> np.random.BitGenerator:
    bits = generator.bit_generator if isinstance(generator, np.random.Generator) else generator._bit_generator
    assert isinstance(bits, np.random.BitGenerator)
    return bits


def _state(generator: Any) -> Any:
    """Return the state of a generator as it gives it."""
    if isinstance(generator, np.random.Generator):
        return generator.bit_generator.state
    if isinstance(generator, np.random.RandomState):
        return generator.get_state(legacy=False)
    return generator.getstate() if isinstance(generator, random.Random) else generator.get_state()


def plain(states: dict[str, Any]) -> dict[str, Any]:
    """Return states by path as dicts of plain types, arrays of signed integers and tensors, for a checkpoint."""
    return {path: _plain(state) for path, state in states.items()}


def _plain(state: Any) -> dict[str, Any]:
    if isinstance(state, dict):
        return {key: _signed(item) for key, item in state.items()}
    if isinstance(state, tuple):
        return python_state(state)
    return {"torch": state}


def _write(generator: Any, state: dict[str, Any]) -> None:
    """Put a generator into a state that `_read` returned."""
    if isinstance(generator, np.random.Generator):
        set_numpy_state(generator.bit_generator, state)
    elif isinstance(generator, np.random.RandomState):
        generator.set_state(_unsigned(state))
    elif isinstance(generator, random.Random):
        generator.setstate(from_python_state(state))
    else:
        generator.set_state(sys.modules["torch"].as_tensor(state["torch"]))


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
