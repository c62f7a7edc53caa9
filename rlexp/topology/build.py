"""What ranks of both topologies are made of: agent, player, learner and loop."""

from __future__ import annotations

import logging
import sys

import torch

from rlexp.collect.build import build_player
from rlexp.collect.player import Player
from rlexp.collect.tensor_player import TensorPlayer
from rlexp.config.schema import Config
from rlexp.data.exploration import Exploration
from rlexp.data.random_state import load_random_state
from rlexp.data.replay import ReplayState
from rlexp.data.rollout import Rollout
from rlexp.data.spaces import SpaceSpec
from rlexp.data.state import RankState, Start
from rlexp.files.segments import read_rows, stored_rows
from rlexp.launch.rank import Rank
from rlexp.learn.callbacks import adjusted
from rlexp.learn.health import check_rollout
from rlexp.learn.learner import Learner, LearnerSettings, Progress, build_learner
from rlexp.learn.memory import Keep
from rlexp.learn.ranks import Ranks
from rlexp.learn.replay import ReplayPlace
from rlexp.learn.room import capacity, row_spec
from rlexp.models.actor import Actor
from rlexp.models.agent import Agent
from rlexp.topology.loop import Loop, Run, Trainer

log = logging.getLogger(__name__)


def build_agent(config: Config, spec: SpaceSpec) -> Agent:
    """Return the agent that a config describes; its weights come from torch's global generator."""
    return config.algo.build(spec, config.inputs)


def build_rank_learner(rank: Rank, agent: Agent, ranks: Ranks, stream: int, num_envs: int) -> Learner:
    """Return this rank's learner.

    Args:
        rank: this rank.
        agent: on its device.
        ranks: those that learn together.
        stream: number of the generator that draws the order of minibatches.
        num_envs: environments in the rollouts that it is given.
    """
    config = rank.config
    settings = LearnerSettings(
        normalize_rewards=config.env.normalize_rewards,
        reward_limit=config.env.reward_limit,
        shared=config.topology.share_data,
        num_envs=num_envs,
        compile_steps=config.compiled,
        replay=replay_place(rank, num_envs),
    )
    order = rank.seeds.generator("minibatches", stream, torch.device("cpu"))
    return build_learner(config.algo, agent, settings, rank.precision, ranks, order, adjusted(config))


def player_of(rank: Rank, actor: Actor) -> Player | TensorPlayer:
    """Return the player of this rank; the first environment of rank 0 is recorded if asked to."""
    with rank.watch():
        return build_player(
            rank.config,
            actor,
            rank.seeds.environments(rank.index),
            rank.seeds.generator("sampling", rank.index, rank.device),
            rank.precision.autocast,
            rank.run_dir if rank.index == 0 else None,
        )


def loop_of(rank: Rank, player: Player | TensorPlayer, actor: Actor, trainer: Trainer, run: Run) -> Loop:
    """Return the loop of a rank that collects."""
    config = rank.config
    stride = config.env.num_envs * config.players

    def check(rollout: Rollout, updates: int) -> None:
        check_rollout(rollout, rank.spec.observation, rank.index, updates * config.steps_per_update, stride)

    adjust = adjusted(config)

    def explore(updates: int) -> Exploration:
        left = Progress(updates, config.updates).left
        return config.algo.exploration(adjust(config.algo.knobs(left), left), updates * config.steps_per_update)

    return Loop(player, actor, trainer, run, rank.watch, check, explore, rank.device)


def replay_place(rank: Rank, num_envs: int) -> ReplayPlace | None:
    """Return where the replay memory of this rank lies, for so many environments; None for on-policy algorithms."""
    config = rank.config
    if config.algo.of_rollout:
        return None
    file = rank.run_dir / f"replay-{rank.index}" if config.memory.on_disk else None
    return ReplayPlace(capacity(config, num_envs), num_envs, row_spec(rank.spec), config.steps_per_update, file)


def keep_of(rank: Rank) -> Keep:
    """Return how checkpoints keep the rows of this rank's replay memory."""
    return Keep(lambda rows: stored_rows(rows, rank.run_dir / "checkpoints"), rank.config.checkpoint.replay)


def load_learner(learner: Learner, start: Start, rank: Rank) -> None:
    """Let a learner resume from a state; warn where its replay memory was not saved."""
    own = start.own.memory
    assert own is not None
    learner.load_state(start.learner, own, lambda segment: read_rows(segment, rank.run_dir / "checkpoints"))
    if isinstance(own, ReplayState) and own.steps and not own.parts:
        _warn(
            f"the checkpoint holds no replay memory of rank {rank.index} (checkpoint.replay=false): it is filled anew, "
            "and learning continues when algo.learning_starts steps lie in it; the run will not equal one without "
            "interruption"
        )


def load_player(player: Player | TensorPlayer, own: RankState, rank: Rank) -> None:
    """Let a player and this rank's generators resume from a state; warn where environments do not come back."""
    assert own.player is not None
    with rank.watch():
        restarted = player.load_state(own.player)  # type: ignore[arg-type]  # each from what it saved itself
    load_random_state(own.generators, rank.device)
    if restarted:
        which = ", ".join(map(str, restarted))
        _warn(
            f"environments {which} of rank {rank.index} could not be put back where they were and begin new episodes; "
            "the run continues, but will not equal one without interruption"
        )


def _warn(message: str) -> None:
    log.warning(message)
    print(f"warning: {message}", file=sys.stderr, flush=True)
