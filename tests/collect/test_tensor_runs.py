"""Whole runs with env.backend=torch, by the command."""

import pytest
import torch

from rlexp.files.checkpoint import load
from tests.commands import TINY, metrics, summary, train

TORCH = (*TINY, "log.every=1", "env.backend=torch", "eval.episodes=2")


def weights(run_dir):
    return load(run_dir / "checkpoints" / "last.safetensors").learner.agent


def test_a_run_leaves_what_every_run_leaves_and_its_test_video_is_gymnasiums(tmp_path):
    train(*TORCH, "capture_video=true", "hydra.run.dir=RUN", cwd=tmp_path)
    run_dir = tmp_path / "RUN"
    values = summary(run_dir)
    assert (values["state"], values["env_steps"], values["eval"]["episodes"]) == ("completed", 512, 2)
    assert len(metrics(run_dir)) == 8
    assert all(float(row["Game/ep_len_avg"] or 9) >= 8 for row in metrics(run_dir))  # no pole falls sooner
    assert [path.parent.name for path in run_dir.rglob("*.mp4")] == ["test"]
    assert not [path for path in run_dir.glob("events.out.tfevents.*") if path.stat().st_size == 0]


@pytest.mark.slow
def test_a_seed_gives_the_same_run_with_two_ranks_that_share_data(tmp_path):
    overrides = (
        "env=pendulum", "env.action_bounds=tanh", "env.normalize_observations=true", "env.normalize_rewards=true",
        "env.max_episode_steps=20", "fabric.devices=2", "topology.share_data=true", "algo.per_rank_batch_size=64",
    )  # fmt: skip
    runs = [tmp_path / name for name in ("one", "other")]
    for run_dir in runs:
        train(*TORCH, *overrides, f"hydra.run.dir={run_dir}", cwd=tmp_path)
    first, second = (weights(run_dir) for run_dir in runs)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert [row["Rewards/rew_avg"] for row in metrics(runs[0])] == [row["Rewards/rew_avg"] for row in metrics(runs[1])]


def test_a_player_of_its_own_tells_of_the_episodes(tmp_path):
    overrides = ("env=acrobot", "env.max_episode_steps=20", "topology=decoupled", "topology.overlap=true")
    train(*TORCH, *overrides, "fabric.devices=2", "hydra.run.dir=RUN", cwd=tmp_path)
    rows = metrics(tmp_path / "RUN")
    assert len(rows) == 8
    assert {float(row["Game/ep_len_avg"]) for row in rows} == {20.0}
    assert {float(row["Rewards/rew_avg"]) for row in rows} == {-20.0}


@pytest.mark.slow
@pytest.mark.parametrize("compiled", [False, True])
def test_cartpole_is_solved_as_gymnasium_sees_it(compiled, tmp_path):
    train(
        "experiment=cartpole", "env.backend=torch", f"compile={compiled}", "seed=1", "eval.episodes=20",
        "fabric.threads_per_rank=1", "hydra.run.dir=RUN", cwd=tmp_path,
    )  # fmt: skip
    assert summary(tmp_path / "RUN")["eval"]["mean_return"] >= 475
