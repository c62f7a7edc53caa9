"""The coupled loop: every rank owns environments and an agent, and gradients are averaged over ranks."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import torch

from rlexp.checkpoint import checkpoint_due
from rlexp.envs import make_environments
from rlexp.faults import check_rollout, check_update
from rlexp.learner import Learner
from rlexp.models import build_policy
from rlexp.player import Player
from rlexp.topology.transport import Alone, Group, gather_rollouts
from rlexp.types import Episode, UpdateReport

if TYPE_CHECKING:
    from rlexp.launch import Rank
    from rlexp.logger import Recorder
    from rlexp.models import ActorCritic


def run(rank: Rank, recorder: Recorder) -> ActorCritic:
    """Collect and learn until the updates are done; return the trained policy."""
    config = rank.config
    group = Group(board=rank.board) if rank.size > 1 else Alone()
    policy = build_policy(config, rank.spec).to(rank.device)
    shared = config.topology.share_data
    envs = config.env.num_envs * (rank.size if shared else 1)
    order = rank.generator("minibatches", 0 if shared else rank.index, torch.device("cpu"))
    learner = Learner(config, policy, rank.fabric, group, order, envs)
    player = make_player(rank, policy)
    try:
        for update in range(config.updates):
            begin = time.perf_counter()
            with rank.watch():
                rollout = player.collect()
            stride = config.env.num_envs * config.players
            check_rollout(rollout, rank.spec.observation, rank.index, update * config.steps_per_update, stride)
            collected = time.perf_counter()
            if shared and isinstance(group, Group):
                rollout = gather_rollouts(rollout, group)
            with rank.watch(together=True):
                metrics = learner.update(rollout, 1 - update / config.updates)
            check_update(metrics, learner, update + 1)
            done = time.perf_counter()
            episodes = gather_episodes(player.episodes, group)
            recorder.update(UpdateReport(update + 1, metrics, episodes, collected - begin, done - collected))
            if checkpoint_due(config, update + 1):
                recorder.checkpoint(policy, learner.state())
    finally:
        player.close()
    return policy


def make_player(rank: Rank, policy: ActorCritic) -> Player:
    """Build this rank's environments, film the first of rank 0 if asked to, and the player that owns them."""
    config = rank.config
    folder = rank.run_dir / "videos" / "train" if config.capture_video and rank.index == 0 else None
    generator = rank.generator("sampling", rank.index, rank.device)
    squash = config.env.action_bounds == "tanh"
    steps, autocast = config.algo.num_steps, rank.fabric.autocast
    with rank.watch():
        envs = make_environments(config.env, config.env.num_envs, folder)
        return Player(envs, rank.environment_seeds(), policy, steps, generator, squash, autocast)


def gather_episodes(episodes: list[Episode], group: Alone | Group) -> list[Episode]:
    """Return the episodes of all ranks, in the order of ranks."""
    if isinstance(group, Alone):
        return episodes
    most = int(group.gather(torch.tensor([len(episodes)])).max())
    table = torch.full((most, 2), -1.0, dtype=torch.float64)
    for row, episode in enumerate(episodes):
        table[row] = torch.tensor([episode.episode_return, episode.length], dtype=torch.float64)
    rows = group.gather(table).flatten(0, 1).tolist() if most else []
    return [Episode(total, int(length)) for total, length in rows if length >= 0]
