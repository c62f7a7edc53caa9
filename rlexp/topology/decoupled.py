"""The decoupled loop: rank 0, the player, owns the environments; the other ranks train.

Without overlap the player waits for the weights of each update before it collects again. With overlap it collects the
next rollout while the trainers learn, with the weights of exactly one update ago; the log-probabilities in the rollout
are those of the weights that acted, so the probability ratio stays right.
"""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist

from rlexp.checkpoint import checkpoint_due
from rlexp.faults import check_rollout, check_update
from rlexp.learner import Learner
from rlexp.models import build_policy
from rlexp.step import flatten_parameters
from rlexp.topology.coupled import make_player
from rlexp.topology.transport import (
    Alone,
    Group,
    blank_rollout,
    part,
    receive_rollout,
    receive_state,
    receive_update,
    send_rollouts,
    send_state,
    send_update,
    wait_for,
)
from rlexp.types import Episode, UpdateReport

if TYPE_CHECKING:
    from rlexp.config import Config
    from rlexp.launch import Rank
    from rlexp.logger import Recorder
    from rlexp.models import ActorCritic
    from rlexp.types import Collective

PLAYER, FIRST_TRAINER = 0, 1


def run(rank: Rank, recorder: Recorder) -> ActorCritic:
    """Play or train until the updates are done; return the trained policy."""
    trainers = dist.new_group(list(range(FIRST_TRAINER, rank.size)))  # every rank must make this call
    if rank.index == PLAYER:
        return _play(rank, recorder)
    return _train(rank, Group(FIRST_TRAINER, trainers, rank.board) if rank.size > 2 else Alone())


def shards(config: Config) -> list[tuple[int, int]]:
    """Return the environments, first and last + 1, that each trainer learns from."""
    envs, trainers = config.env.num_envs, config.trainers
    if config.topology.share_data:
        return [(0, envs)] * trainers
    bounds = [envs * trainer // trainers for trainer in range(trainers + 1)]
    return list(itertools.pairwise(bounds))


def _play(rank: Rank, recorder: Recorder) -> ActorCritic:
    """Collect rollouts, hand them to the trainers, and take over the weights that they make of them."""
    config = rank.config
    policy = build_policy(config, rank.spec).to(rank.device)
    weights = flatten_parameters(policy)
    ranks, parts = list(range(FIRST_TRAINER, rank.size)), shards(config)
    waiting: list[tuple[list[Episode], float]] = []  # episodes and seconds of rollouts whose update is under way
    lag = 1 if config.topology.overlap else 0

    def take_over() -> None:
        """Wait for the oldest update under way, and act with its weights from now on."""
        metrics, seconds = receive_update(policy, weights, FIRST_TRAINER)
        episodes, collect_seconds = waiting.pop(0)
        number = recorder.updates + 1
        recorder.update(UpdateReport(number, metrics, episodes, collect_seconds, seconds))
        if checkpoint_due(config, number):
            recorder.checkpoint(policy, receive_state(FIRST_TRAINER))

    player = make_player(rank, policy)
    try:
        for update in range(config.updates):
            begin = time.perf_counter()
            with rank.watch():
                rollout = player.collect()
            start, stride = update * config.steps_per_update, config.env.num_envs
            check_rollout(rollout, rank.spec.observation, PLAYER, start, stride)
            seconds = time.perf_counter() - begin
            sent = send_rollouts([part(rollout, *bounds) for bounds in parts], ranks)
            if waiting:  # trainers find the next rollout there while what they made of the last one is recorded
                take_over()
            wait_for(sent)
            waiting.append((player.episodes, seconds))
            if len(waiting) > lag:
                take_over()
        while waiting:
            take_over()
    finally:
        player.close()
    return policy


def _train(rank: Rank, group: Collective) -> ActorCritic:
    """Learn from each rollout; the first trainer sends what came of it to the player."""
    config = rank.config
    policy = build_policy(config, rank.spec).to(rank.device)
    first, last = shards(config)[group.rank]
    order = rank.generator("minibatches", 0 if config.topology.share_data else group.rank, torch.device("cpu"))
    learner = Learner(config, policy, rank.fabric, group, order, last - first)
    observation = rank.spec.observation
    dtype = torch.uint8 if observation.images else torch.float32
    like = blank_rollout(policy, config.algo.num_steps, last - first, observation.row_size, dtype)
    for update in range(config.updates):
        rollout = receive_rollout(like, PLAYER)
        begin = time.perf_counter()
        with rank.watch(together=True):
            metrics = learner.update(rollout, 1 - update / config.updates)
        check_update(metrics, learner, update + 1)
        if group.rank == 0:
            send_update(policy, learner.weights, metrics, time.perf_counter() - begin, PLAYER)
            if checkpoint_due(config, update + 1):
                send_state(learner.state(), PLAYER)
    return policy
