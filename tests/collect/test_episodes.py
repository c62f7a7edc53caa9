"""Returns and lengths of episodes across rollouts, against a walk step by step."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from rlexp.collect.episodes import EpisodesUnderWay, Taken, running_sums
from rlexp.collect.tensor_player import TensorPlayer


def walked(rollouts):
    """Return the episodes of rollouts of rewards and ends, in the order in which they end."""
    found = []
    count = rollouts[0][0].shape[1]
    totals, lengths = [0.0] * count, [0] * count
    for rewards, done in rollouts:
        own = []
        for step in range(len(done)):
            for env in range(count):
                totals[env] += rewards[step, env]
                lengths[env] += 1
                if done[step, env]:
                    own.append((totals[env], lengths[env]))
                    totals[env], lengths[env] = 0.0, 0
        found.append(own)
    return found


def rollouts(seed, share):
    draw = np.random.default_rng(seed)
    return [(draw.normal(size=(17, 3)), draw.random((17, 3)) < share) for _ in range(4)]


@pytest.mark.parametrize("share", [0.0, 0.1, 0.6, 1.0])
def test_episodes_of_environments_in_python(share):
    given, under_way = rollouts(1, share), EpisodesUnderWay(3)
    for (rewards, done), expected in zip(given, walked(given), strict=True):
        no = np.zeros_like(done)
        episodes = under_way.ended(Taken(rewards, done, no, ~no, [], {}))
        assert [(one.episode_return, one.length) for one in episodes] == [
            (pytest.approx(total), n) for total, n in expected
        ]


@pytest.mark.parametrize("share", [0.0, 0.1, 0.6, 1.0])
def test_episodes_of_environments_as_tensors(share):
    given = rollouts(2, share)
    player = SimpleNamespace(_returns=torch.zeros(3, dtype=torch.float64), _lengths=torch.zeros(3, dtype=torch.int64))
    for (rewards, done), expected in zip(given, walked(given), strict=True):
        episodes = TensorPlayer._ended(player, torch.from_numpy(rewards), torch.from_numpy(done))
        assert [(one.episode_return, one.length) for one in episodes] == [
            (pytest.approx(total), n) for total, n in expected
        ]


def test_environments_that_begin_anew_at_resume_begin_from_nothing():
    under_way = EpisodesUnderWay(3)
    under_way.load(np.array([1.0, 2.0, 3.0]), np.array([4, 5, 6]), [1])
    assert (under_way.returns.tolist(), under_way.lengths.tolist()) == ([1.0, 0.0, 3.0], [4, 0, 6])


@pytest.mark.parametrize("count", [1, 2, 3, 8, 13])
def test_running_sums(count):
    rows = torch.arange(2.0 * count, dtype=torch.float64).view(count, 2)
    assert running_sums(rows).tolist() == rows.cumsum(0).tolist()
