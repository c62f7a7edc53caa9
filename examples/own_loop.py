"""A training loop of one's own over rlexp's player and learner; usage: python examples/own_loop.py [key=value ...]."""

import contextlib
import statistics
import sys

import torch

import rlexp
from rlexp.collect.build import build_player
from rlexp.envs import check_environment
from rlexp.learn.learner import LearnerSettings, Progress, build_learner
from rlexp.learn.precision import Float32
from rlexp.learn.ranks import OneRank
from rlexp.run.evaluation import evaluate

config = rlexp.compose(["env=cartpole", "total_timesteps=40960", *sys.argv[1:]])
torch.manual_seed(config.seed)
torch.set_num_threads(1)
agent = config.algo.build(check_environment(config), config.inputs)
seeds = [config.seed + number for number in range(config.env.num_envs)]
noise, order = (torch.Generator().manual_seed(config.seed + stream) for stream in range(2))
player = build_player(config, agent.actor, seeds, noise, contextlib.nullcontext, None)
env = config.env
settings = LearnerSettings(env.num_envs, env.normalize_rewards, env.reward_limit)
learner = build_learner(config.algo, agent, settings, Float32(), OneRank(), order)
for number in range(config.updates):
    collected = player.collect()
    update = learner.update(collected, Progress(number, config.updates))
    if collected.episodes:
        mean = statistics.fmean(episode.episode_return for episode in collected.episodes)
        print(f"update {number}: return {mean:.1f}, {update.scalars['entropy_loss']:.3f} entropy loss")
player.close()
print(f"evaluation: {evaluate(config, agent.actor, 10, seed=config.seed).mean_return:.1f}")
