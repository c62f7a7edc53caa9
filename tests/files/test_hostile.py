"""Files from a stranger: refused in one line, nothing run, nothing written."""

import collections
import io
import itertools
import os
import pickle
import re
import struct
import sys
import zipfile
from pathlib import Path
from typing import Any

import gymnasium
import pytest
import torch

from rlexp.errors import ConfigError
from rlexp.evaluate import main, parse
from rlexp.files.checkpoint import load
from rlexp.run.loading import load_policy
from rlexp.run.resume import resumed
from tests.commands import recorded_run, sealed
from tests.launch.forked import done
from tests.config.test_config import compose_config


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> bytes:
    """A whole checkpoint."""
    return (recorded_run(tmp_path_factory) / "RUN" / "checkpoints" / "last.ckpt").read_bytes()


@pytest.fixture
def state(good):
    return torch.load(io.BytesIO(good), weights_only=True)


def refused(path: Path, env_id: str | None = None) -> str:
    """Return the line with which a checkpoint is refused."""
    with pytest.raises(ConfigError) as caught:
        load_policy(path, env_id)
    line = str(caught.value)
    assert line.startswith((f"checkpoint={path}", "env.id="))
    assert line.isprintable()
    assert len(line) < 500
    return line


def records(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def archive_of(named: list[tuple[str, bytes]], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, data in named:
            archive.writestr(name, data)
    return buffer.getvalue()


# The archive


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (("archive/data/0", b"other"), "two records of one name"),
        (("other/data/0", b"other"), "two records of one name"),
        (("../../escaped", b"x"), r"a record named '../../escaped'"),
        (("/tmp/escaped", b"x"), "a record named"),
        (("archive/code/__init__.py", b"x"), "a record named"),
        (("archive/a\nb", b"x"), "a record named"),
    ],
)
def test_an_archive_with_a_record_that_does_not_belong_is_refused(extra, message, good, tmp_path):
    sealed(tmp_path / "a.ckpt", archive_of([*records(good).items(), extra]))
    assert message in refused(tmp_path / "a.ckpt")


def test_a_zip_bomb_is_refused_before_it_is_unpacked(good, tmp_path):
    named = [*records(good).items(), ("archive/data/99", bytes(50_000_000))]
    sealed(tmp_path / "a.ckpt", archive_of(named, zipfile.ZIP_DEFLATED))
    assert (tmp_path / "a.ckpt").stat().st_size < 1_000_000
    assert "is compressed" in refused(tmp_path / "a.ckpt")


def test_records_that_overlap_are_refused(good, tmp_path):
    """The directory names one record a thousand times."""
    big = archive_of([*records(good).items(), ("archive/data/1000", bytes(100_000))])
    start = struct.unpack("<L", big[-6:-2])[0]
    directory = big[start:-22]
    entry = directory[directory.rindex(b"PK\1\2") :]
    more = b"".join(entry.replace(b"data/1000", b"data/%d" % number) for number in range(1001, 2000))
    count = struct.unpack("<H", big[-12:-10])[0] + 999
    end = struct.pack("<4sHHHHLLH", b"PK\5\6", 0, 0, count, count, len(directory) + len(more), start, 0)
    sealed(tmp_path / "a.ckpt", big[:start] + directory + more + end)
    assert "its records overlap" in refused(tmp_path / "a.ckpt")


def test_records_that_have_changed_places_are_noticed(good, tmp_path):
    """Every record is whole; only the checksum over all of them tells."""
    named = records(good)
    pairs = itertools.combinations(sorted(named), 2)
    one, other = next(pair for pair in pairs if {len(named[name]) for name in pair} == {256})  # two biases of 64 units
    named[one], named[other] = named[other], named[one]
    (tmp_path / "a.ckpt").write_bytes(archive_of(list(named.items())) + good[-64:])
    assert "is damaged or no checkpoint" in refused(tmp_path / "a.ckpt")


# The pickle


