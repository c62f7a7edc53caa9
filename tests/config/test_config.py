"""The schema, and every file in conf/."""

from pathlib import PurePath

import pytest
from hydra import compose, initialize_config_dir

from rlexp.algos import ALGORITHMS
from rlexp.config.compose import algorithm_name, from_plain, plain, register, resolve, slug
from rlexp.config.places import conf_dir
from rlexp.config.schema import Config
from rlexp.errors import ConfigError
from tests.helpers import composed

NEEDS = {
    "env=gym": ["env.id=CartPole-v1"],
    "env=atari": ["env.id=ALE/Pong-v5"],
    "env=minigrid": ["env.id=MiniGrid-Empty-5x5-v0"],
    "env=mujoco": ["env.id=HalfCheetah-v5"],
    "topology=decoupled": ["fabric.devices=2"],
    "model=custom": ["model.path=tests.own:Sums"],
}
"""What must be given beside a choice."""
CHOICES = sorted(f"{path.parent.name}={path.stem}" for path in conf_dir().glob("*/*.yaml"))


def compose_config(*overrides: str) -> Config:
    register()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return resolve(compose("config", overrides=list(overrides)))


@pytest.mark.parametrize("choice", CHOICES)
def test_every_choice_in_conf_composes_and_passes_the_checks(choice):
    assert compose_config(choice, *NEEDS.get(choice, [])).updates >= 1


def test_the_accelerator_and_strategy_groups_write_into_fabric():
    config = compose_config("accelerator=cuda", "strategy=ddp")
    assert (config.fabric.accelerator, config.fabric.strategy) == ("cuda", "ddp")


def test_a_choice_of_experiment_is_overridden_by_keys():
    config = compose_config("experiment=mountaincar", "env.num_envs=8", "algo.gamma=0.5")
    assert (config.env.id, config.env.num_envs, config.algo.gamma) == ("MountainCar-v0", 8, 0.5)
    assert config.env.normalize_observations


def test_seed_example_has_the_settings_of_the_fabric_example():
    config = compose_config("experiment=seed_example")
    assert (config.seed, config.env.num_envs, config.algo.num_steps, config.total_timesteps) == (1, 2, 2048, 500_000)
    assert (config.algo.update_epochs, config.algo.per_rank_batch_size, config.algo.vf_coef) == (10, 64, 1.0)


@pytest.mark.parametrize("name", sorted(ALGORITHMS))
def test_a_config_comes_back_from_plain_containers(name):
    config = compose_config(
        f"algo={name}", "env=pendulum", "algo.hidden_sizes=[32]", "+env.kwargs.g=9.81", "algo.per_rank_batch_size=20"
    )
    back = from_plain(plain(config), name)
    assert back == config
    assert type(back.algo) is type(config.algo)
    assert algorithm_name(back) == name


@pytest.mark.parametrize(("change", "message"), [({"seed": -1}, "seed=-1"), ({"env": {"num_envs": 0}}, "env.num_envs")])
def test_plain_values_are_checked_when_they_come_back(change, message):
    values = plain(compose_config())
    for key, value in change.items():
        values[key] = {**values[key], **value} if isinstance(value, dict) else value
    with pytest.raises(ConfigError, match=message):
        from_plain(values, "ppo")


def test_an_algorithm_that_is_not_known_is_named():
    with pytest.raises(ConfigError, match="algorithm ddpg is not known; known are: a2c, dqn, ppo, sac, td3"):
        from_plain(plain(compose_config()), "ddpg")


@pytest.mark.parametrize(
    "text", ["CartPole-v1", "ALE/Pong-v5", "module:Id-v0", "../../etc", "..", ".", "", "a b\tc\n", "ü" * 9, "x" * 500]
)
def test_a_slug_is_one_plain_part_of_a_path(text):
    name = slug(text)
    assert PurePath(name).name == name
    assert name not in ("", ".", "..")
    assert name.isascii()
    assert name.isprintable()
    assert len(name) <= 120


def test_different_ids_keep_their_plain_characters_in_a_slug():
    assert slug("ALE/Pong-v5") == "ALE_Pong-v5"
    assert slug("seed=1,env.num_envs=2") == "seed=1,env.num_envs=2"


SCALED = ("fabric.precision=16-mixed",)


@pytest.mark.parametrize(
    ("overrides", "compiled"),
    [
        (("env=cartpole", "compile=auto"), False),  # 196 updates of 4 epochs of 4 minibatches
        (("env=cartpole", "total_timesteps=1000000", "compile=auto"), True),
        (("env=cartpole", "total_timesteps=1000000", "compile=false"), False),
        (("env=cartpole", "compile=true"), True),
        (
            (
                "env=cartpole",
                "total_timesteps=1000000",
                "compile=auto",
                "accelerator=cuda",
                "fabric.precision=16-mixed",
            ),
            False,
        ),
    ],
)
def test_long_runs_are_compiled_unless_told_otherwise(overrides, compiled):
    assert composed(*overrides).compiled is compiled


def test_optimizer_steps_are_counted_as_they_are_taken():
    config = composed("env=cartpole", "total_timesteps=4096", "algo.num_steps=100", "algo.per_rank_batch_size=150")
    assert config.algo.optimizer_steps(config.sizes) == 10 * config.algo.update_epochs * 3
