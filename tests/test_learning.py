"""Small things that must be learned, in seconds: each would stay at chance if its part of an observation were lost."""

import pytest

from tests.helpers import agent, train


def mean_return(fabric, *overrides, updates):
    """Return the mean return of the training episodes that ended in the last rollout."""
    config, _, policy, player = agent(*overrides)
    returns = train(config, policy, player, fabric, updates)
    player.close()
    return sum(returns) / len(returns)


PICTURE = ("id=Picture-v0", "env.images=pixels")
FAST = ("env.num_envs=8", "algo.num_steps=64", "algo.learning_rate=3e-3", "algo.gamma=0.5", "algo.ent_coef=0.003")


@pytest.mark.parametrize("shared", [False, True])
def test_ppo_learns_to_see_which_half_of_a_picture_is_bright(fabric, shared):
    returned = mean_return(
        fabric, "id=Picture-v0", "env.images=pixels", *FAST, f"algo.shared_torso={shared}", updates=8
    )
    assert returned > 7.5  # of 8; chance gives 4


def test_ppo_learns_every_part_of_a_dict_with_image_vector_and_choice(fabric):
    # chance gives (1/2 + 1/2 + 1/3) / 3 = 0.44 of 8, and with one part not seen at most 0.83 of 8
    returned = mean_return(fabric, "id=Mixed-v0", *FAST, "env.normalize_observations=true", updates=14)
    assert returned > 7.4


@pytest.mark.parametrize("bounds", ["clip", "tanh"])
def test_ppo_learns_real_actions_within_bounds(fabric, bounds):
    # the goal (1, 0) lies within (-2, 1.5) x (-0.1, 0.7); episodes of 6 steps; about -12 at first
    returned = mean_return(
        fabric, "id=Reaching-v0", *FAST, f"env.action_bounds={bounds}", "algo.ent_coef=0", updates=16
    )
    assert returned > -2


def test_a2c_learns_to_see_which_half_of_a_picture_is_bright(fabric):
    returned = mean_return(
        fabric, *PICTURE, "algo=a2c", "env.num_envs=8", "algo.num_steps=16", "algo.gamma=0.5",
        "algo.learning_rate=3e-3", "algo.normalize_advantages=true", updates=60,
    )  # fmt: skip
    assert returned > 7.2
