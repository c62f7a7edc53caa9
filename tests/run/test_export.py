"""`rlexp.export`: the file does what the policy does, for every kind of observation and action."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import rlexp
from rlexp.errors import ConfigError, Fault
from rlexp.run.exporting import export
from tests.commands import command, error_line
from tests.topology.ranks import launched

NORMALIZED = ("env.normalize_observations=true",)
KINDS = {
    "vector": NORMALIZED,
    "tanh": ("env=pendulum", "env.action_bounds=tanh", *NORMALIZED),
    "parts": ("env=gym", "env.id=tests.environments:Mixed-v0", *NORMALIZED),
    "pixels": ("env=gym", "env.id=tests.environments:Picture-v0", "env.frame_stack=2"),
    "actions of parts": ("env=gym", "env.id=tests.environments:Orders-v0"),
    "masks": ("env=gym", "env.id=tests.environments:Doors-v0"),
    "recurrent": ("model=gru", "model.sequence_length=8", *NORMALIZED),
    "recurrent images": (
        "env=gym", "env.id=tests.environments:Picture-v0", "model=lstm", "model.sequence_length=8",
        "algo.shared_torso=true",
    ),
    "choices": ("env=gym", "env.id=FrozenLake-v1"),
}  # fmt: skip


def exported(run_dir: Path, *words: str, env_id: str = "") -> dict:
    named = [f"env_id={env_id}"] if ":" in env_id else []
    paths = [f"checkpoint={run_dir}/checkpoints/last.safetensors", *words, *named]
    done = command(*paths, cwd=Path.cwd(), module="rlexp.export")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def id_of(words: tuple[str, ...]) -> str:
    return next((word.partition("=")[2] for word in words if word.startswith("env.id=")), "")


FAST = ("actions of parts", "recurrent")


@pytest.mark.parametrize(
    "kind", [kind if kind in FAST else pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS]
)
def test_an_exported_program_of_torch_takes_the_actions_of_the_policy(kind, tmp_path):
    run_dir, words = tmp_path / "run", KINDS[kind]
    launched(run_dir, *words, "model.layer_norm=true", updates=3)
    about = exported(run_dir, "format=torch", env_id=id_of(words))
    assert about["checked"] == {
        "observations": 1000,
        "same_actions": 1000,
        "largest_difference": pytest.approx(0, abs=1e-5),
    }
    assert about["file"] == str(run_dir / "checkpoints" / "last.pt2")
    assert json.loads(Path(f"{about['file']}.json").read_text())["inputs"] == about["inputs"]
    assert sorted(path.suffix for path in (run_dir / "checkpoints").glob("last.*")) == [".json", ".pt2", ".safetensors"]


def test_a_program_of_torch_runs_without_rlexp(tmp_path):
    launched(tmp_path / "run", *KINDS["parts"], updates=2)
    about = exported(tmp_path / "run", "format=torch", f"output={tmp_path}/out/a.pt2", env_id=id_of(KINDS["parts"]))
    policy = rlexp.load(tmp_path / "run", env_id=id_of(KINDS["parts"]))
    observation = policy.observation_space.sample()
    script = (
        "import sys, torch; assert 'rlexp' not in sys.modules; "
        f"given = torch.load({str(tmp_path / 'given.pt')!r}); "
        f"print(torch.export.load({about['file']!r}).module()(*given)[0].tolist())"
    )
    given = []
    for each in about["inputs"]:
        value = observation
        for key in each["path"]:
            value = value[key]
        given.append(torch.as_tensor(np.asarray(value, each["dtype"]))[None])
    torch.save(given, tmp_path / "given.pt")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.strip() == str([np.asarray(policy.act(observation)[0]).tolist()])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["format=keras"], "format=keras is not a choice; allowed: onnx, torch"),
        (["formt=onnx"], "unknown key 'formt'; allowed: checkpoint, format, output, env_id, plugins"),
    ],
)
def test_a_wrong_word_is_one_line(words, said, tmp_path):
    done = command("checkpoint=x.safetensors", *words, cwd=tmp_path, module="rlexp.export")
    assert said in error_line(done)


def test_a_missing_package_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr("rlexp.run.exporting.importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"needs onnx, onnxscript, onnxruntime; install it with: pip install 'rlexp"):
        export(tmp_path / "last.safetensors", "onnx", None, None, [])


@pytest.mark.extras
@pytest.mark.parametrize("kind", KINDS)
def test_an_onnx_file_takes_the_actions_of_the_policy(kind, tmp_path):
    run_dir, words = tmp_path / "run", KINDS[kind]
    launched(run_dir, *words, updates=3)
    about = exported(run_dir, env_id=id_of(words))
    assert about["checked"]["same_actions"] >= 999
    script = Path(__file__).parents[2] / "examples" / "play_onnx.py"
    played = [sys.executable, str(script), about["file"], "--episodes", "2"]
    done = subprocess.run(played, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("return: ")


def test_a_network_that_does_not_export_is_one_line_and_leaves_no_file(tmp_path, monkeypatch):
    def fails(network, path):
        path.touch()
        raise RuntimeError("Could not guard on\ndata-dependent expression")

    launched(tmp_path / "run", updates=1)
    monkeypatch.setattr("rlexp.run.exporting._write_torch", fails)
    said = "format=torch: the network cannot be exported: RuntimeError: Could not guard on data-dependent"
    with pytest.raises(Fault, match=said):
        export(tmp_path / "run" / "checkpoints" / "last.safetensors", "torch", None, None, [])
    assert not list((tmp_path / "run" / "checkpoints").glob("*.pt2"))
