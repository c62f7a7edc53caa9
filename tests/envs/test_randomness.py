"""Whatever an environment draws from starts from its own seed, in every mode of vectorisation."""

import io
import random

import numpy as np
import pytest
import torch

from rlexp.envs import make_environments
from tests.helpers import composed

SOURCES = ["numpy", "python", "torch", "space", "new space", "own", "new rng", "rng now", "built"]
GLOBAL = pytest.mark.parametrize("source", ["numpy", "python", "torch"])


def made(source, *overrides, count=2, first=5):
    config = composed("id=tests.faulty:Lucky-v0", f"+env.kwargs.source={source}", *overrides)
    return make_environments(config.env, count, seeds=range(first, first + count))


def seen(envs, steps, first=5, between=lambda: None):
    """Return what each environment showed and paid, one list of bytes an environment."""
    rows = np.zeros((envs.num_envs, 2), envs.row_dtype)
    envs.reset(range(first, first + envs.num_envs), rows)
    shown = [[row.tobytes()] for row in rows]
    for _ in range(steps):
        between()
        result = envs.step(np.zeros(envs.num_envs, np.int64), rows)
        for each, row, reward in zip(shown, rows, result.rewards, strict=True):
            each += [row.tobytes(), float(reward)]
    return shown


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("vectorization", ["sync", "async"])
def test_each_environment_draws_by_its_own_seed_alone(source, vectorization):
    both = made(source, f"env.vectorization={vectorization}")
    second = made(source, count=1, first=6)
    together, alone = seen(both, 50), seen(second, 50, first=6)
    both.close(), second.close()
    assert together[0] != together[1]
    assert together[1] == alone[0]


@GLOBAL
def test_what_others_draw_changes_nothing(source):
    def others():
        random.random(), np.random.random(), torch.rand(())

    first, second = made(source), made(source)
    assert seen(first, 100) == seen(second, 100, between=others)


@GLOBAL
@pytest.mark.parametrize("vectorization", ["sync", "async"])
def test_the_process_keeps_its_own_states(source, vectorization):
    def draw():
        return random.random(), np.random.random(), float(torch.rand(()))

    random.seed(3), np.random.seed(3), torch.manual_seed(3)
    expected = [draw() for _ in range(3)]
    random.seed(3), np.random.seed(3), torch.manual_seed(3)
    envs = made(source, f"env.vectorization={vectorization}")
    drawn = [draw()]
    seen(envs, 60)
    drawn += [draw(), draw()]
    envs.close()
    assert drawn == expected


def test_a_generator_that_somebody_seeded_keeps_that_seed():
    envs = made("own", "+env.kwargs.fixed=11")
    (first, _, *_), (second, *_) = seen(envs, 1)
    expected = np.random.default_rng(11).random(2).astype(np.float32).tobytes()
    assert first == second == expected


@pytest.mark.parametrize("source", [*SOURCES, "hidden"])
@pytest.mark.parametrize("vectorization", ["sync", "async"])
@pytest.mark.parametrize("steps", [0, 3, 20])
def test_an_environment_comes_back_with_all_that_it_draws_from(source, vectorization, steps):
    first, second = (made(source, f"env.vectorization={vectorization}") for _ in range(2))
    try:
        rows = np.zeros((2, 2), np.float32)
        first.reset([5, 6], rows)
        for _ in range(steps):
            first.step(np.zeros(2, np.int64), rows)
        file = io.BytesIO()
        torch.save(first.state(), file)
        file.seek(0)
        copy = rows.copy()
        afresh = second.load_state(torch.load(file, weights_only=True), copy)
        if source == "hidden":
            assert afresh == [0, 1]
            return
        assert afresh == []
        for _ in range(20):
            one = first.step(np.zeros(2, np.int64), rows)
            two = second.step(np.zeros(2, np.int64), copy)
            assert one.rewards.tolist() == two.rewards.tolist()
            assert rows.tobytes() == copy.tobytes()
    finally:
        first.close(), second.close()
