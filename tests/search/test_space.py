"""Spaces of a search, as a command line or a preset writes them."""

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from rlexp.errors import ConfigError
from rlexp.search.space import shown_of, space_of, words_of

optuna = pytest.importorskip("optuna", reason='needs rlexp[search]: pip install "rlexp[search]"')
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution  # noqa: E402


def parsed(*words):
    return space_of(OverridesParser.create().parse_overrides(list(words)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("interval(0.1, 0.9)", FloatDistribution(0.1, 0.9)),
        ("interval(1, 9)", FloatDistribution(1, 9)),
        ("int(interval(1, 9))", IntDistribution(1, 9)),
        ("tag(log, interval(1e-5, 1e-2))", FloatDistribution(1e-5, 1e-2, log=True)),
        ("tag(log, int(interval(1, 100)))", IntDistribution(1, 100, log=True)),
        ("range(1, 9, 2)", IntDistribution(1, 7, step=2)),
        ("range(0.1, 0.5, 0.1)", FloatDistribution(0.1, 0.4, step=0.1)),
        ("choice(64, 128)", CategoricalDistribution(["64", "128"])),
        ("1,2,3", CategoricalDistribution(["1", "2", "3"])),
        ("choice([64,64],[32])", CategoricalDistribution(["[64,64]", "[32]"])),
    ],
)
def test_what_is_swept_is_searched(text, expected):
    found = parsed(f"algo.gamma={text}").distributions["algo.gamma"]
    if isinstance(expected, FloatDistribution) and expected.step:
        assert (found.low, found.high, found.step) == pytest.approx((expected.low, expected.high, expected.step))
    else:
        assert found == expected


def test_other_words_are_of_all_trials_and_seeds_are_no_setting():
    space = parsed("env=pendulum", "seed=1,2,3", "algo.gamma=interval(0.1,0.9)", "+env.kwargs.g=9.8")
    assert space.fixed == ("env=pendulum", "+env.kwargs.g=9.8")
    assert space.seeds == (1, 2, 3)
    assert list(space.distributions) == ["algo.gamma"]
    assert list(parsed("+env.kwargs.g=1,2").distributions) == ["+env.kwargs.g"]
    assert parsed("seed=7", "algo.gamma=0.1,0.2").fixed == ("seed=7",)
    assert space.example() == ["algo.gamma=0.1", "seed=1"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["env=pendulum"], "nothing is searched; give a space, such as search=ppo"),
        (["algo.gamma=interval(0.9,0.1)"], "algo.gamma=interval.0.9,0.1. cannot be searched"),
        (["algo.gamma=range(5,5)"], "cannot be searched: it is empty|cannot be searched"),
        (["algo.gamma=tag(log,interval(0,1.0))"], "cannot be searched"),
        (["seed=1.5,2", "algo.gamma=0.1,0.2"], "is no list of seeds; write seed=1,2,3"),
        (["algo.gamma=glob(*)"], "cannot be searched; allowed: interval"),
        (["algo.gamma=shuffle(0.1,0.2)"], "cannot be searched; allowed: interval"),
        (["seed=interval(1,3)", "algo.gamma=0.1,0.2"], "is no list of seeds; write seed=1,2,3"),
    ],
)
def test_what_cannot_be_searched_is_one_line(words, said):
    with pytest.raises(ConfigError, match=said):
        parsed(*words)


def test_jobs_get_whole_numbers_and_people_four_digits_that_count():
    parameters = {"a": 0.99996123, "b": 3, "c": "[1,2]"}
    assert words_of(parameters) == ["a=0.99996123", "b=3", "c=[1,2]"]
    assert shown_of(parameters) == ["a=1", "b=3", "c=[1,2]"]