class Call:
    """Becomes a call of `function` in a pickle."""

    def __init__(self, function, *arguments):
        self._call = function, arguments

    def __reduce__(self):
        return self._call


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (os.system, ("touch ran",)),
        (eval, ("open('ran', 'w')",)),
        (torch.load, ("other",)),
        (bytearray, (10**12,)),
        (torch.Size, ([10**9],)),
        (collections.Counter, ("abc",)),
        (torch._utils._rebuild_meta_tensor_no_storage, (torch.float32, (10**15,), (1,), False)),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_pickle_that_calls_anything_else_is_refused(function, arguments, state, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sealed(tmp_path / "a.ckpt", {**state, "env_steps": Call(function, *arguments)})
    assert "which no checkpoint needs" in refused(tmp_path / "a.ckpt")
    assert [path.name for path in tmp_path.iterdir()] == ["a.ckpt"]


def with_pickle(good: bytes, data: bytes) -> bytes:
    named = records(good)
    return archive_of(list({**named, "archive/data.pkl": data}.items()))


def nested(depth: int) -> bytes:
    return b"\x80\x02" + b"]" * depth + b"a" * (depth - 1) + b"."


def laughing(depth: int) -> bytes:
    """Return a pickle of lists of ten times the same list, `depth` deep: small in memory, endless to walk."""
    data = b"\x80\x02]q\x00"
    for level in range(depth):
        data += b"](" + b"h" + bytes([level]) + (b"h" + bytes([level])) * 9 + b"eq" + bytes([level + 1])
    return data + b"."


@pytest.mark.parametrize(
    "data", [nested(40), nested(100_000), laughing(12), b"\x80\x02]q\x00h\x00a.", b"\x80\x02(" + b"0" * 1000],
    ids=["nested", "very nested", "laughing", "in itself", "damaged"],
)  # fmt: skip
def test_a_pickle_that_no_program_can_walk_is_refused(data, good, tmp_path):
    sealed(tmp_path / "a.ckpt", with_pickle(good, data))
    assert "refused" in refused(tmp_path / "a.ckpt") or "damaged" in refused(tmp_path / "a.ckpt")


@pytest.mark.parametrize(
    "tensor",
    [torch.zeros(1).expand(10**11), torch.zeros(1).as_strided((10**6, 10**6), (0, 0))],
    ids=["expanded", "strided"],
)
def test_a_tensor_larger_than_the_file_is_refused(tensor, state, tmp_path):
    state["policy"]["log_std"] = tensor
    sealed(tmp_path / "a.ckpt", state)
    assert "its tensors are larger than the file" in refused(tmp_path / "a.ckpt")


def test_a_tensor_that_reaches_beyond_its_storage_is_refused(state, tmp_path):
    buffer = io.BytesIO()
    torch.save({**state, "extra": torch.zeros(3, 7001)}, buffer)
    named = records(buffer.getvalue())
    size = struct.pack("<H", 7001)
    assert named["archive/data.pkl"].count(b"M" + size) >= 1
    data = named["archive/data.pkl"].replace(b"M" + size, b"J" + struct.pack("<i", 2**31 - 1))
    sealed(tmp_path / "a.ckpt", archive_of(list({**named, "archive/data.pkl": data}.items())))
    assert "refused" in refused(tmp_path / "a.ckpt") or "damaged" in refused(tmp_path / "a.ckpt")


# The config


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("env.kwargs", {"_target_": "os.system", "_args_": ["touch ran"]}, "_(target|args)_, which Hydra would act on"),
        ("env.kwargs", {"deep": [{"_partial_": True}]}, "_partial_, which Hydra"),
        ("env.id", "${oc.env:HOME}", "an interpolation"),
        ("env.kwargs", {"a": "${oc.decode:'[1]'}"}, "an interpolation"),
        ("env.kwargs", {"${now:%Y}": 1}, "an interpolation"),
        ("seed", "${total_timesteps}", "an interpolation"),
        ("env.id", "CartPole-v1\n\x1b[2Jall is well", "cannot be printed"),
        ("env.id", "x" * 10_000, "cannot be printed"),
        pytest.param("seed", 10**5000, "refused|more than 64 bits", id="huge"),
        ("seed", 2**64, "more than 64 bits"),
        ("env.kwargs", {"weights": torch.zeros(3)}, "there is a Tensor"),
        ("env.kwargs", {"a": [0] * 20_000}, "nested too deeply or hold too much"),
        ("env.kwargs", {"a": [[[[[[[[[[[[[[1]]]]]]]]]]]]]]}, "nested too deeply or hold too much"),
        ("env.id", "a_module_of_a_stranger:Env-v0", "add env_id=a_module_of_a_stranger:Env-v0"),
        ("env.id", "???", "env.id has no value"),
        ("algo.hidden_sizes", [10**9], r"do not fit its algo.hidden_sizes=\[1000000000\]"),
        ("algo.hidden_sizes", [64] * 1000, r"do not fit its algo.hidden_sizes=\[64, 64, 64, 64, ...\]"),
        ("algo.hidden_sizes", [64, 63], r"is \[64, 64\] float32, but its experiment needs \[63, 64\]"),
        ("algo.hidden_sizes", [], "hidden_sizes"),
        ("env.frame_stack", 10**6, "frame_stack=1000000 is out of range"),
        ("env.frame_stack", 900, "do not fit its env.frame_stack=900"),
        ("env.action_repeat", 10**9, "action_repeat=1000000000 is out of range"),
        ("env.normalize_observations", False, "has 'preprocessor.normalizer"),
        ("fabric.precision", "bf16-true", "but its experiment needs .* bfloat16"),
        ("env.kwargs", {"render_mode": "human", "nothing": 1}, "does not build"),
        ("env", [1, 2], "checkpoint="),
        ("algo", "ppo", "checkpoint="),
        ("", {}, "env.id has no value|checkpoint="),
        ("", {"_target_": "x"}, "_target_"),
    ],
)  # fmt: skip
def test_a_config_that_asks_for_more_than_it_may_is_refused(key, value, message, state, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if key:
        *groups, last = key.split(".")
        node = state["config"]
        for group in groups:
            node = node[group]
        node[last] = value
    else:
        state["config"] = value
    sealed(tmp_path / "a.ckpt", state)
    assert re.search(message, refused(tmp_path / "a.ckpt"))
    assert [path.name for path in tmp_path.iterdir()] == ["a.ckpt"]


def test_the_number_of_training_environments_allocates_nothing_in_an_evaluation(state, tmp_path):
    state["config"]["env"]["num_envs"] = 10**9
    state["config"]["total_timesteps"] = 10**15
    sealed(tmp_path / "a.ckpt", state)
    config, policy, _ = load_policy(tmp_path / "a.ckpt")
    assert config.env.num_envs == 10**9
    assert sum(value.numel() for value in policy.parameters()) < 20_000


@pytest.mark.parametrize("name", ["algo", "config", "policy", "env_steps"])
@pytest.mark.parametrize("value", [None, 3.5, "text", [1], {"a": torch.zeros(2)}, torch.zeros(2)])
def test_a_part_of_another_type_is_refused(name, value, state, tmp_path):
    sealed(tmp_path / "a.ckpt", {**state, name: value})
    refused(tmp_path / "a.ckpt")


def test_weights_that_are_not_finite_are_refused(state, tmp_path):
    state["policy"]["actor_head.bias"][0] = torch.nan
    sealed(tmp_path / "a.ckpt", state)
    assert "actor_head.bias is not finite" in refused(tmp_path / "a.ckpt")


MODULE = """
import pathlib
import gymnasium
from gymnasium.envs.classic_control import CartPoleEnv
pathlib.Path("ran").touch()
gymnasium.register("Mine-v0", entry_point=CartPoleEnv, max_episode_steps=50)
"""


def test_a_module_is_imported_only_where_the_user_names_it(state, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "mine.py").write_text(MODULE)
    state["config"]["env"]["id"] = "mine:Mine-v0"
    sealed(tmp_path / "a.ckpt", state)
    words = ["checkpoint=a.ckpt", "episodes=1"]
    for named in ([], ["env_id=other:Mine-v0"], ["env_id=Mine-v0"]):
        with pytest.raises(ConfigError, match=r"import the module mine .*; if you trust it, add env_id=mine:Mine-v0$"):
            main(parse([*words, *named]))
        assert not (tmp_path / "ran").exists()
    try:
        assert main(parse([*words, "env_id=mine:Mine-v0"]))["episodes"] == 1
    finally:
        sys.modules.pop("mine", None)
        gymnasium.registry.pop("Mine-v0", None)
    assert (tmp_path / "ran").exists()


# Going on


def not_resumed(state: dict[str, Any], run_dir: Path, *named: str) -> str:
    """Return the line that refuses to go on from a checkpoint."""
    sealed(run_dir / "checkpoints" / "last.ckpt", state)
    words = [f"resume={run_dir}", *named]
    with pytest.raises(ConfigError) as caught:
        resumed(compose_config(*words), words, run_dir)
    assert str(caught.value).isprintable()
    return str(caught.value)


def with_other(change: str, state: dict[str, Any]) -> None:
    """Change what a run needs to go on."""
    state["config"]["total_timesteps"] = 10**12
    if change == "environments":
        state["config"]["env"]["num_envs"] = 10**6
    elif change == "ranks":
        state["config"]["fabric"]["devices"] = 500
    elif change == "network":
        state["config"]["algo"]["hidden_sizes"] = [10**9]
    elif change == "player":
        state["ranks"] = [{}]
    elif change == "clock":
        state["recorder"] = "seconds"
    else:
        state["config"]["env"]["id"] = "mine:Mine-v0"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("environments", "does not hold the states of its env.num_envs=1000000"),
        ("ranks", "is of 1 ranks, but its experiment needs 500"),
        ("network", "its tensors do not fit its algo.hidden_sizes"),
        ("player", "does not hold the states of its env.num_envs"),
        ("clock", "does not hold what a run needs to resume"),
        ("module", "wants to import the module mine for its environment; if you trust it, add env.id=mine:Mine-v0"),
    ],
)
def test_a_run_does_not_go_on_from_what_does_not_fit(change, message, state, tmp_path):
    (tmp_path / "checkpoints").mkdir()
    with_other(change, state)
    assert message in not_resumed(state, tmp_path)


