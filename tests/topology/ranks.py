"""How tests run real ranks: forked from this process, which has imported everything once."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from rlexp.collect.player import Player
from rlexp.config.schema import Config
from rlexp.data.exploration import Exploration
from rlexp.data.resuming import ResumePoint
from rlexp.data.rollout import Collected, Update
from rlexp.data.state import Saved
from rlexp.envs import check_environment
from rlexp.files.checkpoint import load
from rlexp.launch.job import Job
from rlexp.launch.processes import run
from rlexp.launch.rank import Rank
from rlexp.learn.learner import Learner, Progress
from rlexp.models.actor import Actor
from rlexp.run.experiment import Record, RecordOfRank0, run_rank
from rlexp.topology import coupled, decoupled
from tests.helpers import composed

SMALL = (
    "fabric.threads_per_rank=1",
    "fabric.timeout_seconds=60",
    "env.num_envs=4",
    "algo.num_steps=16",
    "algo.per_rank_batch_size=8",
    "algo.hidden_sizes=[16,16]",
    "algo.learning_rate=1e-2",
    "algo.update_epochs=2",
    "eval.episodes=0",
    "log.every=1",
    "total_timesteps=1000000",
)
"""Overrides of a run whose updates take milliseconds; a later override of the same key wins."""


def configured(*overrides: str, updates: int) -> Config:
    """Return the config of a small run of so many updates."""
    words = {word.partition("=")[0]: word for word in (*SMALL, *overrides)}
    if words.get("algo") in ("algo=dqn", "algo=sac", "algo=td3"):
        words.pop("algo.update_epochs")
    config = composed(*words.values())
    config.total_timesteps = updates * config.steps_per_update
    return config


def launched(run_dir: Path, *overrides: str, updates: int = 4, body: Callable[[Rank], None] = run_rank) -> dict:
    """Run `body`, by default a whole experiment, on the ranks of a small config; return the summary."""
    return _launched(run_dir, configured(*overrides, updates=updates), body)


def launched_as(run_dir: Path, *overrides: str) -> dict:
    """Run a whole experiment with no other settings than the overrides; return the summary."""
    return _launched(run_dir, composed(*overrides), run_rank)


def _launched(run_dir: Path, config: Config, body: Callable[[Rank], None]) -> dict:
    run_dir.mkdir(parents=True)
    return run(Job(config, check_environment(config), run_dir), body)


def resumed(run_dir: Path, *overrides: str, updates: int = 4) -> dict:
    """Resume a run from its last checkpoint; return the summary."""
    config, state = configured(*overrides, updates=updates), checkpoint(run_dir)
    path = run_dir / "checkpoints" / "last.safetensors"
    point = ResumePoint(path, state.recorder.updates, state.env_steps, state.recorder.seconds)
    return run(Job(config, check_environment(config), run_dir, point), run_rank)


def checkpoint(run_dir: Path) -> Saved:
    return load(run_dir / "checkpoints" / "last.safetensors")


def policy_of(run_dir: Path) -> dict[str, Tensor]:
    """Return the weights and statistics that a run ended with."""
    return checkpoint(run_dir).learner.agent


def flat(policy: torch.nn.Module) -> Tensor:
    """Return a copy of all weights as one vector."""
    return torch.cat([parameter.detach().flatten() for parameter in policy.parameters()])


def train(rank: Rank) -> Actor:
    """Run the loop of the topology that the config names, as an experiment does."""
    loop = decoupled if rank.config.topology.name == "decoupled" else coupled
    if rank.index != 0:
        return loop.run(rank, Record(rank, None))
    record = RecordOfRank0(rank, None)
    try:
        return loop.run(rank, record)
    finally:
        record.close()


@contextlib.contextmanager
def spied() -> Iterator[dict[str, list]]:
    """Note what this process acts with, learns from and learns; to be used in a rank, whose process ends with it.

    Yields: `acting` and `actors`, the actor's weights at the start of each rollout and after each update; `learned`,
    all weights after each update; `rollouts` and `metrics`, what each update was given and returned.
    """
    notes: dict[str, list] = {"acting": [], "rollouts": [], "learned": [], "actors": [], "metrics": []}
    collect, update = Player.collect, Learner.update

    def noted_collect(self: Player, exploration: Exploration) -> Collected:
        notes["acting"].append(flat(self._actor))
        return collect(self, exploration)

    def noted_update(self: Learner, collected: Collected, progress: Progress) -> Update:
        notes["rollouts"].append(vars(collected.rollout).copy())
        done = update(self, collected, progress)
        notes["learned"].append(flat(self.agent))
        notes["actors"].append(flat(self.agent.actor))
        notes["metrics"].append(done.scalars.copy())
        return done

    Player.collect, Learner.update = noted_collect, noted_update
    try:
        yield notes
    finally:
        Player.collect, Learner.update = collect, update


def noting(rank: Rank) -> None:
    """Train, and leave in the run's directory what this rank acted with, learned from and learned; see `spied`."""
    with spied() as notes:
        actor = train(rank)
    torch.save(notes | {"policy": actor.state_dict(), "last": flat(actor)}, rank.run_dir / f"rank{rank.index}.pt")


def noted(run_dir: Path, *overrides: str, updates: int = 4) -> list[dict]:
    """Run small ranks that note what they do, and return the notes of each."""
    size = launched(run_dir, *overrides, updates=updates, body=noting)["world_size"]
    return [torch.load(run_dir / f"rank{index}.pt", weights_only=True) for index in range(size)]
