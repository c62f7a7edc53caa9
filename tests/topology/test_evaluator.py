"""Evaluations during training, in every topology."""

import pytest
import torch

from tests.commands import events, metrics, summary
from tests.topology.ranks import checkpoint, launched, policy_of

TOPOLOGIES = {
    "one rank": ("topology=coupled", "fabric.devices=1"),
    "coupled": ("topology=coupled", "fabric.devices=2"),
    "decoupled": ("topology=decoupled", "fabric.devices=3"),
    "overlap": ("topology=decoupled", "fabric.devices=2", "topology.overlap=true"),
}


def evaluated_at(run_dir):
    return [step for step, values in events(run_dir) if "Test/cumulative_reward" in values]


@pytest.mark.parametrize("name", TOPOLOGIES)
def test_evaluations_come_as_often_as_asked_and_change_nothing(name, tmp_path):
    launched(tmp_path / "without", *TOPOLOGIES[name])
    done = launched(tmp_path / "with", *TOPOLOGIES[name], "eval.every=1", "eval.episodes=2", "eval.stop_at=1e9")
    size = done["env_steps"] // done["updates"]
    assert evaluated_at(tmp_path / "with") == [size, 2 * size, 3 * size, 4 * size, 4 * size]  # final: the last
    first, second = policy_of(tmp_path / "without"), policy_of(tmp_path / "with")
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert done["eval"]["mean_return"] < 1e9


@pytest.mark.parametrize("name", TOPOLOGIES)
def test_training_ends_where_an_evaluation_is_good_enough(name, tmp_path):
    settings = (*TOPOLOGIES[name], "eval.episodes=2", "eval.stop_at=1")
    done = launched(tmp_path / "run", *settings, f"eval.every={10**6}")  # never within these updates
    size = done["env_steps"] // done["updates"]
    assert done["updates"] == 4
    done = launched(tmp_path / "stopped", *settings, f"eval.every={2 * size}")
    assert (done["state"], done["updates"], done["env_steps"]) == ("completed", 2, 2 * size)
    assert evaluated_at(tmp_path / "stopped") == [2 * size, 2 * size]
    assert done["objective"] == done["eval"]["mean_return"]
    assert len(done["eval"]["returns"]) == 2
    assert checkpoint(tmp_path / "stopped").recorder.updates == 2
    assert summary(tmp_path / "stopped")["state"] == "completed"
    assert [int(row["env_steps"]) for row in metrics(tmp_path / "stopped")] == [size, 2 * size]


def test_what_came_after_the_last_row_is_written_when_an_evaluation_ends_training(tmp_path):
    words = ("eval.episodes=2", "eval.stop_at=1", "eval.every=128", "log.every=100000")
    assert launched(tmp_path / "run", *words)["env_steps"] == 128
    assert [row["env_steps"] for row in metrics(tmp_path / "run")] == ["128"]
