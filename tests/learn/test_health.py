"""Numbers gone wrong: told with their place, and never saved."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from rlexp.collect import build
from rlexp.envs.tensors.base import Reached
from rlexp.envs.tensors.cartpole import CartPole
from rlexp.errors import Fault, RunFailed
from rlexp.files.checkpoint import load
from rlexp.learn.health import check_rollout
from rlexp.run.evaluation import evaluate
from tests.commands import metrics, summary
from tests.helpers import agent, learner, state_of
from tests.launch.forked import done
from tests.topology.ranks import launched

POISONED = ("env=gym", "env.id=tests.environments:Poisoned-v0")


def poisoned(what: str, at: int, seed: int = -1, value: str = "nan") -> list[str]:
    words = {"what": what, "at": at, "seed": seed, "value": value}
    return [*POISONED, *(f"+env.kwargs.{key}={word}" for key, word in words.items())]


def assert_nothing_poisoned(run_dir: Path, steps: int) -> None:
    """Require a last checkpoint of before `steps`, that loads and holds finite numbers only."""
    state = load(run_dir / "checkpoints" / "last.safetensors")
    assert 0 < state.env_steps <= steps
    assert all(value.isfinite().all() for value in state.learner.agent.values())
    assert state.env_steps == int(metrics(run_dir)[-1]["env_steps"])


# Environments


@pytest.mark.parametrize(
    ("what", "at", "told", "value"),
    [("reward", 3, 12, "nan"), ("reward", 3, 12, "-inf"), ("observation", 6, 24, "inf"), ("final", 4, 16, "nan")],
)
def test_a_number_that_is_not_finite_is_reported_with_its_environment_and_step(what, at, told, value):
    words = (*poisoned(what, at, 44, value), "env.num_envs=4", "algo.num_steps=8", "algo.per_rank_batch_size=32")
    _, envs, _, player = agent(*words)
    try:
        with pytest.raises(Fault) as caught:
            check_rollout(player.collect().rollout, envs.spec.observation, 3, 64, 4)
    finally:
        player.close()
    kind = "reward" if what == "reward" else "observation"
    line = f"non-finite {kind} ({value}) from environment 2 of rank 3 at step {64 + told}; mend the environment"
    assert str(caught.value) == line


@pytest.mark.parametrize("env", ["env=cartpole", "id=Picture-v0", "id=Mixed-v0", "id=Counting-v0"])
def test_what_is_finite_passes(env):
    _, envs, _, player = agent(env, "env.num_envs=2", "algo.num_steps=64")
    check_rollout(player.collect().rollout, envs.spec.observation, 0, 0, 2)
    player.close()


def test_the_numbers_beside_a_picture_are_checked_too():
    _, envs, _, player = agent("id=Mixed-v0", "env.num_envs=2", "algo.num_steps=64")
    rollout = player.collect().rollout
    player.close()
    rollout.obs[5, 1, :4].view(torch.float32).fill_(torch.inf)
    with pytest.raises(Fault, match=r"observation \(inf\) from environment 1 of rank 0 at step 10"):
        check_rollout(rollout, envs.spec.observation, 0, 0, 2)


@pytest.mark.parametrize(
    ("topology", "rank"),
    [
        (("fabric.devices=2",), 1),
        pytest.param(("topology=decoupled", "fabric.devices=2", "topology.overlap=true"), 0, marks=pytest.mark.slow),
    ],
    ids=["coupled", "decoupled"],
)
def test_a_run_stops_at_a_reward_that_is_not_finite_and_keeps_its_last_checkpoint(topology, rank, tmp_path):
    seed = 42 + 2 * rank + 1  # environment 1 of that rank, in the fifth rollout of 8 steps
    words = poisoned("reward", 35, seed, "inf")
    extras = ("checkpoint.every=1", "env.normalize_observations=true", "total_timesteps=400")
    code, command = done(*words, *topology, *extras, cwd=tmp_path / "cwd")
    players = 2 if rank else 1
    line = f"non-finite reward (inf) from environment 1 of rank {rank} at step {35 * 2 * players}; mend the environment"
    assert (code, command.stderr) == (1, f"error: {line}\n")
    run_dir = command.cwd / "RUN"
    assert (summary(run_dir)["state"], summary(run_dir)["error"]) == ("failed", line)
    assert_nothing_poisoned(run_dir, 4 * 16 * players)


class Breaking(CartPole):
    """A cart that is nowhere once its pole leans, or whose reward then has no value."""

    def __init__(self, what: str) -> None:
        self._what = what

    def step(self, states: Tensor, actions: Tensor) -> Reached:
        reached = super().step(states, actions)
        leans = reached.states[:, 2].abs() > 0.1
        if self._what == "reward":
            return reached._replace(rewards=reached.rewards.masked_fill(leans, torch.inf))
        return reached._replace(states=reached.states.masked_fill(leans.unsqueeze(-1), torch.nan))


@pytest.mark.parametrize(
    ("what", "topology"),
    [
        ("reward", ()),
        ("observation", ("topology=decoupled", "fabric.devices=2")),
        pytest.param("observation", ("fabric.devices=2", "topology.share_data=true"), marks=pytest.mark.slow),
    ],
)
def test_environments_of_tensors_are_checked_too(what, topology, tmp_path, monkeypatch):
    monkeypatch.setattr(build, "tensor_environment", lambda env_id: Breaking(what))
    with pytest.raises(RunFailed, match=rf"^non-finite {what} .* from environment \d of rank \d at step \d+; mend"):
        launched(tmp_path / "run", "env.backend=torch", "checkpoint.every=1", *topology, updates=20)
    assert summary(tmp_path / "run")["state"] == "failed"


@pytest.mark.parametrize("what", ["reward", "observation"])
def test_an_evaluation_does_not_report_what_is_not_finite(what):
    config, _, policy, player = agent(*poisoned(what, 4))
    player.close()
    with pytest.raises(Fault, match=f"non-finite {'return' if what == 'reward' else 'observation'} .*seed 2147"):
        evaluate(config, policy.actor, 2, seed=0)


# Updates


@pytest.mark.parametrize("devices", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_a_run_stops_at_a_loss_that_is_not_finite(devices, tmp_path):
    words = ("algo.learning_rate=1e30", "algo.anneal_lr=false", f"fabric.devices={devices}", "checkpoint.every=1")
    code, command = done(*words, "algo.update_epochs=1", "algo.per_rank_batch_size=16", cwd=tmp_path / "cwd")
    assert code == 1
    line = summary(command.cwd / "RUN")["error"]
    assert command.stderr == f"error: {line}\n"
    assert line.startswith("non-finite ")
    assert "in update 2 in minibatch 1 of epoch 1; lower algo.learning_rate" in line
    assert_nothing_poisoned(command.cwd / "RUN", 16 * devices)


SKIP = ("compile=false", "env=cartpole", "env.num_envs=2", "algo.num_steps=8", "algo.per_rank_batch_size=8",
        "algo.update_epochs=2", "algo.skip_nonfinite_gradients=true", "env.normalize_observations=true")  # fmt: skip


def optimizer_of(teacher):
    return teacher.stepper.steppers["policy"].optimizer


def huge(rollout):
    """Return a rollout with rewards that are finite, while every loss made of them is not."""
    return replace(rollout, rewards=torch.full_like(rollout.rewards, 1e30))


@pytest.mark.parametrize("first", [True, False], ids=["first", "later"])
@pytest.mark.parametrize("optimizer", ["adam", "adamw", "rmsprop", "sgd"])
def test_a_step_that_is_skipped_changes_nothing(optimizer, first, fabric):
    config, _, policy, player = agent(*SKIP, f"algo.optimizer={optimizer}", "algo.weight_decay=0.1")
    teacher = learner(config, policy, fabric)
    if not first:
        assert teacher.update(player.collect().rollout, 1.0).skipped_steps == 0
    weights = teacher.weights.detach().clone()
    slots = {name: value.clone() for name, value in optimizer_of(teacher).state[teacher.weights].items()}
    told = teacher.update(huge(player.collect().rollout), 1.0)
    assert told.skipped_steps == 4
    assert torch.equal(teacher.weights, weights)
    for name, value in optimizer_of(teacher).state[teacher.weights].items():
        if name != "step" or optimizer != "rmsprop":
            assert torch.equal(value, slots.get(name, torch.zeros_like(value))), name
    assert teacher.update(player.collect().rollout, 1.0).skipped_steps == 0
    assert state_of(policy).isfinite().all()
    assert not torch.equal(teacher.weights, weights)
    player.close()


def test_the_switch_changes_no_run_without_bad_gradients(fabric):
    ends = []
    for switch in (True, False):
        config, _, policy, player = agent(*SKIP[:-2], f"algo.skip_nonfinite_gradients={switch}")
        teacher = learner(config, policy, fabric)
        for _ in range(3):
            told = teacher.update(player.collect().rollout, 1.0)
        ends.append((state_of(policy), told))
        player.close()
    assert torch.equal(ends[0][0], ends[1][0])
    assert ends[0][1] == ends[1][1]


@pytest.mark.parametrize(
    "extras",
    [
        pytest.param(("fabric.devices=1",), marks=pytest.mark.slow),
        pytest.param(("fabric.devices=2",), marks=pytest.mark.slow),
        ("topology=decoupled", "fabric.devices=3"),
        pytest.param(("fabric.devices=2", "compile=true"), marks=pytest.mark.slow),
        pytest.param(("fabric.devices=1", "compile=true"), marks=pytest.mark.slow),
    ],
    ids=["one", "two", "decoupled", "compiled", "compiled alone"],
)
def test_single_bad_gradients_are_skipped_and_counted_on_all_ranks(extras, tmp_path):
    words = (*poisoned("reward", 12, 42, "1e30"), *extras, "algo.skip_nonfinite_gradients=true")
    code, command = done(*words, "algo.per_rank_batch_size=4", cwd=tmp_path / "cwd")
    assert code == 0, command.stderr
    rows = metrics(command.cwd / "RUN")
    skipped = [float(row["Info/skipped_steps"]) for row in rows]
    assert skipped[0] == 0
    assert skipped[1] > 0  # the rollout of steps 9 to 16
    assert skipped[1] == int(skipped[1])
    assert skipped[2:] == [0] * (len(rows) - 2)
    state = load(command.cwd / "RUN" / "checkpoints" / "last.safetensors")
    assert all(value.isfinite().all() for value in state.learner.agent.values())
