"""Checkpoints: written whole, read without running code, refused when damaged."""

import io
import os
import pickle
import random
import re
import zipfile
from dataclasses import replace

import pytest
import torch

from rlexp.errors import ConfigError
from rlexp.files.checkpoint import FORMAT, checkpoint_due, load, save, sealed
from rlexp.run.loading import load_policy
from tests.commands import recorded_run
from tests.config.test_config import compose_config


class Code:
    """Touches a file when it is unpickled by a reader that runs code."""

    def __init__(self, target):
        self._target = target

    def __reduce__(self):
        return os.mkdir, (str(self._target),)


@pytest.fixture
def state():
    return {"weights": torch.arange(4096.0), "numbers": [1, 2.5, None, "text"], "nested": {"flag": True}}


@pytest.fixture
def path(tmp_path, state):
    save(tmp_path / "folder" / "a.ckpt", state)
    return tmp_path / "folder" / "a.ckpt"


def write(path, content):
    """Write anything as a file whose checksum is right."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    path.write_bytes(b"".join(sealed(buffer.getbuffer())))


def equal(one, other):
    return torch.equal(one["weights"], other["weights"]) and {**one, "weights": 0} == {**other, "weights": 0}


def refused(path):
    """Return the line with which the file is refused."""
    with pytest.raises(ConfigError) as caught:
        load(path)
    line = str(caught.value)
    assert line.startswith(f"checkpoint={path} ")
    assert "\n" not in line
    return line


def test_what_is_saved_comes_back_and_no_other_file_is_left(path, state):
    assert equal(load(path), {"format": FORMAT, **state})
    assert [file.name for file in path.parent.iterdir()] == ["a.ckpt"]


def test_saving_again_replaces_the_file(path, state):
    save(path, {**state, "numbers": []})
    assert load(path)["numbers"] == []


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


def test_parts_of_two_files_do_not_make_a_third(path, state, tmp_path):
    """Each record keeps its own checksum where the records of one size change places."""
    save(path, {**state, "weights": [torch.full((4096,), 1.0), torch.full((4096,), 2.0)]})
    with zipfile.ZipFile(path) as archive:
        records = {name: archive.read(name) for name in archive.namelist()}
        comment = archive.comment
    first, second = (name for name in records if "/data/" in name)
    records[first], records[second] = records[second], records[first]
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in records.items():
            archive.writestr(name, content)
        archive.comment = comment
    assert "bad checksum" in refused(path)


@pytest.mark.parametrize("writer", ["torch", "pickle"])
def test_code_in_a_file_is_not_run(path, tmp_path, writer):
    if writer == "torch":
        write(path, {"format": FORMAT, "code": Code(tmp_path / "ran")})
    else:
        path.write_bytes(pickle.dumps({"format": FORMAT, "code": Code(tmp_path / "ran")}))
    assert re.search(r"is damaged or no checkpoint|its pickle names [a-z]+\.mkdir, which no", refused(path))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [{"format": FORMAT + 1}, {}, [1, 2], torch.zeros(3)])
def test_a_checkpoint_of_another_format_is_refused(path, content):
    write(path, content)
    assert f"is not an rlexp checkpoint of format {FORMAT}" in refused(path)


@pytest.mark.parametrize("name", ["missing.ckpt", ""])
def test_what_is_no_file_is_refused_with_an_example(tmp_path, name):
    assert "is not a file; give the path of a checkpoint" in refused(tmp_path / name)


def without_weights(state):
    state["policy"] = {}


def with_another_environment(state):
    state["config"]["env"]["id"] = "Acrobot-v1"


def with_an_unknown_environment(state):
    state["config"]["env"]["id"] = "Nowhere-v0"


def with_an_unknown_key(state):
    state["config"]["env"]["weather"] = "rain"


def with_a_value_out_of_range(state):
    state["config"]["algo"]["gamma"] = 7.0


def without_config(state):
    del state["config"]


def with_another_algorithm(state):
    state["algo"] = "sac"


def with_a_list_as_config(state):
    state["config"] = [1]


@pytest.mark.parametrize(
    "change",
    [
        without_weights,
        with_another_environment,
        with_an_unknown_environment,
        with_an_unknown_key,
        with_a_value_out_of_range,
        without_config,
        with_another_algorithm,
        with_a_list_as_config,
    ],
)
def test_a_checkpoint_whose_parts_do_not_fit_is_refused_in_one_line(change, tmp_path, tmp_path_factory):
    state = torch.load(recorded_run(tmp_path_factory) / "RUN" / "checkpoints" / "last.ckpt", weights_only=True)
    change(state)
    write(tmp_path / "changed.ckpt", state)
    with pytest.raises(ConfigError) as caught:
        load_policy(tmp_path / "changed.ckpt")
    assert "\n" not in str(caught.value)


def test_checkpoints_are_due_after_every_evaluation():
    config = compose_config("env.num_envs=2", "algo.num_steps=32", "total_timesteps=512", "algo.per_rank_batch_size=32")
    config = replace(config, checkpoint=replace(config.checkpoint, every=192), eval=replace(config.eval, every=128))
    assert [update for update in range(1, 9) if checkpoint_due(config, update)] == [2, 3, 4, 6, 8]


@pytest.mark.parametrize(
    ("every", "due"), [(0, [8]), (64, [1, 2, 3, 4, 5, 6, 7, 8]), (128, [2, 4, 6, 8]), (200, [4, 7, 8]), (10**6, [8])]
)
def test_checkpoints_are_due_when_a_multiple_of_every_is_passed_and_at_the_end(every, due):
    config = compose_config("env.num_envs=2", "algo.num_steps=32", "total_timesteps=512", "algo.per_rank_batch_size=32")
    config = replace(config, checkpoint=replace(config.checkpoint, every=every))
    assert [update for update in range(1, 9) if checkpoint_due(config, update)] == due
