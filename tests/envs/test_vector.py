import numpy as np
import pytest

from rlexp.envs import make_environments
from tests.helpers import composed


class Stepped:
    """Environments with their rows: reset with seeds 42, 43, ... and stepped with constant actions."""

    def __init__(self, *overrides):
        config = composed(*overrides)
        self.envs = make_environments(config.env, config.env.num_envs)
        self.rows = np.zeros((config.env.num_envs, self.envs.spec.observation.row_size), self.envs.row_dtype)
        self.envs.reset(range(42, 42 + config.env.num_envs), self.rows)

    def step(self, actions=None):
        actions = np.zeros(self.envs.num_envs, np.int64) if actions is None else actions
        return self.envs.step(actions, self.rows)


@pytest.fixture
def stepped():
    made = []

    def make(*overrides):
        made.append(Stepped(*overrides))
        return made[-1]

    yield make
    for each in made:
        each.envs.close()


COUNTING = ("id=Counting-v0", "env.num_envs=2")


@pytest.mark.parametrize("vectorization", ["sync", "async"])
def test_each_environment_has_a_seed_of_its_own(stepped, vectorization):
    envs = stepped(*COUNTING, f"env.vectorization={vectorization}")
    assert envs.rows[:, 0].tolist() == [42, 43]


@pytest.mark.parametrize("vectorization", ["sync", "async"])
def test_seeds_need_not_follow_one_another(stepped, vectorization):
    envs = stepped(*COUNTING, f"env.vectorization={vectorization}")
    envs.envs.reset([7, 1000], envs.rows)
    assert envs.rows[:, 0].tolist() == [7, 1000]


@pytest.mark.parametrize("vectorization", ["sync", "async"])
def test_the_last_observation_is_true_where_an_environment_shows_all_in_one_array(stepped, vectorization):
    envs = stepped("id=Buffered-v0", "env.num_envs=2", f"env.vectorization={vectorization}")
    for _ in range(3):
        result = envs.step()
    assert result.truncated.tolist() == [True, True]
    assert [float(row[0]) for row in result.final_obs] == [3, 3]
    assert envs.rows[:, 0].tolist() == [0, 0]


def test_the_step_that_ends_an_episode_shows_the_next_ones_first_observation(stepped):
    envs = stepped(*COUNTING, "+env.kwargs.lengths=[2]")
    envs.step()
    result = envs.step()
    assert result.rewards.tolist() == [2, 2]
    assert result.terminated.tolist() == [True, True]
    assert envs.rows[:, 1:].tolist() == [[1, 0], [1, 0]]
    assert envs.step().rewards.tolist() == [1, 1]


@pytest.mark.parametrize("end", ["truncated", "both"])
def test_the_final_observation_is_the_true_last_one_not_the_next_ones_first(stepped, end):
    envs = stepped(*COUNTING, "+env.kwargs.lengths=[2]", f"+env.kwargs.end={end}")
    assert envs.step().final_obs == []
    result = envs.step()
    assert result.truncated.all()
    assert result.terminated.all() == (end == "both")
    assert [row.tolist() for row in result.final_obs] == [[42, 0, 2], [43, 0, 2]]


def test_a_step_that_only_terminates_has_no_final_observation(stepped):
    envs = stepped(*COUNTING, "+env.kwargs.lengths=[1]")
    assert envs.step().final_obs == []


@pytest.mark.parametrize("vectorization", ["sync", "async"])
def test_final_observations_of_a_dict_of_images_are_the_true_last_ones(stepped, vectorization):
    overrides = ("id=Mixed-v0", "env.num_envs=2", f"env.vectorization={vectorization}", "env.max_episode_steps=3")
    envs, longer = stepped(*overrides), stepped(*overrides[:-1])
    actions = np.tile([0, 5, 0], (2, 1))
    for _ in range(3):
        result = envs.step(actions)
        longer.step(actions)
    assert result.truncated.all()
    np.testing.assert_array_equal(np.stack(result.final_obs), longer.rows)
    assert not np.array_equal(envs.rows, longer.rows)


@pytest.mark.parametrize(
    "overrides", [COUNTING, ("env=cartpole", "env.num_envs=3"), ("id=Picture-v0", "env.num_envs=2")]
)
def test_async_equals_sync(stepped, overrides):
    sync, other = stepped(*overrides), stepped(*overrides, "env.vectorization=async")
    np.testing.assert_array_equal(sync.rows, other.rows)
    draw = np.random.default_rng(0)
    for _ in range(30):
        actions = draw.integers(2, size=sync.envs.num_envs)
        first, second = sync.step(actions), other.step(actions)
        np.testing.assert_array_equal(sync.rows, other.rows)
        np.testing.assert_array_equal(first.rewards, second.rewards)
        np.testing.assert_array_equal(first.terminated, second.terminated)
        np.testing.assert_array_equal(first.truncated, second.truncated)


def test_rows_are_the_callers_own_and_stay_when_the_environments_go_on(stepped):
    envs = stepped(*COUNTING)
    before = envs.rows.copy()
    kept, envs.rows = envs.rows, np.zeros_like(envs.rows)
    envs.step()
    np.testing.assert_array_equal(kept, before)


def test_action_repeat_sums_rewards_and_stops_where_the_episode_ends(stepped):
    envs = stepped(*COUNTING, "+env.kwargs.lengths=[5]", "env.action_repeat=3")
    first = envs.step()
    assert first.rewards.tolist() == [1 + 2 + 3] * 2
    assert envs.rows[0, 2] == 3
    second = envs.step()
    assert second.rewards.tolist() == [4 + 5] * 2
    assert second.terminated.all()


def test_frame_stack_joins_the_last_observations_oldest_first(stepped):
    envs = stepped(*COUNTING, "env.frame_stack=3", "+env.kwargs.lengths=[9]")
    assert envs.rows.shape == (2, 9)
    for _ in range(4):
        envs.step()
    assert envs.rows.reshape(2, 3, 3)[:, :, 2].tolist() == [[2, 3, 4]] * 2


def test_frame_stack_of_images_gives_one_image_with_the_channels_of_all_frames(stepped):
    envs = stepped("id=Picture-v0", "env.num_envs=2", "env.frame_stack=2")
    image = envs.envs.spec.observation.images[0]
    assert (image.channels, image.height, image.width) == (6, 8, 8)
    before = envs.rows[:, 192:].copy()
    envs.step()
    np.testing.assert_array_equal(envs.rows[:, :192], before)


def test_a_time_limit_of_the_settings_truncates(stepped):
    envs = stepped(*COUNTING, "+env.kwargs.lengths=[100]", "env.max_episode_steps=2")
    envs.step()
    result = envs.step()
    assert result.truncated.all()
    assert not result.terminated.any()
