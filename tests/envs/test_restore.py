"""Environments that are put back by replay go on as those that were never left."""

import io

import gymnasium
import numpy as np
import pytest
import torch

import rlexp.envs.restore
from rlexp.envs import VectorEnvironment, VideoSettings, make_environments
from rlexp.envs.actions import environment_actions
from tests.commands import video
from tests.helpers import composed


def made(*overrides: str, recorded: VideoSettings | None = None) -> VectorEnvironment:
    config = composed(*overrides, "env.num_envs=2")
    return make_environments(config.env, 2, recorded)


def play(envs: VectorEnvironment, rows: np.ndarray, steps: int, seed: int) -> list[bytes]:
    """Take random actions; return all that was seen, as bytes."""
    draw, action, seen = np.random.default_rng(seed), envs.spec.action, []
    for _ in range(steps):
        if action.kind == "box":
            actions = draw.uniform(-1, 1, (2, *action.shape)).astype(np.float32)
        else:
            actions = draw.integers(0, action.sizes, (2, len(action.sizes))).reshape(2, *action.shape)
        result = envs.step(environment_actions(actions, envs.spec, "clip"), rows)
        seen += [rows.tobytes(), result.rewards.tobytes(), result.terminated.tobytes(), result.truncated.tobytes()]
    return seen


def moved(envs: VectorEnvironment, rows: np.ndarray, fresh: VectorEnvironment) -> tuple[np.ndarray, list[int]]:
    """Put fresh environments where others are, by way of a file; return their rows and which of them did not come."""
    file = io.BytesIO()
    torch.save(envs.state(), file)
    file.seek(0)
    copy = rows.copy()
    return copy, fresh.load_state(torch.load(file, weights_only=True), copy)


@pytest.mark.parametrize("steps", [0, 130])
@pytest.mark.parametrize(
    "overrides",
    [
        ("env=cartpole",),
        ("env=acrobot", "env.max_episode_steps=40"),
        ("env=pendulum", "env.max_episode_steps=50", "env.action_repeat=2"),
        ("env=mountaincar", "env.max_episode_steps=60", "env.frame_stack=3"),
        ("env=lunarlander",),
        ("id=BipedalWalker-v3", "env.max_episode_steps=60"),
        ("env=cartpole", "env.vectorization=async"),
        ("id=Picture-v0",),
        ("id=Mixed-v0",),
    ],
)
def test_what_was_put_back_resumes_the_same_way(overrides, steps):
    first, second = made(*overrides), made(*overrides)
    try:
        rows = np.zeros((2, first.spec.observation.row_size), first.row_dtype)
        first.reset([5, 6], rows)
        play(first, rows, steps, seed=1)
        copy, afresh = moved(first, rows, second)
        assert afresh == []
        assert play(first, rows, 150, seed=2) == play(second, copy, 150, seed=2)
    finally:
        first.close()
        second.close()


def test_an_episode_that_is_too_long_to_be_kept_begins_anew(monkeypatch):
    monkeypatch.setattr(rlexp.envs.restore, "LONGEST_EPISODE", 20)
    first, second = made("env=pendulum"), made("env=pendulum")
    rows = np.zeros((2, 3), np.float32)
    first.reset([5, 6], rows)
    play(first, rows, 21, seed=1)
    assert all(record["actions"] is None for record in first.state())
    copy, afresh = moved(first, rows, second)
    assert afresh == [0, 1]
    assert not np.array_equal(copy, rows)
    play(second, copy, 10, seed=1)
    assert all(len(record["actions"]) == 10 for record in second.state())


class Moody(gymnasium.Env):
    """Shows a number of a generator that nobody finds."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self):
        draw = np.random.default_rng()
        self._normal = lambda: draw.normal(size=1).astype(np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self._normal(), {}

    def step(self, action):
        return self._normal(), 0.0, False, False, {}


if "Moody-v0" not in gymnasium.registry:
    gymnasium.register("Moody-v0", entry_point=Moody, disable_env_checker=True)


def test_an_environment_that_arrives_elsewhere_begins_anew():
    first, second = made("id=Moody-v0"), made("id=Moody-v0")
    rows = np.zeros((2, 1), np.float32)
    first.reset([5, 6], rows)
    play(first, rows, 5, seed=1)
    copy, afresh = moved(first, rows, second)
    assert afresh == [0, 1]
    assert not np.array_equal(copy, rows)


def test_the_current_video_begins_with_its_episode_and_those_before_it_stay(tmp_path):
    overrides, rows = ("env=cartpole", "env.max_episode_steps=12"), np.zeros((2, 4), np.float32)
    settings = VideoSettings(tmp_path, 1_000, every=1, stride=2)
    first = made(*overrides, recorded=settings)
    first.reset([5, 6], rows)
    while first.state()[0]["episode"] < 1:
        play(first, rows, 1, seed=1)
    play(first, rows, 4, seed=2)
    record = first.state()[0]
    (path,) = tmp_path.glob("step-0-return-*.mp4")
    before = path.read_bytes()
    second = made(*overrides, recorded=settings)
    copy, afresh = moved(first, rows, second)
    assert afresh == []
    steps = len(record["actions"])
    while second.state()[0]["episode"] == record["episode"]:
        play(second, copy, 1, seed=3)
        steps += 1
    second.close()
    assert path.read_bytes() == before
    (following,) = tmp_path.glob(f"step-{2 * record['begun']}-return-{steps}.mp4")
    assert len(video(following)) == steps + 1 > 5
