"""Action masks: forbidden choices have probability 0 in play, in learning and in evaluation."""

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Tuple

import rlexp
from rlexp.envs import check_environment
from rlexp.envs.masks import flat, options
from rlexp.errors import ConfigError, Fault
from rlexp.models.mixed import masked
from tests.commands import metrics, summary
from tests.helpers import build_policy, composed
from tests.topology.ranks import launched

DOORS = ("env=gym", "env.id=tests.environments:Doors-v0", "log.infos=[locked]")


@pytest.mark.parametrize("by", ["info", "method", "part"])
def test_a_forbidden_choice_is_never_taken(by, tmp_path):
    words = (*DOORS, f"+env.kwargs.by={by}", "eval.episodes=8", "algo.gamma=0.1")
    launched(tmp_path / "run", *words, updates=60)
    rows = metrics(tmp_path / "run")
    assert {row["Game/locked"] for row in rows if row["Game/locked"]} == {"0.0"}
    assert summary(tmp_path / "run")["eval"]["mean_return"] > 6  # of 8; about 3.2 by chance among the open doors


def test_masks_are_left_out_where_nobody_wants_them(tmp_path):
    launched(tmp_path / "run", *DOORS, "env.action_masks=false", updates=4)
    assert max(float(row["Game/locked"]) for row in metrics(tmp_path / "run") if row["Game/locked"]) > 0


@pytest.mark.parametrize("frames", [1, 3])
@pytest.mark.parametrize("by", ["info", "part"])
def test_the_policy_gives_forbidden_choices_no_probability(frames, by):
    config = composed(*DOORS, f"+env.kwargs.by={by}", f"env.frame_stack={frames}")
    spec = check_environment(config).observation
    assert spec.mask == 5 and spec.vector_size == frames
    policy = build_policy(config, check_environment(config))
    rows = torch.zeros((2, spec.row_size))
    rows[0, -5:], rows[1, -5:] = torch.tensor([0.0, 1, 0, 1, 0]), torch.tensor([1.0, 0, 0, 0, 0])
    probabilities = policy.actor(rows).softmax(-1)
    assert probabilities[0, [0, 2, 4]].eq(0).all() and probabilities[1].tolist() == [1, 0, 0, 0, 0]
    new = policy(rows, torch.tensor([1, 0]))
    assert new.log_prob[1] == 0 and new.entropy[1] == 0 and new.entropy[0] <= np.log(2) + 1e-6
    new.log_prob.sum().backward()
    assert all(weight.grad is None or weight.grad.isfinite().all() for weight in policy.parameters())


def test_a_mask_that_forbids_everything_leaves_all_choices_as_likely():
    logits = torch.tensor([[1.0, 5.0, 2.0]])
    assert masked(logits, torch.zeros(1, 3)).softmax(-1).tolist() == [[pytest.approx(1 / 3)] * 3]
    with_real = masked(torch.tensor([[1.0, 5.0, 7.0]]), torch.tensor([[1.0, 0.0]]))
    assert with_real[0, 2] == 7 and with_real.isfinite().all()


def test_masks_are_counted_and_flattened():
    space = Dict({"a": Discrete(3), "b": Tuple([MultiDiscrete([2, 4]), Box(-1, 1, (2,))]), "c": MultiBinary(2)})
    assert (options(space), options(Box(-1, 1, (2,)))) == (3 + 6 + 4, 0)
    nested = {"a": [1, 0, 1], "b": (np.array([1, 1]), np.array([0, 0, 0, 1]))}
    assert flat(nested, 9).tolist() == [1, 0, 1, 1, 1, 0, 0, 0, 1]
    assert flat(None, 2).tolist() == [1, 1]
    with pytest.raises(Fault, match="the action mask has 9 elements, but the actions have 13 options"):
        flat(nested, options(space))


def test_a_policy_takes_masks_beside_observations(tmp_path):
    launched(tmp_path / "run", *DOORS, updates=2)
    policy = rlexp.load(tmp_path / "run", env_id="tests.environments:Doors-v0")
    one, _ = policy.act(np.zeros(1, np.float32), action_mask=[0, 0, 0, 1, 0])
    assert one == 3
    batch = np.zeros((2, 1), np.float32)
    some, _ = policy.act(batch, deterministic=False, action_mask=np.eye(5)[[2, 4]])
    assert some.tolist() == [2, 4]
    env = policy.make_env()
    observation, _ = env.reset(seed=1)
    assert observation["action_mask"][policy.act(observation)[0]]
    with pytest.raises(ConfigError, match="the action mask has 2 elements, but the actions have 5 options"):
        policy.act(np.zeros(1, np.float32), action_mask=[1, 0])
