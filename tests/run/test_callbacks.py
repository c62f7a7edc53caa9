"""`callbacks`: when and on which ranks they are called, what they log, that they stop a run, and that they resume."""

import math

import pytest

from rlexp.errors import ConfigError, RunFailed
from rlexp.files.trust import stored_config
from rlexp.learn.callbacks import adjusted, build_callbacks
from rlexp.learn.standard_callbacks import Schedule
from tests.commands import metrics, rows_without_times, summary, video
from tests.helpers import composed
from tests.topology.ranks import checkpoint, launched, resumed
from tests.topology.test_equality import TOPOLOGIES
from tests.topology.test_resume import SAVING, assert_equal_runs, rewound


def notes(run_dir, rank=0):
    return (run_dir / f"notes{rank}.txt").read_text().splitlines()


@pytest.mark.parametrize("topology", ["coupled 2", "decoupled 3 overlap"])
def test_a_callback_is_called_at_each_milestone_on_every_rank_that_collects(topology, tmp_path):
    run_dir = tmp_path / "run"
    words = ("callbacks=[tests.own:Counts]", "eval.every=64", "eval.episodes=1", "checkpoint.every=64")
    launched(run_dir, *TOPOLOGIES[topology], *words, updates=4)
    rollouts = 4
    players = 2 if topology == "coupled 2" else 1
    first = notes(run_dir)
    assert first[0] == "start 0" and first[1].startswith("end 4 ")
    assert f"'rollout': {rollouts}, 'update': 4, 'evaluation': 4, 'checkpoint': 4" in first[1]
    assert (run_dir / "notes1.txt").exists() == (players == 2)
    if players == 2:
        assert "'rollout': 4, 'update': 4, 'evaluation': 0, 'checkpoint': 0" in notes(run_dir, 1)[1]
    assert float(metrics(run_dir)[0]["Custom/rollouts"]) >= 1


def test_a_callback_with_its_state_resumes_exactly(tmp_path):
    whole, words = tmp_path / "whole", ("callbacks=[tests.own:Counts, {callback: schedule, key: ent_coef}]",)
    words += (*TOPOLOGIES["coupled 2"], *SAVING)
    launched(whole, *words, updates=6)
    again = rewound(whole, 3, tmp_path / "again")
    resumed(again, *words, updates=6)
    assert_equal_runs(whole, again)
    assert "Custom/rollouts" in rows_without_times(again)[0]


@pytest.mark.parametrize("topology", ["coupled 1", "coupled 2", "decoupled 2", "decoupled 3 overlap"])
def test_a_callback_ends_a_run_that_is_completed_then(topology, tmp_path):
    run_dir, words = tmp_path / "run", (*TOPOLOGIES[topology], "callbacks=[{callback: 'tests.own:Counts', stop_at: 3}]")
    launched(run_dir, *words, *SAVING, "eval.episodes=1", updates=20)
    done = summary(run_dir)
    assert done["state"] == "completed"
    assert done["updates"] == 3  # a checkpoint after each update: the player waits for it, with overlap too
    assert done["eval"]["episodes"] == 1
    saved = checkpoint(run_dir)
    assert (saved.recorder.updates, saved.recorder.stopped) == (done["updates"], "enough")
    resumed(run_dir, *words, *SAVING, "eval.episodes=1", updates=20)
    assert summary(run_dir)["updates"] == done["updates"]
    assert len(metrics(run_dir)) == done["updates"]


def test_training_stops_early_where_nothing_improves(tmp_path):
    words = ("callbacks=[{callback: early_stop, patience: 200, min_improvement: 1000, after: 640}]",)
    launched(tmp_path / "run", *words, updates=40)
    done = summary(tmp_path / "run")
    assert 640 <= done["env_steps"] < 2560
    assert "a callback ends training after" in (tmp_path / "run" / "main.log").read_text()


def test_early_stop_looks_at_evaluations_where_there_are_some(tmp_path):
    words = (
        "callbacks=[{callback: early_stop, patience: 64, min_improvement: 1000}]",
        "eval.every=64",
        "eval.episodes=1",
    )
    launched(tmp_path / "run", *words, updates=40)
    assert summary(tmp_path / "run")["env_steps"] == 128