# Paths


@pytest.mark.parametrize("link", ["videos", "videos/test", "videos/test/last-seed42"])
def test_a_film_does_not_follow_a_link_out_of_the_run_directory(link, good, tmp_path):
    run_dir, outside = tmp_path / "RUN", tmp_path / "outside"
    (run_dir / "checkpoints").mkdir(parents=True)
    (run_dir / link).parent.mkdir(parents=True, exist_ok=True)
    outside.mkdir()
    (run_dir / link).symlink_to(outside)
    (run_dir / "checkpoints" / "last.ckpt").write_bytes(good)
    with pytest.raises(ConfigError, match="leads out of the run directory"):
        main(parse([f"checkpoint={run_dir}/checkpoints/last.ckpt", "episodes=1", "capture_video=true"]))
    assert not list(outside.iterdir())


def test_a_result_replaces_a_link_and_does_not_follow_it(good, tmp_path):
    (tmp_path / "outside").write_text("mine")
    (tmp_path / "RUN").mkdir()
    (tmp_path / "RUN" / "a.ckpt").write_bytes(good)
    (tmp_path / "RUN" / "a.eval.json").symlink_to(tmp_path / "outside")
    main(parse([f"checkpoint={tmp_path}/RUN/a.ckpt", "episodes=1"]))
    assert (tmp_path / "outside").read_text() == "mine"
    assert not (tmp_path / "RUN" / "a.eval.json").is_symlink()


@pytest.mark.parametrize("name", ["metrics.csv", "checkpoints", "tensorboard", "main.log", ".hydra"])
def test_a_run_does_not_follow_a_link_out_of_its_directory(name, tmp_path):
    outside = tmp_path / "outside"
    if name in ("metrics.csv", "main.log"):
        outside.write_text("mine")
    else:
        outside.mkdir()
    (tmp_path / "RUN").mkdir()
    (tmp_path / "RUN" / name).symlink_to(outside)
    code, ran = done(f"hydra.run.dir={tmp_path}/RUN", cwd=tmp_path / "cwd")
    assert code == 1
    assert f"{tmp_path}/RUN/{name} leads out of the run directory, to {outside}" in ran.stderr
    assert outside.read_text() == "mine" if outside.is_file() else not list(outside.iterdir())


def test_pickles_that_are_no_archive_are_not_read(tmp_path):
    (tmp_path / "a.ckpt").write_bytes(pickle.dumps({"format": 1}))
    with pytest.raises(ConfigError, match="not a zip archive"):
        load(tmp_path / "a.ckpt")
