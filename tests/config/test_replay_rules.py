"""Settings of a replay memory that cannot work end in one line, before anything is built."""

import pytest

from rlexp.data.spaces import ActionSpec, ObservationSpec, SpaceSpec
from rlexp.errors import ConfigError
from rlexp.learn import room
from tests.helpers import composed

REAL = ActionSpec("box", (), (1,), (), (-2.0,), (2.0,))
SPEC = SpaceSpec(ObservationSpec(3, (), ()), REAL)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["memory.size=100", "algo.num_steps=200"], "memory.size=100 is less than one rollout of 800 transitions"),
        (["algo.learning_starts=5000", "memory.size=2000"], "algo.learning_starts=5000 is more than memory.size=2000"),
        (["algo.learning_starts=100000"], "algo.learning_starts=100000 leaves nothing of the 100000 steps"),
        (["algo.per_rank_batch_size=null"], "algo.per_rank_batch_size=null: .* give a size, such as 256"),
        (["fabric.precision=bf16-true"], "fabric.precision=bf16-true: .* give bf16-mixed"),
        (["env.action_bounds=tanh"], "env.action_bounds=tanh is for PPO and A2C: SAC .* leave it out"),
        (["model=gru"], "model=gru: recurrent networks need an on-policy algorithm"),
        (["algo.target_critics=3"], "algo.target_critics=3 is more than algo.num_critics=2"),
        (
            ["algo.target_critics=1", "algo.num_critics=3", "algo.per_rank_batch_size=2"],
            "algo.per_rank_batch_size=2 is less than algo.num_critics=3",
        ),
        (["algo.n_step=0"], "algo.n_step=0 is out of range"),
        (["algo.replay_ratio=0"], "algo.replay_ratio=0.0 is out of range"),
    ],
)
def test_what_cannot_work_is_one_line(words, said):
    with pytest.raises(ConfigError, match=said):
        composed("env=pendulum", "algo=sac", *words)


def test_atoms_lie_between_two_values():
    with pytest.raises(ConfigError, match=r"algo.value_min=3.0 is not below algo.value_max=3.0"):
        composed("algo=dqn", "algo.atoms=5", "algo.value_min=3", "algo.value_max=3")


@pytest.mark.parametrize(
    ("algo", "action", "said"),
    [
        ("td3", ActionSpec("discrete", (3,), (), (0,), (), ()), "takes actions of a Box of .*, not a Discrete; .*ppo"),
        ("dqn", REAL, "takes actions of a Discrete, not a Box of real numbers; give algo=sac"),
        (
            "sac",
            ActionSpec("multidiscrete", (3, 2), (2,), (0, 0), (), ()),
            "takes actions of a Box of .* or Discrete, not a MultiD",
        ),
        ("sac", ActionSpec("box", (), (1,), (), (-2.0,), (float("inf"),)), "needs finite bounds of actions"),
    ],
)
def test_actions_that_it_cannot_learn_are_one_line(algo, action, said):
    with pytest.raises(ConfigError, match=f"algo={algo} {said}"):
        composed("env=pendulum", f"algo={algo}").algo.check_space(action)


def test_a_memory_larger_than_what_is_free_is_refused(monkeypatch, tmp_path):
    config = composed("env=pendulum", "algo=sac", "memory.size=1000", "env.num_envs=2", "algo.num_steps=4")
    rows = 2 * (500 + 1)
    need = room.row_spec(SPEC).bytes * rows
    monkeypatch.setattr(room, "free_memory", lambda: need)
    room.check_room(config, SPEC, tmp_path)
    monkeypatch.setattr(room, "free_memory", lambda: None)  # where nobody knows
    room.check_room(config, SPEC, tmp_path)
    monkeypatch.setattr(room, "free_memory", lambda: need - 1)
    with pytest.raises(ConfigError, match=r"memory.size=1000 needs .* memory has .* free; .* memory.on_disk=true"):
        room.check_room(config, SPEC, tmp_path)


def test_each_learner_of_a_machine_has_a_memory(monkeypatch, tmp_path):
    words = ("env=pendulum", "algo=sac", "memory.size=1000", "env.num_envs=2", "algo.num_steps=4")
    for topology, learners in (("coupled", 3), ("decoupled", 2)):
        config = composed(*words, f"topology={topology}", "fabric.devices=3")
        envs = config.memory_envs
        one = room.row_spec(SPEC).bytes * envs * (1000 // envs + 1)
        monkeypatch.setattr(room, "free_memory", lambda free=learners * one: free)
        room.check_room(config, SPEC, tmp_path)
        monkeypatch.setattr(room, "free_memory", lambda free=learners * one - 1: free)
        with pytest.raises(ConfigError, match=f"for {learners} replay memories"):
            room.check_room(config, SPEC, tmp_path)


def test_a_memory_larger_than_the_disk_is_refused(monkeypatch, tmp_path):
    config = composed("env=pendulum", "algo=sac", "memory.size=1000", "memory.on_disk=true")
    monkeypatch.setattr(room.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 100}))
    with pytest.raises(ConfigError, match=f"the disk of {tmp_path} has .* free; lower memory.size"):
        room.check_room(config, SPEC, tmp_path / "not" / "made")


def test_no_memory_is_larger_than_the_run(monkeypatch, tmp_path):
    config = composed("env=pendulum", "algo=sac", "memory.size=1000000000", "total_timesteps=2000")
    assert room.capacity(config, 4) == config.updates * config.algo.num_steps == 500
