"""Environments that go wrong while a run is under way: one line, in every mode, and no process waits for ever."""

import math
import time

import numpy as np
import pytest

from rlexp.envs import make_environments
from rlexp.errors import Fault
from tests.helpers import agent, composed

MODES = pytest.mark.parametrize("vectorization", ["sync", "async"])


def made(*overrides, count=2, infos=()):
    config = composed(*overrides, f"env.num_envs={count}", "env.check=false")
    return make_environments(config.env, count, infos=infos)


def run(envs, steps=10):
    rows = np.zeros((envs.num_envs, envs.spec.observation.row_size), envs.row_dtype)
    envs.reset(range(5, 5 + envs.num_envs), rows)
    return [envs.step(np.zeros(envs.num_envs, np.int64), rows) for _ in range(steps)]


@MODES
@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("raise", "environment 1: ConstructorError: code 7: a pin is loose (tests/faulty.py:"),
        ("raise locally", "environment 1: Local: cannot be pickled (tests/faulty.py:"),
        ("sys.exit", "environment 1: SystemExit: enough (tests/faulty.py:"),
        ("shape", "environment 1: the observation has shape [3], but its space [2] (step in tests/faulty.py:"),
        ("scalar", "environment 1: the observation has shape [], but its space [2] (step in tests/faulty.py:"),
        ("reward", "environment 1: TypeError: the reward is ndarray of shape [1], not a number"),
    ],
)
def test_any_failure_of_an_environment_is_one_line_that_names_it(what, told, vectorization):
    envs = made("id=tests.faulty:Wrong-v0", f"env.vectorization={vectorization}", f"+env.kwargs.what={what}",
                "+env.kwargs.at=7", "+env.kwargs.only_seed=6")  # fmt: skip
    begin = time.monotonic()
    with pytest.raises(Fault) as error:
        run(envs)
    envs.close()
    assert time.monotonic() - begin < 5
    assert str(error.value).startswith(told)
    assert "\n" not in str(error.value)


def test_a_process_that_ends_is_one_line():
    envs = made("id=tests.faulty:Wrong-v0", "env.vectorization=async", "+env.kwargs.what=exit", "+env.kwargs.at=7",
                "+env.kwargs.only_seed=6")  # fmt: skip
    with pytest.raises(Fault, match=r"the process of environment 1 ended with exit code 9$"):
        run(envs)
    envs.close()


def test_closing_does_not_wait_for_a_step_that_does_not_end(monkeypatch):
    monkeypatch.setattr("rlexp.envs.workers.CLOSE_SECONDS", 0.5)
    envs = made("id=tests.faulty:Wrong-v0", "env.vectorization=async", "+env.kwargs.what=hang", "+env.kwargs.at=1")
    rows = np.zeros((2, 2), np.float32)
    envs.reset([1, 2], rows)
    envs._envs.step_async(np.zeros(2, np.int64))
    begin = time.monotonic()
    envs.close()
    assert time.monotonic() - begin < 3
    assert not any(process.is_alive() for process in envs._envs.processes)


def test_an_environment_that_does_not_build_in_its_process_is_one_line(monkeypatch):
    envs = made("id=Counting-v0", "env.vectorization=async")
    envs.close()
    from rlexp.envs.workers import Workers

    def broken():
        raise ValueError("no second port")

    with pytest.raises(Fault, match=r"^environment 1 does not build: ValueError: no second port \(tests/envs/test_gua"):
        Workers([lambda: made_one(), broken])


def made_one():
    from rlexp.envs.make import maker

    return maker(composed("id=Counting-v0").env, 0)()


# Infos


@MODES
def test_infos_of_any_type_end_no_run(vectorization):
    envs = made("id=tests.faulty:Infos-v0", f"env.vectorization={vectorization}", count=3)
    results = run(envs, 60)
    envs.close()
    assert sum(int(result.terminated.sum()) for result in results) == 60


@MODES
def test_values_asked_for_are_those_of_the_last_step_of_each_episode(vectorization, capfd):
    names = ("is_success", "terms.speed", "array", "word", "nowhere")
    envs = made("id=tests.faulty:Infos-v0", f"env.vectorization={vectorization}", infos=names)
    results = run(envs, 6)
    envs.close()
    assert [result.infos is None for result in results] == [True, True, False, True, True, False]
    np.testing.assert_array_equal(results[2].infos, [[1, 0, 2.5, np.nan, np.nan]] * 2)
    np.testing.assert_array_equal(results[5].infos, [[0, 10, 2.5, np.nan, np.nan]] * 2)
    told = capfd.readouterr().err
    assert told.count("warning: log.infos: word is str, not a number in the info of an episode's last step") == 1


def test_episodes_carry_the_values():
    words = ("env.num_envs=2", "algo.num_steps=7", "algo.per_rank_batch_size=7", "log.infos=[is_success,terms.speed]")
    it = agent("id=tests.faulty:Infos-v0", *words)
    it.player._envs = make_environments(it.config.env, 2, infos=it.config.log.infos)
    assert [episode.infos for episode in it.player.collect().episodes] == [(1, 0), (1, 0), (0, 10), (0, 10)]


def test_values_are_gathered_from_environments_that_reset_on_the_next_step():
    import gymnasium

    from rlexp.envs.next_step import NextStepEnvironment

    class Paid(gymnasium.wrappers.vector.VectorizeTransformObservation if False else gymnasium.vector.VectorWrapper):
        def step(self, actions):
            *result, infos = self.env.step(actions)
            return *result, infos | {"half": np.array([0.5, 1.5]), "odd": ["a", "b", "c"]}

    base = gymnasium.make_vec("CartPole-v1", 2, vectorization_mode="vector_entry_point", max_episode_steps=3)
    envs = NextStepEnvironment(Paid(base), seed_each=False, infos=("half", "odd", "none"))
    results = run(envs, 8)
    envs.close()
    told = [result.infos for result in results if result.infos is not None]
    assert len(told) == 2
    assert told[0][:, 0].tolist() == [0.5, 1.5]
    assert all(math.isnan(value) for value in told[0][:, 1:].flatten())


def test_nested_kwargs_belong_to_one_environment_alone():
    overrides = ("id=tests.faulty:Writer-v0", "+env.kwargs.memory.nested.count=0")
    config = composed(*overrides, "env.check=false")
    for _ in range(2):
        envs = make_environments(config.env, 3)
        rows = np.zeros((3, 1), np.float32)
        envs.reset([1, 2, 3], rows)
        envs.close()
        assert rows[:, 0].tolist() == [1, 1, 1]
    assert config.env.kwargs == {"memory": {"nested": {"count": 0}}}
