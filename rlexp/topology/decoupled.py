"""The decoupled loop: rank 0, the player, owns the environments; the other ranks train.

Without overlap the player waits for the weights of each update before it collects again. With overlap it collects the
next rollout while the trainers learn, with the weights of exactly one update ago; the log-probabilities in the rollout
are those of the weights that acted, so the probability ratio stays right. A checkpoint then also holds the rollout that
is collected but not learned from yet.

The player decides what happens next, and sends the trainers an order first: learn, send your state, or end.
"""

from __future__ import annotations

import itertools
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import torch.distributed as dist

from rlexp.data.generators import load_random_state, random_state
from rlexp.data.rollout import Episode, Rollout
from rlexp.data.types import UpdateReport
from rlexp.files.checkpoint import checkpoint_due
from rlexp.launch.fabric import patience
from rlexp.launch.stopping import stop_requested, stopped, stopping_between_updates
from rlexp.learn.health import check_rollout, check_update
from rlexp.learn.learner import Learner
from rlexp.learn.stepper import flatten_parameters
from rlexp.models import build_policy
from rlexp.run.evaluator import Evaluator
from rlexp.topology.coupled import make_player
from rlexp.topology.state import load_player
from rlexp.topology.transport import (
    Alone,
    Group,
    Order,
    Sent,
    blank_rollout,
    part,
    receive_order,
    receive_rollout,
    receive_state,
    receive_update,
    send_order,
    send_rollouts,
    send_state,
    send_update,
    wait_for,
)

if TYPE_CHECKING:
    from rlexp.config.schema import Config
    from rlexp.data.types import Collector
    from rlexp.launch.rank import Rank
    from rlexp.learn.ranks import Collective
    from rlexp.models import ActorCritic
    from rlexp.run.recorder import Recorder
    from rlexp.topology.state import Start

PLAYER, FIRST_TRAINER = 0, 1


class Collected(NamedTuple):
    """A rollout, the episodes that ended in it, and the seconds that it took."""

    rollout: Rollout
    episodes: list[Episode]
    seconds: float

    def state(self) -> dict[str, Any]:
        """Return it in plain types and tensors."""
        episodes = [[episode.episode_return, episode.length, list(episode.infos)] for episode in self.episodes]
        return {"rollout": vars(self.rollout).copy(), "episodes": episodes, "seconds": self.seconds}


def run(rank: Rank, recorder: Recorder, start: Start | None = None) -> ActorCritic:
    """Play or train until the updates are done; return the trained policy.

    Raises:
        Interrupted: a stop was asked for; a checkpoint is written.
    """
    timeout = timedelta(seconds=patience(rank.config.fabric.timeout_seconds))
    trainers = dist.new_group(list(range(FIRST_TRAINER, rank.size)), timeout)  # every rank must make this call
    if rank.index == PLAYER:
        return _play(rank, recorder, start)
    return _train(rank, Group(FIRST_TRAINER, trainers, rank.board) if rank.size > 2 else Alone(), start)


