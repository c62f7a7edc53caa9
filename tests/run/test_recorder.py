"""What a run writes down."""

import json
import math

import pytest

from rlexp.algos import PPO
from rlexp.data.rollout import Episode, Update
from rlexp.data.state import LearnerState, RecorderState
from rlexp.files.checkpoint import load
from rlexp.files.codec import decode, encode
from rlexp.files.summary import Summary, write_json
from rlexp.run.evaluation import EvalResult
from rlexp.run.recorder import Recorder
from rlexp.run.window import OpenWindow
from rlexp.show.display import Display
from tests.commands import metrics
from tests.helpers import agent

LEARNER = LearnerState({}, {}, 0, {}, {})


def recorder_of(config, run_dir, start=None):
    return Recorder(config, run_dir, Display(1000), start)


def update(recorder, number, *episodes, log=True, value=0.5, seconds=0.1):
    scalars = {scalar.name: value for scalar in PPO.all_scalars()}
    recorder.update(number, Update(scalars, seconds, 4), list(episodes), 2 * seconds)
    recorder.write(log)


@pytest.fixture
def recorded(tmp_path):
    """Return a function that records updates with these episode returns and a checkpoint after each of them."""
    played = agent("env.num_envs=2", "algo.num_steps=32", "algo.per_rank_batch_size=32")

    def record(*returns):
        recorder = recorder_of(played.config, tmp_path)
        for number, result in enumerate(returns, 1):
            episodes = [] if result is None else [Episode(result, 10)]
            update(recorder, number, *episodes)
            recorder.checkpoint(LEARNER, [])
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
    assert load(run_dir / "checkpoints" / "best.safetensors").recorder.updates == best
    assert load(run_dir / "checkpoints" / "last.safetensors").recorder.updates == len(returns)


@pytest.mark.parametrize(
    ("evaluations", "best"),
    [({1: 5.0, 2: 7.0}, 2), ({1: 7.0, 2: 5.0, 3: 6.0}, 1), ({1: 5.0, 2: 5.0}, 2), ({2: -1.0, 3: -2.0}, 2)],
)
def test_with_evaluations_best_checkpoint_is_of_the_best_of_them(tmp_path, evaluations, best):
    """Training returns rise all the time, and not every checkpoint is evaluated."""
    played = agent("env.num_envs=2", "algo.num_steps=32", "algo.per_rank_batch_size=32", "eval.every=64")
    recorder = recorder_of(played.config, tmp_path)
    for number in (1, 2, 3):
        update(recorder, number, Episode(100.0 * number, 10))
        if number in evaluations:
            recorder.test(EvalResult([evaluations[number]], [10]))
        recorder.checkpoint(LEARNER, [])
    recorder.close()
    played.envs.close()
    best_file, last_file = (tmp_path / "checkpoints" / name for name in ("best.safetensors", "last.safetensors"))
    assert load(best_file).recorder.updates == best
    state = load(last_file).recorder
    assert (state.best, state.evaluated) == (max(evaluations.values()), evaluations.get(3))


@pytest.mark.parametrize(
    ("wanted", "kept"), [("eval.every=32", True), ("eval.every=0", False), ("eval.episodes=3", False)]
)
def test_returns_of_other_evaluations_are_not_compared(tmp_path, wanted, kept):
    shape = ("env.num_envs=2", "algo.num_steps=32", "algo.per_rank_batch_size=32", "eval.every=64")
    played = agent(*shape)
    recorder = recorder_of(played.config, tmp_path)
    update(recorder, 1)
    recorder.test(EvalResult([7.0], [10]))
    recorder.checkpoint(LEARNER, [])
    recorder.close()
    played.envs.close()
    other = agent(*shape, wanted)
    recorder = recorder_of(other.config, tmp_path, recorder.state())
    assert recorder.state().best == (7.0 if kept else -math.inf)
    recorder.close()
    other.envs.close()


def test_a_run_into_a_used_directory_leaves_no_checkpoint_and_no_row_of_the_run_before(recorded):
    recorded(100.0, 200.0, 300.0)
    run_dir = recorded(None)
    for name in ("best.safetensors", "last.safetensors"):
        assert load(run_dir / "checkpoints" / name).recorder.updates == 1
    assert len(metrics(run_dir)) == 1


def test_scalars_that_have_no_value_yet_are_empty_cells(recorded):
    first, second = metrics(recorded(None, 7.0))
    assert (first["Rewards/rew_avg"], first["Game/ep_len_avg"]) == ("", "")
    assert (second["Rewards/rew_avg"], second["Game/ep_len_avg"]) == ("7.0", "10.0")


def test_a_row_averages_what_lies_between_it_and_the_row_before(tmp_path):
    """Skipped steps are added up, NaN does not count, and returns are of all episodes since the row before."""
    played = agent("env.num_envs=2", "algo.num_steps=32", "algo.per_rank_batch_size=32")
    played.envs.close()
    recorder = recorder_of(played.config, tmp_path)
    update(recorder, 1, Episode(4.0, 10), Episode(8.0, 20), log=False, value=1.0, seconds=0.1)
    update(recorder, 2, log=False, value=math.nan, seconds=0.2)
    update(recorder, 3, Episode(9.0, 30), value=2.0, seconds=0.3)
    update(recorder, 4, value=7.0, seconds=0.5)
    recorder.close()
    first, second = metrics(tmp_path)
    assert (first["env_steps"], second["env_steps"]) == ("192", "256")
    assert (float(first["Rewards/rew_avg"]), float(first["Game/ep_len_avg"])) == (7.0, 20.0)
    assert (float(first["Loss/value_loss"]), float(first["Info/skipped_steps"])) == (1.5, 3.0)
    assert float(first["Time/update_seconds"]) == pytest.approx(0.2)
    assert float(first["Time/collect_seconds"]) == pytest.approx(0.4)
    assert (second["Rewards/rew_avg"], float(second["Loss/value_loss"])) == ("", 7.0)


def test_a_resumed_run_writes_the_rows_of_one_without_interruption(tmp_path):
    played = agent("env.num_envs=2", "algo.num_steps=32", "algo.per_rank_batch_size=32")
    played.envs.close()
    for name, stops in (("whole", ()), ("parts", (2, 4))):
        (tmp_path / name).mkdir()
        recorder = recorder_of(played.config, tmp_path / name)
        for number in range(1, 7):
            update(recorder, number, Episode(float(number), number), log=number % 3 == 0, value=float(number))
            if number in stops:
                state = decode(encode(recorder.state()), RecorderState)
                update(recorder, number + 1, log=True)  # lost, with its row, in a kill
                recorder.close()
                recorder = recorder_of(played.config, tmp_path / name, state)
        recorder.close()
    whole, parts = (
        [{key: value for key, value in row.items() if "econd" not in key} for row in metrics(tmp_path / name)]
        for name in ("whole", "parts")
    )
    assert whole == parts
    assert len(whole) == 2


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


def test_a_row_without_time_between_has_no_speed_and_infos_are_averaged_over_the_episodes_that_carry_them():
    window = OpenWindow((), ("is_success",))
    window.add(Update({}, 0.5, 1), [Episode(1.0, 2, (1.0,)), Episode(3.0, 4, (0.0,)), Episode(5.0, 6)], 1.0)
    row = window.row(10, 2.0, 10, 3.0)
    assert row["Game/is_success"] == 0.5
    assert row["Time/step_per_second"] == 5.0
    window.add(Update({}, 0.5, 1), [], 1.0)
    row = window.row(20, 2.0, 10, 3.0)
    assert math.isnan(row["Time/step_per_second"]) and math.isnan(row["Game/is_success"])
