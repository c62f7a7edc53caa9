"""What ranks of both topologies are made of: agent, player, learner and loop."""

from __future__ import annotations

import logging
import sys

import torch

from rlexp.collect.build import build_player
from rlexp.collect.player import Player
from rlexp.collect.tensor_player import TensorPlayer
from rlexp.config.schema import Config
from rlexp.data.random_state import load_random_state
from rlexp.data.rollout import Rollout
from rlexp.data.spaces import SpaceSpec
from rlexp.data.state import RankState
from rlexp.launch.rank import Rank
from rlexp.learn.callbacks import adjusted
from rlexp.learn.health import check_rollout
from rlexp.learn.learner import Learner, LearnerSettings, build_learner
from rlexp.learn.ranks import Ranks
from rlexp.models.actor import Actor
from rlexp.models.actor_critic import ActorCritic
from rlexp.topology.loop import Loop, Run, Trainer

log = logging.getLogger(__name__)


def build_agent(config: Config, spec: SpaceSpec) -> ActorCritic:
    """Return the agent that a config describes; its weights come from torch's global generator."""
    return config.algo.build(spec, config.inputs)


def build_rank_learner(rank: Rank, agent: ActorCritic, ranks: Ranks, stream: int, num_envs: int) -> Learner:
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

    return Loop(player, actor, trainer, run, rank.watch, check, rank.device)


def load_player(player: Player | TensorPlayer, own: RankState, rank: Rank) -> None:
    """Let a player and this rank's generators resume from a state; warn where environments do not come back."""
    assert own.player is not None
    with rank.watch():
        restarted = player.load_state(own.player)  # type: ignore[arg-type]  # each from what it saved itself
    load_random_state(own.generators, rank.device)
    if restarted:
        which = ", ".join(map(str, restarted))
        message = (
            f"environments {which} of rank {rank.index} could not be put back where they were and begin new episodes; "
            "the run continues, but will not equal one without interruption"
        )
        log.warning(message)
        print(f"warning: {message}", file=sys.stderr, flush=True)
