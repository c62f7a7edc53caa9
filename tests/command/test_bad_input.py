"""Bad input: one line that names the key, what was given and what is allowed, before anything is started."""

import re

import pytest
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from rlexp.config.compose import register, resolve
from rlexp.config.explain import check_arguments, explain, surplus_keys, unknown_key
from rlexp.config.places import conf_dir
from rlexp.errors import ConfigError
from tests.commands import command, error_line, with_broken_environments

COMMANDS = {
    "group choice": (
        ["env=foo"],
        "env=foo is not a choice; allowed: acrobot, atari, box2d, bsuite, cartpole",
    ),
    "unknown key": (["algo.gama=0.9"], r"unknown key algo\.gama; did you mean algo\.gamma\?"),
    "added key": (["+foo=1"], "unknown key foo; --cfg job lists the keys"),
    "wrong type": (["algo.gamma=abc"], r"algo\.gamma: Value 'abc' .*its type is float"),
    "range": (["algo.gamma=1.5"], r"algo\.gamma=1\.5 is out of range; allowed: 0 <= value <= 1"),
    "no environments": (["env.num_envs=0"], r"env\.num_envs=0 is out of range; allowed: 1 <= value"),
    "minibatch": (
        ["algo.per_rank_batch_size=1000"],
        r"algo\.per_rank_batch_size=1000 is larger than the 512 transitions .*allowed: 1 to 512",
    ),
    "environment id": (["env=gym", "env.id=CartPol-v1"], r"env\.id=CartPol-v1 is not registered; nearest: CartPole-v1"),
    "no id": (["env=gym"], r"env\.id has no value; give it as env\.id=VALUE"),
    "unreadable": (["seed=[1"], r"cannot read the override 'seed=\[1': write key=value"),
    "no update": (["total_timesteps=10"], r"total_timesteps=10 is less than one update of 512 steps"),
    "space": (
        ["env=gym", "env.id=broken:SequenceSpace-v0"],
        r"env\.id=broken:SequenceSpace-v0: the observation space is Sequence",
    ),
    "extra": (["env=gym", "env.id=broken:MissingPackage-v0"], r'pip install "rlexp\[box2d\]"'),
}
"""Overrides, and what the line must say."""


@pytest.mark.parametrize("name", COMMANDS)
def test_the_command_says_in_one_line_what_is_wrong_and_leaves_nothing_behind(name, tmp_path):
    overrides, message = COMMANDS[name]
    modules = with_broken_environments(tmp_path / "modules")
    cwd = tmp_path / "cwd"
    cwd.mkdir()
    done = command(*overrides, cwd=cwd, modules=modules)
    assert re.search(message, error_line(done))
    assert done.stdout == ""
    assert not list(cwd.iterdir())


HEAVY = {"torch", "lightning", "pytorch_lightning", "lightning_fabric", "tensorboard", "moviepy", "envpool"}


@pytest.mark.parametrize(
    ("arguments", "status", "environments"),
    [
        (["--help"], 0, False),
        (["--cfg", "job"], 0, False),
        (["algo.gamma=1.5"], 1, False),
        (["algo.gama=1.5"], 1, False),
        (["env=gym", "env.id=CartPol-v1"], 1, True),
    ],
    ids=["help", "config", "out of range", "unknown key", "environment id"],
)
def test_nothing_heavy_is_imported_before_the_checks(arguments, status, environments, tmp_path):
    done = command(*arguments, cwd=tmp_path, options=("-X", "importtime"))
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time")}
    assert done.returncode == status
    assert "rlexp.config.schema" in imported
    roots = {name.partition(".")[0] for name in imported}
    assert not roots & HEAVY
    assert ("gymnasium" in roots) == ("numpy" in roots) == environments  # they are imported to look an id up


