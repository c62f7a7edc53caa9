"""Large states of ranks lie in files of their own, written once by their rank and shared between checkpoints."""

import shutil
from dataclasses import replace

import pytest

from rlexp.data.replay import Segment
from rlexp.data.resuming import ResumePoint
from rlexp.errors import ConfigError
from rlexp.files import segments
from rlexp.files.checkpoint import load
from rlexp.files.segments import rank_states
from rlexp.run.resume import make_last
from tests.commands import rows_without_times
from tests.topology.ranks import checkpoint, launched, resumed
from tests.topology.test_equality import assert_same
from tests.topology.test_resume import rewound

SAVING = ("checkpoint.every=1", "checkpoint.keep=20", "env.normalize_rewards=true")
WAYS = {
    "coupled": ("topology=coupled", "fabric.devices=2"),
    "overlap": ("topology=decoupled", "fabric.devices=2", "topology.overlap=true"),
}


@pytest.fixture
def large(monkeypatch):
    """Every state of a rank is large enough for a segment; ranks are forked, so it holds for them too."""
    monkeypatch.setattr(segments, "LEAST_BYTES", 1)


def named(folder):
    return {own.sha256 for path in folder.glob("*.safetensors") for own in load(path).ranks}


@pytest.mark.parametrize("way", WAYS)
def test_a_run_with_segments_resumes_exactly(way, large, tmp_path, monkeypatch):
    whole = tmp_path / "whole"
    launched(whole, *WAYS[way], *SAVING, updates=4)
    assert all(isinstance(own, Segment) for own in checkpoint(whole).ranks)
    again = rewound(whole, 2, tmp_path / "again")
    resumed(again, *WAYS[way], *SAVING, updates=4)
    ends = []
    for run_dir in (whole, again):
        last = run_dir / "checkpoints" / "last.safetensors"
        ends.append([without_times_of(own) for own in rank_states(load(last), last)])
    monkeypatch.setattr(segments, "LEAST_BYTES", 2**40)
    launched(tmp_path / "without", *WAYS[way], *SAVING, updates=4)
    ends.append([without_times_of(own) for own in checkpoint(tmp_path / "without").ranks])
    assert_same(ends[0], ends[1])
    assert_same(ends[0], ends[2])


def without_times_of(own):
    return own if own.collected is None else replace(own, collected=replace(own.collected, seconds=0.0))


def test_segments_that_no_checkpoint_names_are_removed_and_those_of_two_are_one_file(large, tmp_path):
    launched(tmp_path / "run", *WAYS["coupled"], "checkpoint.every=1", "checkpoint.keep=1", updates=5)
    folder = tmp_path / "run" / "checkpoints"
    files = {path.stem for path in (folder / "segments").iterdir()}
    assert files == named(folder)
    assert len(list(folder.glob("*.safetensors"))) == 3
    assert len(files) <= 2 * 3


@pytest.mark.parametrize("damage", ["missing", "damaged"])
def test_a_checkpoint_whose_segment_is_missing_or_damaged_is_refused_in_one_line(damage, large, tmp_path):
    launched(tmp_path / "run", "checkpoint.every=1", updates=1)
    last = tmp_path / "run" / "checkpoints" / "last.safetensors"
    (segment,) = (last.parent / "segments").iterdir()
    if damage == "missing":
        segment.unlink()
    else:
        segment.write_bytes(segment.read_bytes()[:-1] + b"x")
    with pytest.raises(ConfigError, match=rf"needs .*{segment.name}, which is {damage}"):
        rank_states(load(last), last)


def test_checkpoints_that_are_set_aside_keep_their_segments(large, tmp_path):
    launched(tmp_path / "run", *SAVING, updates=3)
    folder = tmp_path / "run" / "checkpoints"
    middle = sorted(folder.glob("step-*.safetensors"))[0]
    state = load(middle)
    make_last(ResumePoint(middle, state.recorder.updates, state.env_steps, 1.0), tmp_path / "run")
    aside = tmp_path / "run" / "checkpoints-1"
    for path in aside.glob("*.safetensors"):
        assert rank_states(load(path), path)
    shutil.rmtree(folder)
    for path in aside.glob("*.safetensors"):
        assert rank_states(load(path), path)


def test_small_states_lie_in_the_checkpoint(tmp_path):
    launched(tmp_path / "run", updates=1)
    assert not (tmp_path / "run" / "checkpoints" / "segments").exists()


def test_a_resumed_run_without_segments_equals_one_with_them(large, tmp_path, monkeypatch):
    """A run may have begun with another size of segments."""
    whole = tmp_path / "whole"
    launched(whole, *SAVING, updates=4)
    again = rewound(whole, 2, tmp_path / "again")
    monkeypatch.setattr(segments, "LEAST_BYTES", 2**40)
    resumed(again, *SAVING, updates=4)
    last = whole / "checkpoints" / "last.safetensors"
    (own,) = rank_states(load(last), last)
    assert own.player.returns.equal(checkpoint(again).ranks[0].player.returns)
    assert rows_without_times(whole) == rows_without_times(again)
