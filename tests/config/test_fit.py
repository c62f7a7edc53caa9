"""Presets combine with topologies: a minibatch size that nobody typed is lowered to what a rank has."""

from dataclasses import replace

import pytest
from hydra import compose, initialize_config_dir

from rlexp.algos import PPO
from rlexp.algos.base import Sizes
from rlexp.config.compose import register, typed
from rlexp.config.fit import fitted
from rlexp.config.places import conf_dir
from rlexp.config.rules import check_ranks, check_rules
from rlexp.errors import ConfigError
from tests.commands import command


def sizes(least=128, most=None, ranks=2):
    return Sizes(steps_per_update=512, least_rows=least, most_rows=most or least, num_envs=8, ranks=ranks)


@pytest.mark.parametrize(
    ("settings", "typed", "rows"),
    [
        ({"per_rank_batch_size": 64}, (), 64),
        ({"per_rank_batch_size": 256}, (), 128),
        ({"per_rank_batch_size": 256}, ("algo.per_rank_batch_size",), 256),  # refused by the algorithm's own rules
        ({"per_rank_batch_size": None}, ("algo.per_rank_batch_size",), None),
        ({"per_rank_batch_size": 256, "num_minibatches": 4}, ("algo.num_minibatches",), 32),
        ({"per_rank_batch_size": 256, "num_minibatches": 3}, ("algo.num_minibatches",), 43),
        ({"per_rank_batch_size": 256, "batch_size": 64}, ("algo.batch_size",), 32),
        ({"per_rank_batch_size": 256, "batch_size": 64}, (), 32),  # of a preset
        ({"per_rank_batch_size": 16, "batch_size": 64}, ("algo.per_rank_batch_size",), 16),
        ({"batch_size": 512}, (), 128),
    ],
)
def test_one_of_three_settings_says_the_size_of_a_minibatch(settings, typed, rows):
    algo, note = fitted(PPO(**settings), sizes(), typed)
    assert (algo.per_rank_batch_size, algo.batch_size, algo.num_minibatches) == (rows, None, None)
    assert (note is not None) == (rows == 128)


def test_minibatches_of_ranks_with_unequal_shares_are_counted_by_the_largest():
    algo, _ = fitted(PPO(num_minibatches=4), sizes(least=128, most=160, ranks=3), ("algo.num_minibatches",))
    assert algo.per_rank_batch_size == 40


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 64, "num_minibatches": 2}, "algo.batch_size=64 and algo.num_minibatches=2 both say"),
        ({"batch_size": 65}, "cannot be divided between 2 ranks that learn; allowed: multiples of 2, such as"),
        ({"batch_size": 1}, "such as algo.batch_size=2"),
        ({"num_minibatches": 129}, "is more than the 128 transitions that a rank gets of a rollout; allowed: 1 to 128"),
    ],
)
def test_sizes_that_ranks_cannot_have_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        fitted(PPO(**settings), sizes(), [f"algo.{name}" for name in settings])


def test_a_preset_runs_with_more_ranks_and_one_line_says_what_was_lowered(tmp_path):
    words = ("experiment=cartpole", "topology=decoupled", "fabric.devices=3", "total_timesteps=512", "eval.episodes=0")
    done = command(*words, "compile=false", "hydra.run.dir=RUN", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    line = "algo.per_rank_batch_size=128 instead of 256: a rank gets no more transitions of a rollout"
    assert done.stdout.splitlines().count(line) == 1
    assert "per_rank_batch_size: 128" in (tmp_path / "RUN" / "main.log").read_text()
    refused = command(*words, "algo.per_rank_batch_size=256", "hydra.run.dir=OTHER", cwd=tmp_path)
    assert refused.returncode == 1
    assert "algo.per_rank_batch_size=256 is larger than the 128 transitions" in refused.stderr


PRESETS = sorted(path.stem for path in (conf_dir() / "experiment").glob("*.yaml"))
WIRINGS = {
    "coupled 4": ("fabric.devices=4",),
    "coupled 2 shared": ("fabric.devices=2", "topology.share_data=true"),
    "decoupled 2": ("topology=decoupled", "fabric.devices=2"),
    "decoupled 3": ("topology=decoupled", "fabric.devices=3"),
    "decoupled 4 shared": ("topology=decoupled", "fabric.devices=4", "topology.share_data=true"),
    "decoupled 5 overlap": ("topology=decoupled", "fabric.devices=5", "topology.overlap=true", "env.num_envs=4"),
    "few steps": ("algo.num_steps=2", "env.num_envs=2"),
}
FAST = {"coupled 4", "decoupled 5 overlap"}


@pytest.mark.parametrize(
    "wiring", [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in WIRINGS]
)
@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_fits_every_wiring(preset, wiring):
    register()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        config = typed(compose("config", overrides=[f"experiment={preset}", *WIRINGS[wiring]]))
    if config.topology.name == "decoupled" and not config.topology.share_data:
        config.env.num_envs = max(config.env.num_envs, config.trainers)  # each trainer needs one of its own
    if config.model.sequence_length is not None:
        config.model.sequence_length = min(config.model.sequence_length, config.algo.num_steps)
    check_ranks(config)
    algo, _ = fitted(config.algo, config.sizes, WIRINGS[wiring])
    check_rules(replace(config, algo=algo))
