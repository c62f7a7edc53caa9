"""How tests build what they test: the real config, environments, policy, player and learner."""

import copy
import functools
from dataclasses import dataclass, field, fields
from types import SimpleNamespace
from typing import NamedTuple

import torch
from hydra import compose, initialize_config_dir

from rlexp.algos import PPO
from rlexp.collect.player import Player
from rlexp.config.compose import register, resolve
from rlexp.config.places import conf_dir
from rlexp.config.schema import Config
from rlexp.data.batch import Batch
from rlexp.data.rollout import Collected, Rollout
from rlexp.data.spaces import SpaceSpec
from rlexp.envs import VectorEnvironment, make_environments
from rlexp.launch.fabric import FabricPrecision
from rlexp.learn.learner import Learner, LearnerSettings, build_learner
from rlexp.learn.ranks import OneRank, Ranks
from rlexp.learn.rewards import RewardScaler
from rlexp.learn.stepper import Stepper
from rlexp.models.actor_critic import ActorCritic
from rlexp.models.normalizer import RunningMoments


def composed(*overrides: str) -> Config:
    """Return the checked config that the command line would give; `id=NAME` is short for env=gym env.id=NAME.

    Nothing is compiled unless it is asked for: the default would compile where a test takes a few of many updates.
    """
    eager = () if any(word.startswith("compile=") for word in overrides) else ("compile=false",)
    return copy.deepcopy(_composed((*eager, *overrides)))


@functools.cache
def _composed(overrides: tuple[str, ...]) -> Config:
    register()
    words = []
    for word in overrides:
        words += ["env=gym", f"env.id={word[3:]}"] if word.startswith("id=") else [word]
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return resolve(compose("config", overrides=words))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def build_policy(config: Config, spec: SpaceSpec) -> ActorCritic:
    return config.algo.build(spec, config.inputs)


class Agent(NamedTuple):
    config: Config
    envs: VectorEnvironment
    policy: ActorCritic
    player: Player


def agent(*overrides: str, seed: int = 0) -> Agent:
    """Return environments, policy and player of a config; environment i is seeded with 42 + i."""
    config = composed(*overrides)
    envs = make_environments(config.env, config.env.num_envs)
    torch.manual_seed(seed)
    policy = build_policy(config, envs.spec)
    seeds = list(range(config.seed, config.seed + config.env.num_envs))
    return Agent(config, envs, policy, Player(envs, seeds, policy.actor, config.algo.num_steps, generator(seed)))


def state_of(policy: torch.nn.Module) -> torch.Tensor:
    """Return all weights and statistics of a policy as one vector."""
    return torch.cat([value.flatten().double() for value in policy.state_dict().values()])


class Teacher:
    """A learner that is given rollouts and what is left of the run, and answers with its scalars as attributes."""

    def __init__(self, learner: Learner, rewards: RewardScaler, stepper: Stepper) -> None:
        self.learner, self.rewards, self.stepper = learner, rewards, stepper

    def update(self, rollout: Rollout, left: float) -> SimpleNamespace:
        progress = SimpleNamespace(left=left, update=0)
        return SimpleNamespace(**self.learner.update(Collected(rollout, [], 0.0), progress).scalars)

    @property
    def reward_moments(self) -> RunningMoments:
        return self.rewards.moments

    @property
    def weights(self) -> torch.Tensor:
        return next(iter(self.stepper.steppers.values())).part.weights


def learner(config: Config, policy: ActorCritic, fabric, seed: int = 0, ranks: Ranks | None = None) -> Teacher:
    settings = LearnerSettings(
        normalize_rewards=config.env.normalize_rewards,
        reward_limit=config.env.reward_limit,
        shared=config.topology.share_data,
        num_envs=config.env.num_envs,
        compile_steps=config.compiled,
    )
    precision = FabricPrecision(fabric, config.fabric.precision)
    made = build_learner(config.algo, policy, settings, precision, ranks or OneRank(), generator(seed))
    return Teacher(made, made._rewards, made._stepper)


def train(config: Config, policy: ActorCritic, player: Player, fabric, updates: int) -> list[float]:
    """Train for some updates; return the returns of the episodes that ended in the last one."""
    teacher = learner(config, policy, fabric)
    for update in range(updates):
        collected = player.collect()
        teacher.update(collected.rollout, 1 - update / updates)
    return [episode.episode_return for episode in collected.episodes]


@dataclass
class Recording(PPO):
    """PPO that keeps every minibatch it is given, in `seen`."""

    seen: list[Batch] = field(default_factory=list)

    def loss(self, new, batch, knobs):
        self.seen.append(batch)
        return super().loss(new, batch, knobs)


def recording(config: Config) -> Recording:
    """Put a recording PPO with the same settings into `config`, and return it."""
    config.algo = Recording(**{item.name: getattr(config.algo, item.name) for item in fields(config.algo)})
    return config.algo
