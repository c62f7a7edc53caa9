"""Worlds of other packages through their groups and presets: they run, resume exactly, and envpool steps the same."""

import re

import pytest

from rlexp.config.places import choices
from rlexp.envs import check_environment
from tests.command.test_sweep import FEW, PRESETS
from tests.commands import metrics, summary, train
from tests.helpers import composed
from tests.topology.ranks import launched, resumed
from tests.topology.test_resume import SAVING, assert_equal_runs, rewound

pytestmark = pytest.mark.extras
WORLDS = {
    "atari": ("env=atari", "env.id=ALE/Breakout-v5", "model=nature_cnn"),
    "minigrid": ("env=minigrid", "env.id=MiniGrid-GoToDoor-5x5-v0", "model=symbols"),
    "mujoco": ("env=mujoco",),
    "dmc": ("env=dmc",),
    "box2d": ("env=box2d",),
    "robotics": ("env=robotics",),
    "bsuite": ("env=bsuite",),
}  # fmt: skip
NOT_EXACT = {"box2d"}
"""BipedalWalker's Box2D world keeps traces of earlier episodes: it begins a new one, and the run says so."""


@pytest.mark.parametrize("world", WORLDS)
def test_a_world_resumes_exactly(world, tmp_path):
    words = (*WORLDS[world], *SAVING, "env.num_envs=2")
    launched(tmp_path / "whole", *words, updates=4)
    again = rewound(tmp_path / "whole", 2, tmp_path / "again")
    resumed(again, *words, updates=4)
    if world not in NOT_EXACT:
        assert_equal_runs(tmp_path / "whole", again)
    assert len(metrics(again)) == 4


@pytest.mark.parametrize("preset", sorted(set(choices()["experiment"]) - set(PRESETS)))
def test_a_preset_runs_and_writes_a_video(preset, tmp_path):
    train(*FEW, f"experiment={preset}", "capture_video=true", "hydra.run.dir=RUN", cwd=tmp_path)
    assert summary(tmp_path / "RUN")["state"] == "completed"
    assert list((tmp_path / "RUN" / "videos" / "test").glob("*.mp4"))


@pytest.mark.parametrize(
    "words",
    [
        ("env=atari", "env.id=ALE/Pong-v5", "+env.kwargs.full_action_space=true"),
        ("env=minigrid", "env.id=MiniGrid-DoorKey-5x5-v0"),
        ("env=minigrid", "env.id=MiniGrid-GoToDoor-5x5-v0"),
        ("env=minigrid", "env.wrappers=[minigrid_image]"),
        ("env=mujoco", "env.frame_stack=3", "+env.kwargs.ctrl_cost_weight=0.2"),
        ("env=dmc", "env.id=dm_control/ball_in_cup-catch-v0"),
        ("env=box2d",),
    ],
    ids=lambda words: " ".join(words),
)
def test_envpool_steps_what_evaluation_plays(words, tmp_path):
    config = composed(*words, "env.backend=envpool")
    assert check_environment(config) == check_environment(composed(*words))
    launched(tmp_path / "run", *words, "env.backend=envpool", "eval.episodes=1", "eval.max_episode_steps=30", updates=3)
    assert summary(tmp_path / "run")["eval"]["episodes"] == 1


def test_envpool_reports_whole_games_of_atari_raw(tmp_path):
    words = ("env=atari", "env.id=ALE/Breakout-v5", "env.backend=envpool", "env.num_envs=4", "algo.num_steps=256")
    launched(tmp_path / "run", *words, "model=nature_cnn", "algo.per_rank_batch_size=512", updates=3)
    rows = [row for row in metrics(tmp_path / "run") if row["Rewards/rew_avg"]]
    lengths = [float(row["Game/ep_len_avg"]) for row in rows]
    assert rows and min(lengths) > 100  # five lives, of some 25 steps each


def test_what_envpool_does_not_have_is_one_line(tmp_path):
    from rlexp.errors import ConfigError

    for words, said in {
        ("env=atari", "env.wrappers=[grayscale]"): r"ALE/Pong-v5 with env\.wrappers=\[atari\] alone",
        ("env=mujoco", "+env.kwargs.frame_skip=5", "env.wrappers=[flatten]"): "alone",
        ("env=bsuite",): "envpool does not know bsuite/catch-v0",
    }.items():
        with pytest.raises(ConfigError) as error:
            check_environment(composed(*words, "env.backend=envpool"))
        assert re.search(said, str(error.value))
