"""Every random generator that an environment can reach, each started from the environment's own seed.

An environment may draw from the global generators of Python, numpy and torch, from those of its spaces, and from
generators of its own that no seed reaches. Environments that share a process share its global generators, so each gets
the state that belongs to it while it runs (`OwnGlobals`).
"""

from __future__ import annotations

import contextlib
import copy
import itertools
import random
import sys
from collections.abc import Iterable, Iterator
from types import FunctionType, ModuleType
from typing import Any

import gymnasium
import numpy as np

from rlexp.envs.globals import _signed, _unsigned, from_python_state, python_state, set_numpy_state

DEEPEST, MOST_OBJECTS, MOST_ITEMS = 8, 3_000, 1_000
"""Bounds of the search for generators: attributes within attributes, objects in all, items of one container."""
PERSON_BITS = 64
"""A numpy generator whose seed has more bits was seeded by the operating system, not by a person."""


# The global generators


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
