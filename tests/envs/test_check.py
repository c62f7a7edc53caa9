from pathlib import Path

import pytest

from rlexp.envs import check_environment
from rlexp.errors import ConfigError
from tests.helpers import composed


def message(*overrides):
    with pytest.raises(ConfigError) as error:
        check_environment(composed(*overrides))
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_good_environment_gives_its_spaces():
    spec = check_environment(composed("env=cartpole"))
    assert spec.observation.vector_size == 4
    assert spec.action.sizes == (2,)


def test_the_spaces_are_those_of_the_wrapped_environment():
    assert check_environment(composed("env=cartpole", "env.frame_stack=3")).observation.vector_size == 12


def test_an_environment_of_a_module_is_found():
    assert check_environment(composed("id=tests.environments:Counting-v0")).observation.vector_size == 3


def test_an_unknown_id_gives_the_nearest_names():
    text = message("id=CartPoll-v1")
    assert text.startswith("env.id=CartPoll-v1 is not registered; nearest: ")
    assert "CartPole-v1" in text


def test_an_unknown_version_gives_those_that_exist():
    assert message("id=Pendulum-v7") == "env.id=Pendulum-v7 is not registered; nearest: Pendulum-v1"


def test_a_name_without_version_of_a_known_module_gives_the_nearest():
    assert "nearest: Counting-v0" in message("id=tests.environments:Countin-v0")


def test_an_id_that_is_near_to_nothing_says_so():
    assert "env.id=Xyzzyqwerty-v3 is not registered" in message("id=Xyzzyqwerty-v3")


@pytest.mark.parametrize("module", ["no_such_module", "no_such_package.environments"])
def test_a_module_of_an_id_that_does_not_exist_is_named(module):
    text = message(f"id={module}:Foo-v0")
    assert text == f"env.id={module}:Foo-v0 needs module {module.partition('.')[0]}, which is not installed"


def test_a_module_that_an_environment_imports_in_vain_is_named():
    assert message("id=Needy-v0") == "env.id=Needy-v0 needs module a_module_that_is_nowhere, which is not installed"


def test_an_environment_that_raises_when_built_gives_its_error_in_one_line():
    text = message("id=Broken-v0")
    told, _, file = text.partition("; its traceback is in ")
    assert told.startswith("env.id=Broken-v0 does not build: RuntimeError: the simulator did not start (tests/environm")
    assert 'raise RuntimeError("the simulator' in Path(file).read_text()
    Path(file).unlink()


def test_a_keyword_that_an_environment_does_not_take_is_reported():
    text = message("env=cartpole", "+env.kwargs.speed=3")
    assert text.startswith("env.id=CartPole-v1 does not build: ")
    assert "speed" in text


@pytest.mark.parametrize("kind", ["text", "sequence"])
def test_an_unsupported_observation_space_is_named(kind):
    text = message("id=Silent-v0", f"+env.kwargs.observation={kind}")
    assert text.startswith(f"env.id=Silent-v0: the observation space is {kind.title()}(")


def test_an_unsupported_part_of_a_dict_is_named():
    text = message("id=Silent-v0", "+env.kwargs.observation=listed")
    assert text.startswith("env.id=Silent-v0: part 'many' of the observation space is Sequence(")


def test_an_unsupported_action_space_is_named():
    assert "env.id=Silent-v0: the action space is Text(" in message("id=Silent-v0", "+env.kwargs.action=text")


def test_tanh_needs_finite_bounds():
    overrides = ("id=Silent-v0", "+env.kwargs.action=unbounded")
    check_environment(composed(*overrides))
    assert message(*overrides, "env.action_bounds=tanh").startswith("env.action_bounds=tanh needs finite bounds")


def test_video_needs_an_environment_that_draws_itself():
    check_environment(composed("id=Picture-v0", "capture_video=true"))
    assert "has no render mode rgb_array" in message("id=Counting-v0", "capture_video=true")
