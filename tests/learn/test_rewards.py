"""Rewards as learners see them, and the checks of what players return."""

import pytest
import torch

from rlexp.algos import PPO
from rlexp.algos.base import Inputs
from rlexp.data.rollout import Rollout
from rlexp.data.spaces import ActionSpec, ObservationSpec, SpaceSpec
from rlexp.errors import Fault
from rlexp.learn.health import check_rollout
from rlexp.learn.ranks import OneRank
from rlexp.learn.rewards import RewardScaler


def rollout_of(rewards, valid=None, final=(), truncated=None):
    rewards = torch.tensor(rewards)
    flags = torch.zeros(rewards.shape, dtype=torch.bool)
    return Rollout(
        obs=torch.zeros((rewards.shape[0] + 1, rewards.shape[1], 1)),
        actions=torch.zeros(rewards.shape),
        rewards=rewards,
        terminated=flags,
        truncated=flags if truncated is None else torch.tensor(truncated),
        log_prob=torch.zeros(rewards.shape),
        final_obs=torch.tensor(final).view(-1, 1),
        valid=~flags if valid is None else torch.tensor(valid),
        initial_state=torch.zeros((rewards.shape[1], 0)),
    )


@pytest.mark.parametrize(("limit", "expected"), [(None, [[7.0], [0.0], [-3.0]]), (5.0, [[5.0], [0.0], [-3.0]])])
def test_rows_that_are_no_transition_get_a_reward_of_zero(limit, expected):
    scaler = RewardScaler(False, limit, 0.99, OneRank(), True, 1, torch.device("cpu"))
    rollout = rollout_of([[7.0], [100.0], [-3.0]], valid=[[True], [False], [True]])
    assert scaler.scaled(rollout).tolist() == expected
    assert rollout.rewards.tolist() == [[7.0], [100.0], [-3.0]]


def test_the_first_final_observation_that_is_not_finite_is_named():
    nan = float("nan")
    rollout = rollout_of(
        [[0.0, 0.0]] * 3, final=[1.0, nan, nan], truncated=[[True, False], [False, True], [True, False]]
    )
    with pytest.raises(Fault, match=r"non-finite observation \(nan\) from environment 1 of rank 3 at step 104;"):
        check_rollout(rollout, ObservationSpec(1, (), ()), 3, 100, 2)


@pytest.mark.parametrize("bounds", ["clip", "tanh"])
def test_a_single_real_action_is_bounded_and_its_bounds_are_in_no_checkpoint(bounds):
    action = ActionSpec("box", (), (1,), (), (-2.0,), (2.0,))
    spec = SpaceSpec(ObservationSpec(1, (), ()), action)
    actor = PPO(hidden_sizes=[4]).build(spec, Inputs(normalize=False, clip=None, bounds=bounds)).actor
    taken = actor.to_environment(torch.tensor([[-50.0], [0.0], [50.0]]))
    assert taken.flatten().tolist() == [-2.0, 0.0, 2.0]
    assert not {"low", "high"} & actor.state_dict().keys()
