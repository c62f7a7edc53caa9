"""What a run writes down."""

import json
import math

import pytest
import torch

from rlexp.data.rollout import Episode
from rlexp.data.types import Metrics, UpdateReport
from rlexp.files.summary import Summary, write_json
from rlexp.run.evaluation import EvalResult
from rlexp.run.recorder import Recorder
from tests.commands import metrics
from tests.helpers import agent

METRICS = Metrics(*[0.5] * len(Metrics.__dataclass_fields__))


@pytest.fixture
def recorded(tmp_path):
    """Return a function that records updates with these episode returns and a checkpoint after each of them."""
    played = agent("env.num_envs=2", "algo.num_steps=32", "algo.per_rank_batch_size=32")

    def record(*returns):
        recorder = Recorder(played.config, tmp_path, None)
        for number, result in enumerate(returns, 1):
            episodes = [] if result is None else [Episode(result, 10)]
            recorder.update(UpdateReport(number, METRICS, episodes, 0.1, 0.1))
            recorder.checkpoint(played.policy, {}, [])
        recorder.close()
        return tmp_path

    yield record
    played.envs.close()


@pytest.mark.parametrize(
    ("returns", "best"),
    [
        ((5.0, 7.0, 3.0), 2),
        ((None, 7.0, 3.0), 2),
        ((None, None), 2),
        ((5.0, -100.0, None), 1),
        ((-9.0, -3.0), 2),
    ],
)
def test_best_checkpoint_is_of_the_highest_mean_return_so_far(recorded, returns, best):
    run_dir = recorded(*returns)
    assert torch.load(run_dir / "checkpoints" / "best.ckpt", weights_only=True)["updates"] == best
    assert torch.load(run_dir / "checkpoints" / "last.ckpt", weights_only=True)["updates"] == len(returns)


@pytest.mark.parametrize(
    ("evaluations", "best"),
    [({1: 5.0, 2: 7.0}, 2), ({1: 7.0, 2: 5.0, 3: 6.0}, 1), ({1: 5.0, 2: 5.0}, 2), ({2: -1.0, 3: -2.0}, 2)],
)
def test_with_evaluations_best_checkpoint_is_of_the_best_of_them(tmp_path, evaluations, best):
    """Training returns rise all the time, and not every checkpoint is evaluated."""
    played = agent("env.num_envs=2", "algo.num_steps=32", "algo.per_rank_batch_size=32", "eval.every=64")
    recorder = Recorder(played.config, tmp_path, None)
    for number in (1, 2, 3):
        recorder.update(UpdateReport(number, METRICS, [Episode(100.0 * number, 10)], 0.1, 0.1))
        if number in evaluations:
            recorder.test(EvalResult([evaluations[number]], [10]))
        recorder.checkpoint(played.policy, {}, [])
    recorder.close()
    played.envs.close()
    best_file, last_file = (tmp_path / "checkpoints" / name for name in ("best.ckpt", "last.ckpt"))
    assert torch.load(best_file, weights_only=True)["updates"] == best
    state = torch.load(last_file, weights_only=True)["recorder"]
    assert (state["best"], state["evaluated"]) == (max(evaluations.values()), evaluations.get(3))


@pytest.mark.parametrize(
    ("wanted", "kept"), [("eval.every=32", True), ("eval.every=0", False), ("eval.episodes=3", False)]
)
def test_returns_of_other_evaluations_are_not_compared(tmp_path, wanted, kept):
    shape = ("env.num_envs=2", "algo.num_steps=32", "algo.per_rank_batch_size=32", "eval.every=64")
    played = agent(*shape)
    recorder = Recorder(played.config, tmp_path, None)
    recorder.update(UpdateReport(1, METRICS, [], 0.1, 0.1))
    recorder.test(EvalResult([7.0], [10]))
    recorder.checkpoint(played.policy, {}, [])
    recorder.close()
    played.envs.close()
    other = agent(*shape, wanted)
    recorder = Recorder(other.config, tmp_path, None, recorder.state())
    assert recorder.state()["best"] == (7.0 if kept else -math.inf)
    recorder.close()
    other.envs.close()


def test_a_run_into_a_used_directory_leaves_no_checkpoint_and_no_row_of_the_run_before(recorded):
    recorded(100.0, 200.0, 300.0)
    run_dir = recorded(None)
    for name in ("best.ckpt", "last.ckpt"):
        assert torch.load(run_dir / "checkpoints" / name, weights_only=True)["updates"] == 1
    assert len(metrics(run_dir)) == 1


def test_scalars_that_have_no_value_yet_are_empty_cells(recorded):
    first, second = metrics(recorded(None, 7.0))
    assert (first["Rewards/rew_avg"], first["Game/ep_len_avg"]) == ("", "")
    assert (second["Rewards/rew_avg"], second["Game/ep_len_avg"]) == ("7.0", "10.0")


def test_numbers_that_are_not_finite_become_null_in_json_and_no_other_file_is_left(tmp_path):
    write_json(tmp_path / "a.json", {"a": math.nan, "b": [math.inf, 1.5], "c": {"d": -math.inf}})
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": None, "b": [None, 1.5], "c": {"d": None}}
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize("content", [b"", b'{"state": "runn', b"[1]", b"\xff\xfe"])
def test_a_summary_that_cannot_be_read_is_an_empty_one(tmp_path, content):
    (tmp_path / "summary.json").write_bytes(content)
    summary = Summary(tmp_path)
    assert summary.read() == {}
    summary.start({}, 1)
    assert summary.read()["state"] == "running"


def test_a_summary_starts_as_running_and_changes_value_by_value(tmp_path):
    summary = Summary(tmp_path)
    assert summary.read() == {}
    summary.start({}, 2)
    assert (summary.read()["state"], summary.read()["world_size"]) == ("running", 2)
    summary.change(state="failed", error="why")
    assert (summary.read()["state"], summary.read()["error"], summary.read()["env_steps"]) == ("failed", "why", 0)
