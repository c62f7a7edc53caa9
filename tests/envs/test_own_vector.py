"""`env.backend=package.module:function`: a vector environment of one's own, in either reset mode."""

import numpy as np
import pytest

import rlexp
from rlexp.command.arguments import read
from rlexp.envs import check_environment, make_environments
from rlexp.errors import ConfigError
from rlexp.files.trust import stored_config
from tests.commands import metrics, rows_without_times, summary
from tests.helpers import composed
from tests.topology.ranks import checkpoint, launched, resumed
from tests.topology.test_equality import TOPOLOGIES

OWN = ("env=gym", "env.id=mine")


@pytest.mark.parametrize(
    ("path", "same"),
    [("cartpoles", ()), ("native_cartpoles", ("env.vectorization=vector",))],
)
@pytest.mark.parametrize("topology", ["coupled 2", "decoupled 3 overlap"])
def test_it_trains_as_the_same_environments_of_rlexp(topology, path, same, tmp_path):
    words = (*TOPOLOGIES[topology], "env.normalize_rewards=true")
    launched(tmp_path / "own", "env=gym", "env.id=CartPole-v1", f"env.backend=tests.own:{path}", *words, updates=6)
    launched(tmp_path / "ours", *same, *words, updates=6)
    assert rows_without_times(tmp_path / "own") == rows_without_times(tmp_path / "ours")


def test_final_observations_of_any_arrays_are_read(tmp_path):
    config = composed(*OWN, "env.backend=tests.own:poles", "env.num_envs=3")
    assert check_environment(config).observation.vector_size == 2
    envs = make_environments(config.env, 3)
    rows = np.zeros((3, 3), np.float32)
    envs.reset([5, 6, 7], rows)
    results = [envs.step(np.zeros(3, np.int64), rows) for _ in range(4)]
    assert results[3].truncated.tolist() == [True, False, False]
    assert results[3].final_obs[0].tolist() == [4, 0, 0] and rows[0].tolist() == [0, 0, 0]
    assert rows[1].tolist() == [4, 1, 1]


def test_it_is_evaluated_resumed_and_loaded(tmp_path):
    words = (*OWN, "env.backend=tests.own:poles", "eval.episodes=3", "checkpoint.every=1")
    launched(tmp_path / "run", *words, updates=3)
    assert summary(tmp_path / "run")["eval"]["returns"] == [4.0, 5.0, 6.0]
    resumed(tmp_path / "run", *words, updates=5)
    assert len(metrics(tmp_path / "run")) == 5
    policy = rlexp.load(tmp_path / "run", plugins=["tests.own"])
    action, _ = policy.act({"at": np.zeros(2, np.float32), "goal": 1})
    assert action in (0, 1)
    with pytest.raises(ConfigError, match="call that function instead"):
        policy.make_env()
    saved = checkpoint(tmp_path / "run")
    saved.config["env"]["backend"] = "elsewhere:poles"
    with pytest.raises(ConfigError, match=r"wants to import the module elsewhere for its env.backend"):
        stored_config(saved, tmp_path)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["+env.kwargs.broken=count"], "env.backend=tests.own:poles returned 2 environments, but 1 were asked for"),
        (["+env.kwargs.broken=mode"], "its metadata has autoreset_mode=None; say how it resets"),
        (["+env.kwargs.broken=kind"], "returned dict, which has no num_envs; return a gymnasium.vector.VectorEnv"),
        (["+env.kwargs.broken=raises"], "tests.own:poles: ValueError: the cable is gone (tests/own.py:"),
        (["+env.kwargs.broken=rewards"], "rewards have the shape [2], not [1]"),
        (["+env.kwargs.color=red"], "does not build: TypeError: poles() got an unexpected keyword argument 'color'"),
        (["env.max_episode_steps=5"], "env.max_episode_steps is not for env.backend=tests.own:poles"),
        (["env.wrappers=[flatten]"], "env.wrappers do not go with env.backend=tests.own:poles"),
        (["capture_video=true"], "env.backend=tests.own:poles draws nothing"),
        (["env.backend=brax"], "env.backend=brax is not a choice; allowed: gymnasium, envpool, torch, or a path"),
    ],
)
def test_what_is_wrong_with_it_is_one_line(words, said):
    with pytest.raises(ConfigError) as error:
        check_environment(composed(*OWN, "env.backend=tests.own:poles", *words))
    assert said in str(error.value)


def test_it_needs_no_id_of_its_own():
    assert read(["env.backend=a.b:c"]) == ["env.backend=a.b:c", "env=gym", "env.id=a.b-c"]
    assert read(["env.backend=a.b:c", "env.id=mine"]) == ["env.backend=a.b:c", "env.id=mine"]
