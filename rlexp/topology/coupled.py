"""The coupled loop: every rank owns environments and an agent, and gradients are averaged over ranks."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from rlexp.collect.player import Player
from rlexp.collect.tensor_player import TensorPlayer
from rlexp.data.generators import load_random_state, random_state
from rlexp.data.rollout import Episode
from rlexp.data.types import Collector, UpdateReport
from rlexp.envs import VideoSettings, make_environments
from rlexp.envs.tensors import TIME_LIMITS, tensor_environment
from rlexp.files.checkpoint import checkpoint_due
from rlexp.launch.stopping import stop_requested, stopped, stopping_between_updates
from rlexp.learn.health import check_rollout, check_update
from rlexp.learn.learner import Learner
from rlexp.models import build_policy
from rlexp.run.evaluator import Evaluator
from rlexp.topology.state import gather_own, load_player
from rlexp.topology.transport import Alone, Group, gather_rollouts

if TYPE_CHECKING:
    from rlexp.config.schema import Config
    from rlexp.launch.rank import Rank
    from rlexp.models import ActorCritic
    from rlexp.run.recorder import Recorder
    from rlexp.topology.state import Start

VIDEOS = 10
"""About as many videos are recorded in a run unless video.every says otherwise, its last whole episode among them."""

WAIT = 2
"""What rank 0 tells ranks that wait for an evaluation that goes on; 0 and 1 are its answer."""


def run(rank: Rank, recorder: Recorder, start: Start | None = None) -> ActorCritic:
    """Collect and learn until the updates are done; return the trained policy.

    Raises:
        Interrupted: a stop was asked for; a checkpoint is written.
    """
    config = rank.config
    group = Group(board=rank.board) if rank.size > 1 else Alone()
    policy = build_policy(config, rank.spec).to(rank.device)
    shared = config.topology.share_data
    envs = config.env.num_envs * (rank.size if shared else 1)
    order = rank.generator("minibatches", 0 if shared else rank.index, torch.device("cpu"))
    learner = Learner(config, policy, rank.fabric, group, order, envs)
    player, evaluator = make_player(rank, policy), Evaluator(rank, recorder)

    def save() -> None:
        own = {"random": random_state(rank.device), "player": player.state(), "learner": learner.own_state()}
        recorder.checkpoint(policy, learner.state(), gather_own(own, rank))

    try:
        if start is not None:
            policy.load_state_dict(start.policy)
            learner.load_state(start.learner, start.own["learner"])
            load_player(player, start.own["player"], rank)
            load_random_state(start.own["random"], rank.device)
        with stopping_between_updates():
            for update in start.updates_left(config) if start else range(config.updates):
                begin = time.perf_counter()
                with rank.watch():
                    rollout = player.collect()
                before = update * config.steps_per_update
                check_rollout(rollout, rank.spec.observation, rank.index, before, config.env.num_envs * config.players)
                collected = time.perf_counter()
                if shared and isinstance(group, Group):
                    rollout = gather_rollouts(rollout.to("cpu"), group)
                with rank.watch(together=True):
                    metrics = learner.update(rollout, 1 - update / config.updates)
                check_update(metrics, learner, update + 1)
                done = time.perf_counter()
                episodes, signum = exchange(player.episodes, stop_requested(), group)
                recorder.update(UpdateReport(update + 1, metrics, episodes, collected - begin, done - collected))
                enough = evaluator.due(update + 1) and _reached(evaluator, policy, group)
                if signum or checkpoint_due(config, update + 1):
                    save()
                if signum:
                    raise stopped(signum)
                if enough:
                    break
    finally:
        player.close()
    return policy


def make_player(rank: Rank, policy: ActorCritic) -> Collector:
    """Build this rank's environments, the first of rank 0 recorded if asked to, and the player that owns them."""
    config = rank.config
    if config.env.backend == "torch":
        return make_tensor_player(rank, policy)
    video = training_videos(config, rank.run_dir) if rank.index == 0 else None
    generator = rank.generator("sampling", rank.index, rank.device)
    squash = config.env.action_bounds == "tanh"
    steps, autocast = config.algo.num_steps, rank.fabric.autocast
    with rank.watch():
        seeds = rank.environment_seeds()
        envs = make_environments(config.env, config.env.num_envs, video, seeds=seeds, infos=config.log.infos)
        return Player(envs, seeds, policy, steps, generator, squash, autocast)


def training_videos(config: Config, run_dir: Path) -> VideoSettings | None:
    """Return which episodes of environment 0 of rank 0 are recorded; None: none."""
    every, stride = config.video.every, config.env.num_envs * config.players
    if not config.capture_video or every == 0:
        return None
    folder = run_dir / "videos" / "train"
    if every is not None:
        return VideoSettings(folder, config.video.max_steps, every, stride)
    total = config.updates * config.steps_per_update
    return VideoSettings(folder, config.video.max_steps, -(-total // (VIDEOS - 1)), stride, total=total)


def make_tensor_player(rank: Rank, policy: ActorCritic) -> TensorPlayer:
    """Build this rank's environments of tensors, on its device, and their player; there are no videos of them."""
    config = rank.config
    env = config.env
    return TensorPlayer(
        tensor_environment(env.id),
        env.max_episode_steps or TIME_LIMITS[env.id],
        env.num_envs,
        policy,
        rank.spec.action,
        config.algo.num_steps,
        rank.generator("sampling", rank.index, rank.device),
        squash=env.action_bounds == "tanh",
        autocast=rank.fabric.autocast,
        compile_steps=config.compiled,
    )


def _reached(evaluator: Evaluator, policy: ActorCritic, group: Alone | Group) -> bool:
    """Evaluate on rank 0 while the others wait, however long; return on all ranks whether training ends."""
    if group.rank == 0:
        enough = evaluator.reached(policy, lambda: group.gather(torch.tensor([WAIT])))
        group.gather(torch.tensor([int(enough)]))
        return enough
    while (answer := int(group.gather(torch.tensor([0]))[0])) == WAIT:
        pass
    return bool(answer)


def exchange(episodes: list[Episode], signum: int, group: Alone | Group) -> tuple[list[Episode], int]:
    """Return the episodes of all ranks, in the order of ranks, and the signal that asked any of them to stop, or 0."""
    if isinstance(group, Alone):
        return episodes, signum
    width = len(episodes[0].infos) if episodes else 0
    counts = torch.tensor([len(episodes), width, signum])
    most, width, signum = group.gather(counts).amax(0).tolist()
    table = torch.full((most, 2 + width), -1.0, dtype=torch.float64)
    if episodes:
        rows = [(episode.episode_return, episode.length, *episode.infos) for episode in episodes]
        table[: len(episodes)] = torch.tensor(rows, dtype=torch.float64)
    gathered = group.gather(table).flatten(0, 1).tolist() if most else []
    return [Episode(row[0], int(row[1]), tuple(row[2:])) for row in gathered if row[1] >= 0], signum