def test_a_directory_that_is_named_is_not_left_behind_and_what_stood_there_before_stays(tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").touch()
    for run_dir in ("kept/new", str(tmp_path / "elsewhere")):
        error_line(command("seed=-1", f"hydra.run.dir={run_dir}", cwd=tmp_path))
        assert [path.name for path in tmp_path.rglob("*")] == ["kept", "file"]


def complaint(*overrides: str) -> str:
    """Return the line that the command would print."""
    from rlexp.envs import check_environment

    register()
    try:
        check_arguments(list(overrides))
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            composed = compose("config", overrides=list(overrides))
        config = resolve(composed)
        for key in surplus_keys(config, composed):
            raise ConfigError(unknown_key(key))
        check_environment(config)
    except ConfigError as error:
        return str(error)
    except (HydraException, OmegaConfBaseException) as error:
        return explain(error)
    pytest.fail(f"{overrides} passed")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ("algo=foo", "algo=foo is not a choice; allowed: a2c, c51, crossq, ddpg, dqn, droq, ppo"),
        ("experiment=foo", "experiment=foo is not a choice; allowed: acrobot, acrobot_dqn, ant, atari"),
        ("topology=foo", "topology=foo is not a choice; allowed: coupled, decoupled"),
        ("accelerator=tpu", "accelerator=tpu is not a choice; allowed: .*cpu, cuda"),
        ("strategy=fsdp", "strategy=fsdp is not a choice; allowed: auto, ddp"),
        ("algo=null", "algo=null is not a choice; allowed: a2c, c51"),
        ("+experiment=3", r"\+experiment=3 is not a choice; allowed: acrobot"),
        ("topology=coupled,true", "topology=coupled,true is not a choice; allowed: coupled, decoupled"),
        ("hydra/launcher=null", "hydra/launcher=null is not a choice; allowed: a name"),
        ("foo=1", "unknown key foo"),
        ("foo=bar", "unknown key foo"),
        ("++foo=1", "unknown key foo"),
        ("+env.foo=1", r"unknown key env\.foo"),
        ("+algo.num_step=1", r"unknown key algo\.num_step; did you mean algo\.num_steps\?"),
        ("checkpoint.evry=1", r"unknown key checkpoint\.evry; did you mean checkpoint\.every\?"),
        ("total_timestep=5", "unknown key total_timestep; did you mean total_timesteps"),
        ("algo=a2c algo.clip_coef=0.1", r"algo\.clip_coef is a key of algo=ppo, not of the chosen algorithm"),
        ("env.kwargs.foo=1", r"env\.kwargs\.foo is new; write \+env\.kwargs\.foo=VALUE"),
        ("+env.kwargs.foo=1", r"env\.id=CartPole-v1 does not build: TypeError: .*'foo'"),
        ("seed=1.5", "seed: Value '1.5' .*its type is int"),
        ("seed=-1", "seed=-1 is out of range; allowed: 0 <= value"),
        (f"seed={2**31 - 2}", "seed=2147483646 is out of range"),
        ("capture_video=perhaps", "capture_video: Value 'perhaps' .*its type is bool"),
        ("env.num_envs=two", r"env\.num_envs: Value 'two' .*its type is int"),
        ("fabric.devices=two", r"fabric\.devices: Value 'two' .*its type is int"),
        ("fabric.devices=0", r"fabric\.devices=0 is out of range; allowed: 1 <= value"),
        ("fabric.precision=8", r"fabric\.precision=8 is not a choice; allowed: 32-true"),
        ("fabric.threads_per_rank=many", r"fabric\.threads_per_rank=many is not a choice; allowed: auto"),
        ("fabric.threads_per_rank=0", r"fabric\.threads_per_rank=0 is out of range"),
        ("env.vectorization=threads", r"env\.vectorization=threads is not a choice; allowed: sync, async, vector"),
        ("env.backend=threads", r"env\.backend=threads is not a choice; allowed: gymnasium, envpool, torch"),
        ("env.threads=2", r"env\.threads=2 is for env\.backend=envpool, but env\.backend=gymnasium"),
        ("env=acrobot env.vectorization=vector", r"Acrobot-v1 has no vector environment of its own; give env\.vec"),
        (
            "env.vectorization=vector topology.share_data=true fabric.devices=4 env.num_envs=1 algo.num_steps=3 "
            "algo.per_rank_batch_size=1 topology=decoupled",
            r"algo\.num_steps=3 may leave less than a transition for each of 3 trainers.*algo\.num_steps=6",
        ),
        ("env.vectorization=vector env.frame_stack=4", r"frame_stack=4 does not go with .*env\.vectorization=sync"),
        ("env.backend=envpool env.action_repeat=2", r"action_repeat=2 does not go with .*env\.backend=gymnasium"),
        ("env.backend=envpool env.vectorization=async", r"env\.vectorization=async is not for env\.backend=envpool"),
        ("env.backend=envpool +env.kwargs.sutton_barto_reward=true", "is no option of CartPole-v1 in envpool; known: "),
        ("env.backend=envpool env.frame_stack=2", r"env\.frame_stack is no option of CartPole-v1 in envpool"),
        ("env.backend=envpool env.wrappers=[flatten]", r"has CartPole-v1 with env\.wrappers=\[\] alone"),
        ("env.backend=envpool env.id=Taxi-v4", r"envpool does not know Taxi-v4; give env\.backend=gymnasium"),
        ("env.vectorization=vector algo.num_steps=1", r"algo\.num_steps=1 is too short for .*give 2 or more"),
        (
            "env.backend=torch env=lunarlander",
            r"env\.id=LunarLander-v3 has no version for env\.backend=torch; those that do: Acrobot-v1, CartPole-v0, ",
        ),
        ("env.backend=torch +env.kwargs.g=9.81", r"env\.kwargs=\{'g': 9\.81\} does not go with env\.backend=torch"),
        (
            "env.backend=torch env.vectorization=async",
            r"env\.vectorization=async does not go with .*env\.vectorization=sync",
        ),
        ("env.backend=torch env.frame_stack=4", r"env\.frame_stack=4 does not go with .*env\.frame_stack=1"),
        ("env.backend=torch env.action_repeat=2", r"env\.action_repeat=2 does not go with .*env\.action_repeat=1"),
        ("env.action_bounds=wrap", r"env\.action_bounds=wrap is not a choice; allowed: clip, tanh"),
        ("env.frame_stack=0", r"env\.frame_stack=0 is out of range"),
        ("env.clip_rewards=0", r"env\.clip_rewards=0(\.0)? is out of range; allowed: 0 < value"),
        ("algo.gamma=nan", r"algo\.gamma=nan is out of range"),
        ("algo.gamma=inf", r"algo\.gamma=inf is out of range"),
        ("algo.gamma=null", r"algo\.gamma: .*its type is float"),
        ("algo.learning_rate=0", r"algo\.learning_rate=0(\.0)? is out of range; allowed: 0 < value"),
        ("algo.optimizer=lion", r"algo\.optimizer=lion is not a choice; allowed: adam"),
        ("algo.activation_function=step", r"algo\.activation_function=step is not a choice; allowed: tanh"),
        ("algo.hidden_sizes=[]", r"algo\.hidden_sizes=\[\] is empty"),
        ("algo.hidden_sizes=[0]", r"algo\.hidden_sizes=0 is out of range"),
        ("algo.hidden_sizes=64", r"algo\.hidden_sizes: .*its type is list\[int\]"),
        ("eval=3", "eval: .*its type is a group"),
        ("checkpoint.every=-1", r"checkpoint\.every=-1 is out of range; allowed: 0 <= value"),
        ("seed=1,2", "seed=1,2 names several values; add --multirun"),
        ("seed", "cannot read the override 'seed'"),
        ("topology=decoupled", r"topology=decoupled needs a player and at least one trainer.* fabric\.devices=2"),
        ("topology=decoupled fabric.devices=3 env.num_envs=1", r"env\.num_envs=1 is less than the 2 trainers"),
        ("env.id=NoSuchThing-v0", r"env\.id=NoSuchThing-v0 is not registered"),
        ("env.id=CartPole-v9", r"env\.id=CartPole-v9 is not registered; nearest: .*CartPole-v1"),
        ("env.id=LunarLander-v2", r"env\.id=LunarLander-v2 is not registered; nearest: .*LunarLander-v3"),
        ("env.id=nosuchmodule:Foo-v0", r"env\.id=nosuchmodule:Foo-v0 .*module nosuchmodule"),
    ],
)
def test_each_mistake_is_named_in_one_line(overrides, message):
    line = complaint(*overrides.split())
    assert re.search(message, line)
    assert "\n" not in line


def test_an_environment_that_does_not_build_is_named_with_its_reason(tmp_path):
    modules = with_broken_environments(tmp_path / "modules")
    line = error_line(command("env.id=broken:Unbuildable-v0", cwd=tmp_path, modules=modules))
    assert "env.id=broken:Unbuildable-v0 does not build: ValueError: no pole in stock" in line


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    line = error_line(command("total_timesteps=512", "hydra.run.dir=file/run", cwd=tmp_path))
    assert "file" in line
