"""Coupled: every rank owns environments and an agent, and gradients are averaged over ranks."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace

import torch

from rlexp.data.rollout import Collected, Episode, Update
from rlexp.data.state import RankState, Start
from rlexp.files.segments import stored
from rlexp.launch.rank import Rank
from rlexp.learn.learner import Learner, Progress
from rlexp.learn.ranks import OneRank
from rlexp.models.actor import Actor
from rlexp.topology.build import build_agent, build_rank_learner, keep_of, load_learner, load_player, loop_of, player_of
from rlexp.topology.group import Group
from rlexp.topology.loop import Beat, Run, States
from rlexp.topology.rollouts import gather_rollouts
from rlexp.topology.transport import receive_rank_state, send_state

WAIT = 2
"""What rank 0 tells ranks that wait for an evaluation that is under way; 0 and 1 are its answer."""


class LocalLearner:
    """Learns on this rank, together with the others.

    Args:
        learner: of this rank.
        rank: this rank.
        group: all ranks.
    """

    overlap = False

    def __init__(self, learner: Learner, rank: Rank, group: OneRank | Group) -> None:
        self._learner = learner
        self._rank = rank
        self._group = group
        self._update: Update | None = None

    def start(self, collected: Collected, progress: Progress) -> None:
        """Learn from this rank's rollout, or from those of all ranks where data are shared."""
        begin = time.perf_counter()
        if self._rank.config.topology.share_data and isinstance(self._group, Group):
            joined = gather_rollouts(collected.rollout.to("cpu"), self._group)
            collected = replace(collected, rollout=joined)
        with self._rank.watch(together=True):
            update = self._learner.update(collected, progress)
        self._update = replace(update, seconds=time.perf_counter() - begin)

    def result(self) -> Update:
        """Return the update that `start` made."""
        assert self._update is not None
        return self._update

    def agree(self, episodes: list[Episode], signum: int) -> tuple[list[Episode], int]:
        """Return the episodes of all ranks, in their order, and the signal that asked any of them to stop, or 0."""
        return exchange(episodes, signum, self._group)

    def decide(self, evaluate: Callable[[Beat], bool]) -> bool:
        """Evaluate on rank 0 while the others wait, however long; return on all ranks whether training ends."""
        group = self._group
        if group.rank == 0:
            over = evaluate(lambda: group.gather(torch.tensor([WAIT])))
            group.gather(torch.tensor([int(over)]))
            return over
        while (answer := int(group.gather(torch.tensor([0]))[0])) == WAIT:
            pass
        return bool(answer)

    def states(self, own: RankState) -> States | None:
        """Gather the states of all ranks on rank 0; None on the others."""
        mine = stored(
            replace(own, memory=self._learner.own_state(keep_of(self._rank))), self._rank.run_dir / "checkpoints"
        )
        if self._group.rank != 0:
            send_state(mine, 0)
            return None
        others = [receive_rank_state(index) for index in range(1, self._group.size)]
        return self._learner.state(), [mine, *others]

    def end(self, signum: int) -> None:
        """Do nothing: every rank ends by itself."""


def run(rank: Rank, record: Run, start: Start | None = None) -> Actor:
    """Collect and learn until the updates are done; return the trained actor.

    Raises:
        Interrupted: a stop was asked for; a checkpoint is written.
    """
    config = rank.config
    group = Group(board=rank.board) if rank.size > 1 else OneRank()
    agent = build_agent(config, rank.spec).to(rank.device)
    shared = config.topology.share_data
    envs = config.env.num_envs * (rank.size if shared else 1)
    learner = build_rank_learner(rank, agent, group, 0 if shared else rank.index, envs)
    player = player_of(rank, agent.actor)
    try:
        if start is not None:
            load_learner(learner, start, rank)
            load_player(player, start.own, rank)
        loop = loop_of(rank, player, agent.actor, LocalLearner(learner, rank, group), record)
        loop.train(start.recorder.updates if start else 0)
    finally:
        player.close()
    return agent.actor


def exchange(episodes: list[Episode], signum: int, group: OneRank | Group) -> tuple[list[Episode], int]:
    """Return the episodes of all ranks, in the order of ranks, and the signal that asked any of them to stop, or 0."""
    if isinstance(group, OneRank):
        return episodes, signum
    width = len(episodes[0].infos) if episodes else 0
    counts = torch.tensor([len(episodes), width, signum])
    most, width, signum = group.gather(counts).amax(0).tolist()
    table = torch.full((most, 3 + width), -1.0, dtype=torch.float64)
    if episodes:
        rows = [(each.episode_return, each.length, _number(each.shaped), *each.infos) for each in episodes]
        table[: len(episodes)] = torch.tensor(rows, dtype=torch.float64)
    gathered = group.gather(table).flatten(0, 1).tolist() if most else []
    found = [row for row in gathered if row[1] >= 0]
    return [Episode(row[0], int(row[1]), tuple(row[3:]), None if row[2] != row[2] else row[2]) for row in found], signum


def _number(shaped: float | None) -> float:
    """Return the sum of the rewards that wrappers made; NaN where there are none."""
    return math.nan if shaped is None else shaped
