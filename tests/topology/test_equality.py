"""What a run computes depends on its config alone: not on who computes it, nor on chance."""

import dataclasses
import functools
from pathlib import Path

import pytest
import torch

from tests.commands import rows_without_times
from tests.topology.ranks import checkpoint, launched, policy_of


def assert_same(first, second, name="") -> None:
    """Require that two trees of plain containers hold the same values, tensors bit for bit."""
    assert type(first) is type(second), name
    if isinstance(first, torch.Tensor):
        assert first.dtype == second.dtype, name
        assert torch.equal(first, second), name
    elif dataclasses.is_dataclass(first):
        assert_same(vars(first), vars(second), name)
    elif isinstance(first, dict):
        assert first.keys() == second.keys(), name
        for key in first:
            assert_same(first[key], second[key], f"{name}.{key}")
    elif isinstance(first, list | tuple):
        assert len(first) == len(second), name
        for index, (one, other) in enumerate(zip(first, second, strict=True)):
            assert_same(one, other, f"{name}[{index}]")
    else:
        assert first == second, name


def assert_learned(run_dir: Path) -> None:
    """Require that the weights of a run are finite, and not those that it began with."""
    launched(run_dir / "untrained", "algo.learning_rate=1e-30", *OF[run_dir.name], updates=1)
    before, after = policy_of(run_dir / "untrained"), policy_of(run_dir)
    assert all(value.isfinite().all() for value in after.values())
    assert any(not torch.equal(before[name], after[name]) for name in after if "torso" in name)


REPLAY = ("algo.per_rank_batch_size=8", "algo.learning_starts=40", "algo.replay_ratio=0.1", "algo.hidden_sizes=[8]")
OF = {
    "plain": (),
    "normalized": ("env.normalize_observations=true", "env.normalize_rewards=true", "env.clip_observations=5"),
    "a2c": ("algo=a2c", "algo.per_rank_batch_size=null", "env.normalize_rewards=true"),
    "continuous": ("env=pendulum", "env.normalize_rewards=true"),
    "squashed": ("env=pendulum", "env.action_bounds=tanh", "env.max_episode_steps=7"),
    "truncated": ("env.max_episode_steps=5", "env.normalize_observations=true"),
    "images": ("env=gym", "env.id=tests.environments:Picture-v0", "env.images=pixels", "algo.hidden_sizes=[8]"),
    "mixed": ("env=gym", "env.id=tests.environments:Mixed-v0", "env.normalize_observations=true"),
    "recurrent": ("model=gru", "model.sequence_length=8", "env.normalize_observations=true"),
    "dqn": ("algo=dqn", *REPLAY, "algo.noisy=true", "algo.atoms=5", "algo.priority_exponent=0.5", "algo.n_step=3"),
    "sac": (
        "algo=sac",
        "env=pendulum",
        *REPLAY,
        "env.max_episode_steps=9",
        "env.normalize_observations=true",
        "env.normalize_rewards=true",
    ),
    "sac of choices": ("algo=sac", *REPLAY),
    "td3": ("algo=td3", "env=pendulum", *REPLAY, "env.max_episode_steps=9"),
    "early": ("algo.target_kl=1e-4", "algo.update_epochs=5"),
}
"""The settings of the runs that coupled and decoupled are compared by."""
SLOW = {"squashed", "early", "sac of choices", "td3"}


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in OF])
def test_one_coupled_rank_and_one_decoupled_trainer_learn_the_same_bit_for_bit(name, tmp_path):
    coupled, decoupled = tmp_path / name, tmp_path / "decoupled"
    launched(coupled, *OF[name])
    launched(decoupled, *OF[name], "topology=decoupled", "fabric.devices=2")
    first, second = checkpoint(coupled), checkpoint(decoupled)
    assert_same(first.learner, second.learner)
    assert rows_without_times(coupled) == rows_without_times(decoupled)
    assert len(rows_without_times(coupled)) == 4
    assert_learned(coupled)


TOPOLOGIES = {
    "coupled 1": ("topology=coupled",),
    "coupled 2": ("topology=coupled", "fabric.devices=2"),
    "coupled 2 shared": ("topology=coupled", "fabric.devices=2", "topology.share_data=true"),
    "decoupled 2": ("topology=decoupled", "fabric.devices=2"),
    "decoupled 3": ("topology=decoupled", "fabric.devices=3"),
    "decoupled 3 shared": ("topology=decoupled", "fabric.devices=3", "topology.share_data=true"),
    "decoupled 3 overlap": ("topology=decoupled", "fabric.devices=3", "topology.overlap=true"),
    "decoupled 2 overlap shared": (
        "topology=decoupled",
        "fabric.devices=2",
        "topology.overlap=true",
        "topology.share_data=true",
    ),
}


@pytest.fixture(scope="module")
def run_of(tmp_path_factory):
    """Return the directory of a run in each topology, which is run when it is first asked for."""

    @functools.cache
    def run(name: str) -> Path:
        run_dir = tmp_path_factory.mktemp("runs") / "run"
        launched(run_dir, *TOPOLOGIES[name], "env.normalize_observations=true")
        return run_dir

    return run


@pytest.mark.parametrize("name", TOPOLOGIES)
def test_the_same_seed_gives_the_same_weights_and_metrics(name, run_of, tmp_path):
    launched(tmp_path / "again", *TOPOLOGIES[name], "env.normalize_observations=true")
    first, second = checkpoint(run_of(name)), checkpoint(tmp_path / "again")
    assert_same(first.learner, second.learner)
    rows = rows_without_times(run_of(name))
    assert rows == rows_without_times(tmp_path / "again")
    assert len(rows) == 4


@pytest.mark.parametrize("name", ["coupled 2", "decoupled 3"])
def test_another_seed_gives_other_weights(name, tmp_path):
    for seed in (1, 2):
        launched(tmp_path / str(seed), *TOPOLOGIES[name], f"seed={seed}", updates=1)
    first, second = policy_of(tmp_path / "1"), policy_of(tmp_path / "2")
    assert not torch.equal(first["actor.head.weight"], second["actor.head.weight"])


def test_the_topologies_that_may_differ_do(run_of):
    """Sharing, overlap and the number of ranks each change what is computed; else the settings would do nothing."""
    names = [name for name in TOPOLOGIES if name != "decoupled 2"]  # which equals coupled 1
    heads = [policy_of(run_of(name))["actor.head.weight"] for name in names]
    for index, head in enumerate(heads):
        assert not any(torch.equal(head, other) for other in heads[:index])
