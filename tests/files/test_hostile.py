"""Files from a stranger: refused in one line, nothing run, nothing written."""

import hashlib
import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import gymnasium
import pytest
import safetensors.torch
import torch

from rlexp.data.state import Saved
from rlexp.errors import ConfigError
from rlexp.evaluate import main, parse
from rlexp.files.checkpoint import load
from rlexp.files.codec import decode, seal
from rlexp.run.loading import load_actor
from rlexp.run.resume import resumed
from tests.commands import recorded_run, sealed
from tests.config.test_config import compose_config
from tests.launch.forked import done


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> bytes:
    """A whole checkpoint."""
    return (recorded_run(tmp_path_factory) / "RUN" / "checkpoints" / "last.safetensors").read_bytes()


@pytest.fixture
def state(good):
    return decode(good, Saved)


def refused(path: Path, env_id: str | None = None) -> str:
    """Return the line with which a checkpoint is refused."""
    with pytest.raises(ConfigError) as caught:
        load_actor(path, env_id)
    line = str(caught.value)
    assert line.startswith((f"checkpoint={path}", "env.id="))
    assert line.isprintable()
    assert len(line) < 500
    return line


def plain_and_tensors(good: bytes) -> tuple[dict, dict[str, torch.Tensor]]:
    """Return the JSON and the tensors of a checkpoint."""
    size = int.from_bytes(good[:8], "little")
    return json.loads(json.loads(good[8 : 8 + size])["__metadata__"]["state"]), safetensors.torch.load(good)


def with_header(good: bytes, change) -> bytes:
    """Return a checkpoint with a changed header, and the checksum that this needs."""
    size = int.from_bytes(good[:8], "little")
    header = json.loads(good[8 : 8 + size])
    change(header)
    header["__metadata__"]["sha256"] = "0" * 64
    text = json.dumps(header, separators=(",", ":")).encode()
    content = len(text).to_bytes(8, "little") + text + good[8 + size :]
    checksum = hashlib.sha256(content).hexdigest().encode()
    return content.replace(b'"sha256":"' + b"0" * 64, b'"sha256":"' + checksum)


# The file


def test_a_changed_header_with_the_right_checksum_is_read(good, tmp_path):
    (tmp_path / "a.safetensors").write_bytes(with_header(good, lambda header: None))
    assert load(tmp_path / "a.safetensors").algo == "ppo"


def far(header):
    next(value for name, value in header.items() if name != "__metadata__")["data_offsets"][1] += 10**12


def overlapping(header):
    one, other, *_ = (value for name, value in header.items() if value.get("shape") == [64])
    other["data_offsets"] = one["data_offsets"]


def huge(header):
    next(value for name, value in header.items() if value.get("shape") == [64])["shape"] = [10**9, 10**9]


def unknown_type(header):
    next(value for name, value in header.items() if value.get("shape") == [64])["dtype"] = "F1000"


@pytest.mark.parametrize("change", [far, overlapping, huge, unknown_type])
def test_a_header_that_does_not_fit_the_data_is_refused(change, good, tmp_path):
    (tmp_path / "a.safetensors").write_bytes(with_header(good, change))
    assert "SafetensorError" in refused(tmp_path / "a.safetensors")