@pytest.mark.parametrize("compiled", [pytest.param(True, marks=pytest.mark.slow), False])
def test_a_schedule_changes_a_knob_on_every_rank(compiled, tmp_path):
    run_dir = tmp_path / "run"
    words = ("callbacks=[{callback: schedule, key: learning_rate, function: cosine, final: 0.002}]",)
    launched(run_dir, *words, *TOPOLOGIES["decoupled 2"], f"compile={str(compiled).lower()}", updates=4)
    rates = [float(row["Info/learning_rate"]) for row in metrics(run_dir)]
    assert rates == pytest.approx([0.002 + 0.008 * 0.5 * (1 + math.cos(math.pi * x / 4)) for x in range(4)])


def test_a_schedule_of_the_entropy_bonus_changes_what_is_learned(tmp_path):
    config = composed(
        "algo.ent_coef=0.5", "callbacks=[{callback: schedule, key: ent_coef, function: 'tests.own:halved'}]"
    )
    knobs = adjusted(config)(config.algo.knobs(0.4), 0.4)
    assert knobs["ent_coef"] == 0.25
    for name, words in {"plain": (), "scheduled": ("callbacks=[{callback: schedule, key: ent_coef}]",)}.items():
        launched(tmp_path / name, "algo.ent_coef=0.5", *words, updates=3)
    first, second = (rows_without_times(tmp_path / name) for name in ("plain", "scheduled"))
    assert first[0] == second[0] and first[2] != second[2]


def test_a_video_is_written_at_a_milestone(tmp_path):
    run_dir = tmp_path / "run"
    launched(run_dir, "callbacks=[{callback: milestone_videos, returns: [5, 10, 1000]}]", updates=4)
    (file,) = (run_dir / "videos" / "milestones").glob("*.mp4")
    assert len(video(file)) > 5


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("{callback: early_stop, patience: 0}", "callbacks[0]: early_stop: patience=0"),
        ("early_stop", "callbacks[0]: rlexp.learn.standard_callbacks:EarlyStop does not take {}"),
        ("{callback: schedule, key: ent_coef, function: square}", "function=square is not known; known: constant"),
        ("tests.own:Lives", "is the class Lives, but a class derived from rlexp.learn.callbacks.Callback is needed"),
    ],
)  # fmt: skip
def test_a_callback_that_does_not_fit_is_refused_before_the_launch(entry, said):
    with pytest.raises(ConfigError) as error:
        build_callbacks(composed(f"callbacks=[{entry}]"))
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("tests.own:Breaks", "callback Breaks: KeyError: 'lost' (tests/own.py:"),
        ("tests.own:Undeclared", "Custom/x is logged, but no callback declares it"),
        ("{callback: schedule, key: epsilon}", "epsilon is no knob; knobs of this algorithm: learning_rate, ent_coef"),
    ],
)
def test_a_callback_that_fails_is_named(entry, said, tmp_path):
    with pytest.raises(RunFailed) as error:
        launched(tmp_path / "run", f"callbacks=[{entry}]", updates=4)
    assert said in str(error.value)


def test_a_checkpoint_does_not_call_a_function_that_the_user_did_not_name(tmp_path):
    entry = "callbacks=[{callback: schedule, key: ent_coef, function: 'math:sqrt'}]"
    launched(tmp_path / "run", entry, updates=2)
    saved = checkpoint(tmp_path / "run")
    with pytest.raises(
        ConfigError, match=r"wants to import the module math for its callbacks; .* add plugins=\[math\]"
    ):
        stored_config(saved, tmp_path)
    assert stored_config(saved, tmp_path, named=["math"]).callbacks == saved.config["callbacks"]


def test_the_functions_of_a_schedule():
    config = composed("algo.ent_coef=1.0")
    for function, middle in {"constant": 1.0, "linear": 0.5, "cosine": 0.5, "exponential": 0.1}.items():
        schedule = Schedule("ent_coef", function)
        assert schedule.knobs(config, {"ent_coef": 1.0}, 0.5)["ent_coef"] == pytest.approx(middle)
    assert (
        Schedule("ent_coef", "linear", final=0.2, until=0.5).knobs(config, {"ent_coef": 1.0}, 0.75)["ent_coef"] == 0.2
    )
