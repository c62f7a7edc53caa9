"""An environment that breaks its own spaces is refused before anything is launched, in one line with file and line."""

import random
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from rlexp.envs import check_environment
from rlexp.errors import ConfigError
from tests import faulty
from tests.commands import command
from tests.helpers import composed

WRONG = "id=tests.faulty:Wrong-v0"


def message(*overrides):
    with pytest.raises(ConfigError) as error:
        check_environment(composed(*overrides))
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("what", "at", "told"),
    [
        ("raise", 0, "reset raised RuntimeError: no reset today (tests/faulty.py:{reset_line})"),
        ("one", 0, "reset returned ndarray of shape [2], but gymnasium asks for (observation, info)"),
        ("raise", 2, "step raised ConstructorError: code 7: a pin is loose (tests/faulty.py:"),
        ("sys.exit", 2, "step raised SystemExit: enough (tests/faulty.py:"),
        ("four", 1, "step returned a tuple of 4, but gymnasium asks for (observation, reward, terminated, truncated,"),
        ("reward", 2, "the reward is ndarray of shape [1], not a number: step in tests/faulty.py:"),
        ("None", 2, "the reward is NoneType, not a number: step in tests/faulty.py:"),
        ("info", 2, "the info of step is NoneType, not a dict: step in tests/faulty.py:"),
        ("shape", 2, "the observation has shape [3], but its space [2]: step in tests/faulty.py:"),
        ("shape", 0, "the observation has shape [3], but its space [2]: reset in tests/faulty.py:"),
        ("ragged", 2, "the observation is ragged, but its space has the shape [2]: step in tests/faulty.py:"),
        ("scalar", 2, "the observation has shape [], but its space [2]: step in tests/faulty.py:"),
        ("bounds", 2, "the observation is 7 at [1], but its space allows -1 to 1: step in tests/faulty.py:"),
        ("text", 2, "the observation has dtype <U1, but its space float32: step in tests/faulty.py:"),
        ("pixels", 2, "the observation has dtype float64 with fractions, but its space uint8: step in tests/"),
        ("dict", 2, "the observation is ['place'], but its space has the parts ['goal', 'place']: step in tests/"),
        ("close", 1, "close raised RuntimeError: the door is stuck (tests/faulty.py:"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_place(what, at, told):
    lines = Path(faulty.__file__).read_text().splitlines()
    reset_line = next(i for i, line in enumerate(lines, 1) if "no reset today" in line)
    text = message(WRONG, f"+env.kwargs.what={what}", f"+env.kwargs.at={at}")
    assert text.startswith("env.id=tests.faulty:Wrong-v0: " + told.format(reset_line=reset_line)), text


def test_the_traceback_of_what_was_raised_is_in_a_file_that_is_named():
    text = message(WRONG, "+env.kwargs.what=raise", "+env.kwargs.at=0")
    path = Path(re.search(r"its traceback is in (\S+)$", text).group(1))
    assert 'raise RuntimeError("no reset today")' in path.read_text()
    path.unlink()


def test_an_environment_that_does_not_return_is_given_up():
    text = message(WRONG, "+env.kwargs.what=hang", "fabric.timeout_seconds=0.2")
    assert "step did not return within fabric.timeout_seconds=0.2 (tests/faulty.py:" in text


@pytest.mark.slow
def test_an_environment_whose_compiled_code_hangs_is_ended_with_its_stack(tmp_path):
    here = Path(faulty.__file__).parents[1]
    done = command(
        "env=gym", f"env.{WRONG}", "+env.kwargs.what=hang in C", "fabric.timeout_seconds=1", cwd=tmp_path, modules=here
    )
    assert done.returncode == 1
    assert "faulty.py" in done.stderr and "in step" in done.stderr, done.stderr


def test_what_is_wrong_later_than_the_trial_is_not_found_by_it():
    check_environment(composed(WRONG, "+env.kwargs.what=raise", "+env.kwargs.at=1000"))


def test_a_user_may_start_an_environment_that_the_trial_refuses():
    check_environment(composed(WRONG, "+env.kwargs.what=bounds", "env.check=false"))


@pytest.mark.parametrize("source", ["numpy", "python", "torch"])
def test_the_trial_leaves_the_global_generators_as_they_were(source):
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    expected = random.random(), np.random.random(), float(torch.rand(()))
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    check_environment(composed("id=tests.faulty:Lucky-v0", f"+env.kwargs.source={source}"))
    assert (random.random(), np.random.random(), float(torch.rand(()))) == expected