@pytest.mark.parametrize("size", [0, 1, 2**31, 2**63, 2**64 - 1])
def test_a_header_of_an_impossible_length_is_refused(size, good, tmp_path):
    (tmp_path / "a.safetensors").write_bytes(size.to_bytes(8, "little") + good[8:])
    assert "is damaged or no checkpoint" in refused(tmp_path / "a.safetensors")


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000 + "]" * 100_000,
        "[" * 40 + "]" * 40,
        "[" + "0," * 3_000_000 + "0]",
        '{"os.system": {"command": "touch ran"}}',
        '{"Saved": {"nothing": 1}}',
        '{"Saved": {}}',
        '{"Code": {"__class__": 1}}',
        '{"tensor": "nowhere"}',
        '{"dict": [[[1], 2]]}',
        '{"dict": 3}',
        '{"tuple": null}',
        '{"a": 1, "b": 2}',
        "{}",
        "1" * 5_000,
        "not JSON",
        "null",
    ],
    ids=lambda text: text[:20],
)
def test_values_that_are_no_state_are_refused(text, good, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.safetensors").write_bytes(seal(text, plain_and_tensors(good)[1]))
    assert "is damaged or no checkpoint" in refused(tmp_path / "a.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]


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
        ("model.critic_hidden_sizes", [10**9], r"do not fit its model.critic_hidden_sizes=\[1000000000\]"),
        ("model.kwargs", {"channels": [16, 10**9]}, r"do not fit its model.kwargs=\[16, 1000000000\]"),
        ("logger.own", ["a_module_of_a_stranger:Sink"], r"add plugins=\[a_module_of_a_stranger\]"),
        ("env.frame_stack", 10**6, "frame_stack=1000000 is out of range"),
        ("env.frame_stack", 900, "do not fit its env.frame_stack=900"),
        ("env.action_repeat", 10**9, "action_repeat=1000000000 is out of range"),
        ("env.normalize_observations", False, "has 'actor.preprocessor.normalizer"),
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
        node = state.config
        for group in groups:
            node = node[group]
        node[last] = value
    else:
        state = replace(state, config=value)
    sealed(tmp_path / "a.safetensors", state)
    assert re.search(message, refused(tmp_path / "a.safetensors"))
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]


def test_the_number_of_training_environments_allocates_nothing_in_an_evaluation(state, tmp_path):
    state.config["env"]["num_envs"] = 10**9
    state.config["total_timesteps"] = 10**15
    sealed(tmp_path / "a.safetensors", state)
    config, policy, _ = load_actor(tmp_path / "a.safetensors")
    assert config.env.num_envs == 10**9
    assert sum(value.numel() for value in policy.parameters()) < 20_000


@pytest.mark.parametrize("name", ["algo", "config", "learner", "env_steps", "ranks", "recorder", "versions"])
@pytest.mark.parametrize("value", [None, 3.5, "text", [1], {"dict": [["a", 1]]}, {"tensor": "learner.agent.actor.low"}])
def test_a_part_of_another_type_is_refused(name, value, good, tmp_path):
    if (name, value) == ("algo", "text"):
        return  # which is of the right type, and refused as no algorithm elsewhere
    plain, tensors = plain_and_tensors(good)
    tensors["learner.agent.actor.low"] = torch.zeros(2)
    plain["Saved"][name] = value
    (tmp_path / "a.safetensors").write_bytes(seal(json.dumps(plain), tensors))
    refused(tmp_path / "a.safetensors")


def test_weights_that_are_not_finite_are_refused(state, tmp_path):
    state.learner.agent["actor.head.bias"][0] = torch.nan
    sealed(tmp_path / "a.safetensors", state)
    assert "actor.head.bias is not finite" in refused(tmp_path / "a.safetensors")


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
    state.config["env"]["id"] = "mine:Mine-v0"
    sealed(tmp_path / "a.safetensors", state)
    words = ["checkpoint=a.safetensors", "episodes=1"]
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


# Resume


def not_resumed(state: Saved, run_dir: Path, *named: str) -> str:
    """Return the line that refuses to resume from a checkpoint."""
    sealed(run_dir / "checkpoints" / "last.safetensors", state)
    words = [f"resume={run_dir}", *named]
    with pytest.raises(ConfigError) as caught:
        resumed(compose_config(*words), words, run_dir)
    assert str(caught.value).isprintable()
    return str(caught.value)


def with_other(change: str, state: Saved) -> Saved:
    """Change what a run needs to resume."""
    state.config["total_timesteps"] = 10**12
    if change == "environments":
        state.config["env"]["num_envs"] = 10**6
    elif change == "ranks":
        state.config["fabric"]["devices"] = 500
    elif change == "network":
        state.config["algo"]["hidden_sizes"] = [10**9]
    elif change == "player":
        return replace(state, ranks=[replace(state.ranks[0], player=None)])
    elif change == "memory":
        return replace(state, ranks=[replace(state.ranks[0], memory=None)])
    else:
        state.config["env"]["id"] = "mine:Mine-v0"
    return state


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("environments", "does not hold the states of its env.num_envs=1000000"),
        ("ranks", "is of 1 ranks, but its experiment needs 500"),
        ("network", "its tensors do not fit its algo.hidden_sizes"),
        ("player", "does not hold what a run needs to resume: the state of rank 0"),
        ("memory", "does not hold what a run needs to resume: the state of rank 0"),
        ("module", "wants to import the module mine for its environment; if you trust it, add env.id=mine:Mine-v0"),
    ],
)
def test_a_run_does_not_resume_from_what_does_not_fit(change, message, state, tmp_path):
    (tmp_path / "checkpoints").mkdir()
    assert message in not_resumed(with_other(change, state), tmp_path)


# Paths


@pytest.mark.parametrize("link", ["videos", "videos/test", "videos/test/last-seed42"])
def test_a_video_does_not_follow_a_link_out_of_the_run_directory(link, good, tmp_path):
    run_dir, outside = tmp_path / "RUN", tmp_path / "outside"
    (run_dir / "checkpoints").mkdir(parents=True)
    (run_dir / link).parent.mkdir(parents=True, exist_ok=True)
    outside.mkdir()
    (run_dir / link).symlink_to(outside)
    (run_dir / "checkpoints" / "last.safetensors").write_bytes(good)
    with pytest.raises(ConfigError, match="leads out of the run directory"):
        main(parse([f"checkpoint={run_dir}/checkpoints/last.safetensors", "episodes=1", "capture_video=true"]))
    assert not list(outside.iterdir())


def test_a_result_replaces_a_link_and_does_not_follow_it(good, tmp_path):
    (tmp_path / "outside").write_text("mine")
    (tmp_path / "RUN").mkdir()
    (tmp_path / "RUN" / "a.safetensors").write_bytes(good)
    (tmp_path / "RUN" / "a.eval.json").symlink_to(tmp_path / "outside")
    main(parse([f"checkpoint={tmp_path}/RUN/a.safetensors", "episodes=1"]))
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
