"""CartPole is solved whoever collects, whoever trains, and whatever the precision; minutes long."""

import pytest

from tests.commands import summary
from tests.launch.test_torchrun import STANDALONE, Torchrun
from tests.topology.ranks import launched_as

SOLVED = 475.0
WAYS = {
    "coupled 2": ("topology=coupled", "fabric.devices=2"),
    "coupled 2 shared": ("topology=coupled", "fabric.devices=2", "topology.share_data=true"),
    "decoupled 3": ("topology=decoupled", "fabric.devices=3"),
    "decoupled 3 shared": ("topology=decoupled", "fabric.devices=3", "topology.share_data=true"),
    "decoupled 2 overlap": ("topology=decoupled", "fabric.devices=2", "topology.overlap=true"),
    "decoupled 3 overlap": ("topology=decoupled", "fabric.devices=3", "topology.overlap=true"),
    "bf16-mixed": ("fabric.precision=bf16-mixed",),
    "coupled 2 bf16-mixed": ("topology=coupled", "fabric.devices=2", "fabric.precision=bf16-mixed"),
}
EXPERIMENT = ("experiment=cartpole", "seed=1", "eval.episodes=20", "fabric.threads_per_rank=1")
"""The preset, whose minibatch of 256 rows is a whole rollout: split between trainers, it is the share of each."""


def preset(*overrides: str) -> list[str]:
    words = [*EXPERIMENT, *overrides]
    if "topology=decoupled" in words and "fabric.devices=3" in words:
        words.append("algo.per_rank_batch_size=128")
    return words


@pytest.mark.slow
@pytest.mark.parametrize("name", WAYS)
def test_cartpole_is_solved(name, tmp_path):
    result = launched_as(tmp_path / "run", *preset(*WAYS[name]))
    assert result["state"] == "completed"
    assert result["eval"]["episodes"] == 20
    assert result["eval"]["mean_return"] >= SOLVED


@pytest.mark.slow
def test_cartpole_is_solved_under_torchrun(tmp_path):
    run = Torchrun(tmp_path / "cwd", STANDALONE, [*preset("topology=coupled"), "hydra.run.dir=RUN"])
    try:
        assert run.wait(600) == 0, run.printed
    finally:
        run.end()
    assert summary(run.cwd / "RUN")["eval"]["mean_return"] >= SOLVED


@pytest.mark.slow
def test_bf16_true_learns_something(tmp_path):
    """Weights of 8 bits of mantissa, and steps that round to nothing: more than by chance (about 20) is all we ask."""
    result = launched_as(tmp_path / "run", *preset("fabric.precision=bf16-true"))
    assert result["eval"]["mean_return"] > 60
