"""Decoupled: rank 0, the player, owns the environments; the other ranks train.

The player runs the one loop. It tells the trainers what to do next by an order: learn, send your state, wait, or end.
With overlap the log-probabilities in a rollout are those of the weights that acted, one update ago, so the probability
ratio stays right. A checkpoint then also holds the rollout that is collected but not learned from yet.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist

from rlexp.config.schema import Config
from rlexp.data.random_state import load_random_state, random_state
from rlexp.data.rollout import Collected, Episode, Update
from rlexp.data.state import LearnerState, RankState, Start
from rlexp.files.segments import stored
from rlexp.launch.fabric import peer_timeout
from rlexp.launch.rank import Rank
from rlexp.launch.stopping import stopped, stopping_between_updates
from rlexp.learn.learner import Progress
from rlexp.learn.ranks import OneRank
from rlexp.models.actor import Actor
from rlexp.topology.build import build_agent, build_rank_learner, keep_of, load_learner, load_player, loop_of, player_of
from rlexp.topology.group import Group
from rlexp.topology.loop import Beat, Run, States
from rlexp.topology.rollouts import blank_rollout, part
from rlexp.topology.transport import (
    Order,
    receive_order,
    receive_rank_state,
    receive_rollout,
    receive_state,
    receive_update,
    send_order,
    send_rollouts,
    send_state,
    send_update,
    wait_for,
)

PLAYER, FIRST_TRAINER = 0, 1


def run(rank: Rank, record: Run, start: Start | None = None) -> Actor:
    """Play or train until the updates are done; return the trained actor.

    Raises:
        Interrupted: a stop was asked for; a checkpoint is written.
    """
    timeout = timedelta(seconds=peer_timeout(rank.config.fabric.timeout_seconds))
    trainers = dist.new_group(list(range(FIRST_TRAINER, rank.size)), timeout)  # every rank must make this call
    if rank.index == PLAYER:
        return _play(rank, record, start)
    return _train(rank, Group(FIRST_TRAINER, trainers, rank.board) if rank.size > 2 else OneRank(), start)


def shards(config: Config) -> list[tuple[int, int]]:
    """Return the environments, first and last + 1, that each trainer learns from."""
    envs, trainers = config.env.num_envs, config.trainers
    if config.topology.share_data:
        return [(0, envs)] * trainers
    bounds = [envs * trainer // trainers for trainer in range(trainers + 1)]
    return list(itertools.pairwise(bounds))


class RemoteLearner:
    """The trainers, as the player sees them.

    Args:
        config: the experiment.
        actor: takes over the weights of each update.
        trainers: their ranks.
        folder: of the checkpoints.
    """

    def __init__(self, config: Config, actor: Actor, trainers: list[int], folder: Path) -> None:
        self.overlap = config.topology.overlap
        self._shards = shards(config)
        self._actor = actor
        self._trainers = trainers
        self._folder = folder
        self._names = [scalar.name for scalar in config.algo.all_scalars()]
        self._sent: list[tuple[dist.Work, torch.Tensor]] = []

    def start(self, collected: Collected, progress: Progress) -> None:
        """Let the trainers learn from a rollout as soon as they come to it."""
        rollout = collected.rollout.to("cpu")
        wait_for(self._sent)
        self._sent = send_order(Order.LEARN, progress.update, self._trainers)
        self._sent += send_rollouts([part(rollout, *bounds) for bounds in self._shards], self._trainers)

    def result(self) -> Update:
        """Wait for the update under way and act with its weights from now on."""
        return receive_update(self._actor, self._names, FIRST_TRAINER)

    def agree(self, episodes: list[Episode], signum: int) -> tuple[list[Episode], int]:
        """Return both as they are: the player is the only one that collects."""
        return episodes, signum

    def decide(self, evaluate: Callable[[Beat], bool]) -> bool:
        """Evaluate while the trainers wait."""
        return evaluate(lambda: self._order(Order.WAIT, 0))

    def states(self, own: RankState) -> States:
        """Gather the states of all ranks, while the trainers wait."""
        self._order(Order.SEND_STATE, 0)
        learner = receive_state(LearnerState, FIRST_TRAINER)
        return learner, [stored(own, self._folder), *(receive_rank_state(trainer) for trainer in self._trainers)]

    def end(self, signum: int) -> None:
        """Tell the trainers that training is over."""
        self._order(Order.END, signum)

    def _order(self, order: Order, value: int) -> None:
        wait_for(self._sent)
        self._sent = []
        wait_for(send_order(order, value, self._trainers))


def _play(rank: Rank, record: Run, start: Start | None) -> Actor:
    """Collect rollouts, hand them to the trainers, and take over the weights that they make of them."""
    actor = build_agent(rank.config, rank.spec).to(rank.device).actor
    player = player_of(rank, actor)
    try:
        if start is not None:
            actor.load_state_dict(actor_state(start.learner))
            load_player(player, start.own, rank)
        trainer = RemoteLearner(rank.config, actor, list(range(FIRST_TRAINER, rank.size)), rank.run_dir / "checkpoints")
        loop = loop_of(rank, player, actor, trainer, record)
        loop.train(start.recorder.updates if start else 0, start.own.collected if start else None)
    finally:
        player.close()
    return actor


def actor_state(learner: LearnerState) -> dict[str, torch.Tensor]:
    """Return the actor's part of an agent's weights and statistics."""
    return {name.removeprefix("actor."): value for name, value in learner.agent.items() if name.startswith("actor.")}


def _train(rank: Rank, group: OneRank | Group, start: Start | None) -> Actor:
    """Learn from each rollout; the first trainer sends the results to the player."""
    config = rank.config
    agent = build_agent(config, rank.spec).to(rank.device)
    first, last = shards(config)[group.rank]
    stream = 0 if config.topology.share_data else group.rank
    learner = build_rank_learner(rank, agent, group, stream, last - first)
    if start is not None:
        load_learner(learner, start, rank)
        load_random_state(start.own.generators, rank.device)
    observation = rank.spec.observation
    dtype = torch.uint8 if observation.images else torch.float32
    like = blank_rollout(agent.actor, config.algo.num_steps, last - first, observation.row_size, dtype)
    with stopping_between_updates():
        while True:
            order, value = receive_order(PLAYER)
            if order == Order.END:
                break
            if order == Order.SEND_STATE:
                if group.rank == 0:
                    send_state(learner.state(), PLAYER)
                own = RankState(random_state(rank.device), None, learner.own_state(keep_of(rank)), None, [])
                send_state(stored(own, rank.run_dir / "checkpoints"), PLAYER)
            elif order == Order.LEARN:
                collected = Collected(receive_rollout(like, PLAYER), [], 0.0)
                with rank.watch(together=True):
                    update = learner.update(collected, Progress(value, config.updates))
                if group.rank == 0:
                    send_update(agent.actor, update, PLAYER)
    if value:
        raise stopped(value)
    return agent.actor
