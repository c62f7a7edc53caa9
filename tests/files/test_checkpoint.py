"""Checkpoints: written whole, read without running code, refused when damaged."""

import os
import pickle
import random
from dataclasses import replace

import pytest
import torch

from rlexp.errors import ConfigError
from rlexp.files.checkpoint import load, save
from rlexp.files.codec import FORMAT
from rlexp.run.loading import load_actor
from rlexp.run.schedule import schedule_of
from tests.commands import recorded_run, sealed
from tests.config.test_config import compose_config
from tests.topology.test_equality import assert_same


class Code:
    """Makes a folder when it is unpickled."""

    def __init__(self, target):
        self._target = target

    def __reduce__(self):
        return os.mkdir, (str(self._target),)


@pytest.fixture
def state(tmp_path_factory):
    return load(recorded_run(tmp_path_factory) / "RUN" / "checkpoints" / "last.safetensors")


@pytest.fixture
def path(tmp_path, state):
    save(tmp_path / "folder" / "a.safetensors", state)
    return tmp_path / "folder" / "a.safetensors"


def refused(path):
    """Return the line with which the file is refused."""
    with pytest.raises(ConfigError) as caught:
        load(path)
    line = str(caught.value)
    assert line.startswith(f"checkpoint={path} ")
    assert "\n" not in line
    return line


def test_what_is_saved_comes_back_and_no_other_file_is_left(path, state):
    assert_same(load(path), state)
    assert [file.name for file in path.parent.iterdir()] == ["a.safetensors"]


def test_saving_again_replaces_the_file(path, state):
    save(path, replace(state, env_steps=7))
    assert load(path).env_steps == 7


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.99])
def test_a_file_that_was_cut_off_is_refused(path, share):
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    assert "is damaged or no checkpoint" in refused(path)


@pytest.mark.parametrize("content", [b"\x80\x04.", bytes(999), b'{"format": 1}', random.Random(0).randbytes(5000)])
def test_a_file_that_is_something_else_is_refused(path, content, recwarn):
    path.write_bytes(content)
    assert "is damaged or no checkpoint" in refused(path)
    assert not recwarn.list


def test_flipped_bits_are_noticed(path):
    whole, draw = path.read_bytes(), random.Random(0)
    for _ in range(200):
        damaged = bytearray(whole)
        damaged[draw.randrange(len(whole))] ^= 1 << draw.randrange(8)
        path.write_bytes(damaged)
        assert "is damaged or no checkpoint" in refused(path)


def test_tensors_that_have_changed_places_are_noticed(path):
    """Two biases of 64 units lie in one file; each is whole, and only the checksum over all tells."""
    state = load(path)
    one, other = (state.learner.agent[f"{part}.torso.layers.0.bias"] for part in ("actor", "critic"))
    content = path.read_bytes()
    first, second = one.numpy().tobytes(), other.numpy().tobytes()
    assert first != second
    assert content.count(first) == content.count(second) == 1
    places = content.index(first), content.index(second)
    swapped = bytearray(content)
    swapped[places[0] : places[0] + 256], swapped[places[1] : places[1] + 256] = second, first
    path.write_bytes(swapped)
    assert "its checksum is wrong" in refused(path)


@pytest.mark.parametrize("writer", ["torch", "pickle"])
def test_code_in_a_file_is_not_run(path, tmp_path, writer):
    if writer == "torch":
        torch.save({"format": 2, "code": Code(tmp_path / "ran")}, path)
    else:
        path.write_bytes(pickle.dumps({"format": 2, "code": Code(tmp_path / "ran")}))
    assert "is damaged or no checkpoint" in refused(path)
    assert not (tmp_path / "ran").exists()


def test_a_checkpoint_of_another_format_is_refused(path):
    path.write_bytes(path.read_bytes().replace(FORMAT.encode(), b"rlexp 4"))
    assert "is damaged or no checkpoint of the format 'rlexp 3'" in refused(path)


def test_a_checkpoint_of_an_earlier_format_is_refused_by_its_name(tmp_path):
    torch.save({"format": 2}, tmp_path / "last.ckpt")
    assert "is of an earlier format, which is not read any more; train again" in refused(tmp_path / "last.ckpt")


@pytest.mark.parametrize("name", ["missing.safetensors", ""])
def test_what_is_no_file_is_refused_with_an_example(tmp_path, name):
    assert "is not a file; give the path of a checkpoint" in refused(tmp_path / name)


def without_weights(state):
    return replace(state, learner=replace(state.learner, agent={}))


def with_another_environment(state):
    state.config["env"]["id"] = "Acrobot-v1"


def with_an_unknown_environment(state):
    state.config["env"]["id"] = "Nowhere-v0"


def with_an_unknown_key(state):
    state.config["env"]["weather"] = "rain"


def with_a_value_out_of_range(state):
    state.config["algo"]["gamma"] = 7.0


def with_another_algorithm(state):
    return replace(state, algo="sac")


@pytest.mark.parametrize(
    "change",
    [
        without_weights,
        with_another_environment,
        with_an_unknown_environment,
        with_an_unknown_key,
        with_a_value_out_of_range,
        with_another_algorithm,
    ],
)
def test_a_checkpoint_whose_parts_do_not_fit_is_refused_in_one_line(change, state, tmp_path):
    sealed(tmp_path / "changed.safetensors", change(state) or state)
    with pytest.raises(ConfigError) as caught:
        load_actor(tmp_path / "changed.safetensors")
    assert "\n" not in str(caught.value)


SHAPE = ("env.num_envs=2", "algo.num_steps=32", "total_timesteps=512", "algo.per_rank_batch_size=32")


def due(what, *overrides):
    """Return the updates of 1 to 8, of 64 steps each, after which something is due."""
    schedule = schedule_of(compose_config(*SHAPE, *overrides))
    return [update for update in range(1, 9) if getattr(schedule.due(update), what)]


def test_checkpoints_are_due_after_every_evaluation():
    assert due("save", "checkpoint.every=192", "eval.every=128") == [2, 3, 4, 6, 8]
    assert due("evaluate", "checkpoint.every=192", "eval.every=128") == [2, 4, 6, 8]


@pytest.mark.parametrize(
    ("every", "updates"),
    [(0, [8]), (64, [1, 2, 3, 4, 5, 6, 7, 8]), (128, [2, 4, 6, 8]), (200, [4, 7, 8]), (10**6, [8])],
)
def test_checkpoints_are_due_when_a_multiple_of_every_is_passed_and_at_the_end(every, updates):
    assert due("save", f"checkpoint.every={every}") == updates


@pytest.mark.parametrize(
    ("every", "updates"), [("null", [8]), (1, [1, 2, 3, 4, 5, 6, 7, 8]), (100, [2, 4, 5, 7, 8]), (192, [3, 6, 8])]
)
def test_rows_are_due_when_a_multiple_of_every_is_passed_and_at_the_end(every, updates):
    assert due("log", f"log.every={every}") == updates
