"""What the checkpoints of a run become when it resumes from one of them, and what is said then."""

import pytest

from rlexp.data.resuming import ResumePoint
from rlexp.files.checkpoint import load
from rlexp.run import resume
from rlexp.run.resume import checkpoint_times, make_last, resumed
from tests.helpers import composed
from tests.topology.ranks import SMALL, launched

WORDS = ("checkpoint.every=64", "checkpoint.keep=5")


@pytest.fixture
def run_dir(tmp_path):
    launched(tmp_path / "run", *WORDS, updates=4)  # 64, 128 and 192 steps, and the last: 256
    return tmp_path / "run"


def point_of(path):
    state = load(path)
    return ResumePoint(path, state.recorder.updates, state.env_steps, state.recorder.seconds)


def names(folder):
    return sorted(path.name for path in folder.glob("*.safetensors"))


def test_later_checkpoints_are_set_aside_and_earlier_ones_stay(run_dir):
    folder = run_dir / "checkpoints"
    middle = folder / "step-000000128.safetensors"
    content = middle.read_bytes()
    (folder / "step-000000192.safetensors.tmp").write_bytes(b"half")
    make_last(point_of(middle), run_dir)
    assert load(folder / "last.safetensors").env_steps == 128
    assert (folder / "last.safetensors").read_bytes() == content
    assert {"step-000000064.safetensors", "step-000000128.safetensors", "best.safetensors"} <= set(names(folder))
    assert "step-000000192.safetensors" not in names(folder)
    aside = names(run_dir / "checkpoints-1")
    assert {"step-000000192.safetensors", "last.safetensors"} <= set(aside)
    assert load(folder / "best.safetensors").env_steps <= 128
    assert not list(folder.glob("*.tmp"))


def test_a_best_checkpoint_that_is_missing_or_damaged_is_made_again(run_dir):
    folder = run_dir / "checkpoints"
    middle, best = folder / "step-000000128.safetensors", folder / "best.safetensors"
    best.write_bytes(b"no checkpoint")
    make_last(point_of(middle), run_dir)
    assert (run_dir / "checkpoints-1" / "best.safetensors").read_bytes() == b"no checkpoint"
    assert best.read_bytes() == middle.read_bytes()
    best.unlink()
    make_last(point_of(middle), run_dir)
    assert best.read_bytes() == middle.read_bytes()


def test_an_earlier_best_checkpoint_stays(run_dir):
    folder = run_dir / "checkpoints"
    first = (folder / "step-000000064.safetensors").read_bytes()
    (folder / "best.safetensors").write_bytes(first)
    make_last(point_of(folder / "step-000000192.safetensors"), run_dir)
    assert (folder / "best.safetensors").read_bytes() == first


def test_the_last_checkpoint_changes_nothing(run_dir):
    before = checkpoint_times(run_dir)
    assert [name for name, _ in before] == names(run_dir / "checkpoints")
    make_last(point_of(run_dir / "checkpoints" / "last.safetensors"), run_dir)
    assert checkpoint_times(run_dir) == before
    assert not (run_dir / "checkpoints-1").exists()


def test_other_versions_are_said_by_name(run_dir, monkeypatch, capsys):
    words = (*SMALL, *WORDS, "resume=auto", "total_timesteps=256", "compile=auto")
    now = resume.versions()
    wanted = composed(*(word for word in words if word != "total_timesteps=1000000"))
    wanted.compile = False
    made = resumed(wanted, words, run_dir)
    assert made is not None
    assert (made.point.updates, made.point.env_steps) == (4, 256)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(resume, "versions", lambda: now | {"torch": "99.0"})
    assert resumed(wanted, words, run_dir) is not None
    said = capsys.readouterr().err
    assert said == (
        f"warning: torch 99.0 (was {now['torch']}): the run continues, but will not equal one without interruption\n"
    )
    wanted.resume = None
    assert resumed(wanted, words, run_dir) is None