def shards(config: Config) -> list[tuple[int, int]]:
    """Return the environments, first and last + 1, that each trainer learns from."""
    envs, trainers = config.env.num_envs, config.trainers
    if config.topology.share_data:
        return [(0, envs)] * trainers
    bounds = [envs * trainer // trainers for trainer in range(trainers + 1)]
    return list(itertools.pairwise(bounds))


def _play(rank: Rank, recorder: Recorder, start: Start | None) -> ActorCritic:
    """Collect rollouts, hand them to the trainers, and take over the weights that they make of them."""
    policy = build_policy(rank.config, rank.spec).to(rank.device)
    weights = flatten_parameters(policy)
    player = make_player(rank, policy)
    try:
        loop = _PlayerLoop(rank, recorder, policy, weights, player)
        if start is not None:
            policy.load_state_dict(start.policy)
            load_player(player, start.own["player"], rank)
            load_random_state(start.own["random"], rank.device)
        with stopping_between_updates():
            if start is None:
                loop.run(rank.config.updates)
            else:
                loop.run(len(start.updates_left(rank.config)), start.own["collected"])
    finally:
        player.close()
    return policy


class _PlayerLoop:
    """The player's side: what is collected, what the trainers are at, and what has come of it."""

    def __init__(
        self, rank: Rank, recorder: Recorder, policy: ActorCritic, weights: torch.nn.Parameter, player: Collector
    ) -> None:
        self._rank, self._recorder, self._policy, self._weights, self._player = rank, recorder, policy, weights, player
        self._trainers = list(range(FIRST_TRAINER, rank.size))
        self._evaluator = Evaluator(rank, recorder)
        self._learning: Collected | None = None  # what the trainers learn from now

    def run(self, left: int, state: dict[str, Any] | None = None) -> None:
        """Go through so many updates, from `Collected.state` of a checkpoint if there is one."""
        config = self._rank.config
        if left and state is not None:
            episodes = [Episode(total, length, tuple(infos)) for total, length, infos in state["episodes"]]
            self._learning = Collected(Rollout(**state["rollout"]), episodes, state["seconds"])
            wait_for(self._send(self._learning))
            left -= 1
        for _ in range(left):
            collected = self._collect()
            if self._learning is not None and self._pauses(self._recorder.updates + 1):
                self._take_over()
                if self._pause(collected):
                    break
            sent = self._send(collected)
            if self._learning is not None:  # trainers find the next rollout there while this is recorded
                self._take_over()
            wait_for(sent)
            self._learning = collected
            if not config.topology.overlap:
                self._take_over()
                if self._pauses(self._recorder.updates) and self._pause(None):
                    break
        if self._learning is not None:
            self._take_over()
            self._pause(None)
        wait_for(send_order(Order.END, 0, self._trainers))

    def _collect(self) -> Collected:
        begin = time.perf_counter()
        with self._rank.watch():
            rollout = self._player.collect().to("cpu")
        config, updates = self._rank.config, self._recorder.updates + (self._learning is not None)
        before = updates * config.steps_per_update
        check_rollout(rollout, self._rank.spec.observation, PLAYER, before, config.env.num_envs)
        return Collected(rollout, self._player.episodes, time.perf_counter() - begin)

    def _send(self, collected: Collected) -> Sent:
        """Let the trainers learn from a rollout as soon as they come to it."""
        parts = shards(self._rank.config)
        sent = send_order(Order.LEARN, 0, self._trainers)
        return sent + send_rollouts([part(collected.rollout, *bounds) for bounds in parts], self._trainers)

    def _take_over(self) -> None:
        """Wait for the update under way and act with its weights from now on."""
        assert self._learning is not None
        metrics, seconds = receive_update(self._policy, self._weights, FIRST_TRAINER)
        number, learned = self._recorder.updates + 1, self._learning
        self._learning = None
        self._recorder.update(UpdateReport(number, metrics, learned.episodes, learned.seconds, seconds))

    def _pauses(self, updates: int) -> bool:
        """Return whether the trainers get nothing more to learn from after so many updates, before a `_pause`."""
        return bool(stop_requested()) or checkpoint_due(self._rank.config, updates)

    def _pause(self, ahead: Collected | None) -> bool:
        """Evaluate and write a checkpoint, as it is due, while the trainers wait; return whether training is over.

        `ahead` is collected but not sent yet.

        Raises:
            Interrupted: a stop was asked for.
        """
        updates, signum = self._recorder.updates, stop_requested()
        enough = self._evaluator.due(updates) and self._evaluator.reached(self._policy, self._beat)
        if signum or checkpoint_due(self._rank.config, updates):
            self._save(ahead)
        if signum:
            wait_for(send_order(Order.END, signum, self._trainers))
            raise stopped(signum)
        return enough

    def _beat(self) -> None:
        """Let the trainers wait on, so that they do not give up."""
        wait_for(send_order(Order.WAIT, 0, self._trainers))

    def _save(self, ahead: Collected | None) -> None:
        """Write a checkpoint of all ranks, while the trainers wait."""
        wait_for(send_order(Order.SEND_STATE, 0, self._trainers))
        states = [receive_state(trainer) for trainer in self._trainers]
        own = {
            "random": random_state(self._rank.device),
            "player": self._player.state(),
            "collected": None if ahead is None else ahead.state(),
        }
        learner = states[0].pop("shared")
        self._recorder.checkpoint(self._policy, learner, [own, *states])


def _train(rank: Rank, group: Collective, start: Start | None) -> ActorCritic:
    """Learn from each rollout; the first trainer sends what came of it to the player."""
    config = rank.config
    policy = build_policy(config, rank.spec).to(rank.device)
    first, last = shards(config)[group.rank]
    order = rank.generator("minibatches", 0 if config.topology.share_data else group.rank, torch.device("cpu"))
    learner = Learner(config, policy, rank.fabric, group, order, last - first)
    if start is not None:
        policy.load_state_dict(start.policy)
        learner.load_state(start.learner, start.own["learner"])
        load_random_state(start.own["random"], rank.device)
    observation = rank.spec.observation
    dtype = torch.uint8 if observation.images else torch.float32
    like = blank_rollout(policy, config.algo.num_steps, last - first, observation.row_size, dtype)
    update = start.updates if start else 0
    with stopping_between_updates():
        while True:
            what, signum = receive_order(PLAYER)
            if what == Order.END:
                break
            if what == Order.WAIT:
                continue
            if what == Order.SEND_STATE:
                own: dict[str, Any] = {"random": random_state(rank.device), "learner": learner.own_state()}
                send_state(own | ({"shared": learner.state()} if group.rank == 0 else {}), PLAYER)
                continue
            rollout = receive_rollout(like, PLAYER)
            begin = time.perf_counter()
            with rank.watch(together=True):
                metrics = learner.update(rollout, 1 - update / config.updates)
            update += 1
            check_update(metrics, learner, update)
            if group.rank == 0:
                send_update(policy, learner.weights, metrics, time.perf_counter() - begin, PLAYER)
    if signum:
        raise stopped(signum)
    return policy
