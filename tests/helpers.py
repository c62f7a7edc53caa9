"""How tests build what they test: the real config, environments, policy, player and learner."""

import copy
import functools
from dataclasses import dataclass, field, fields
from typing import NamedTuple

import torch
from hydra import compose, initialize_config_dir

from rlexp.algos import PPO
from rlexp.collect.player import Player
from rlexp.config.compose import register, resolve
from rlexp.config.places import conf_dir
from rlexp.config.schema import Config
from rlexp.data.batch import Batch
from rlexp.envs import VectorEnvironment, make_environments
from rlexp.learn.learner import Learner
from rlexp.models import ActorCritic, build_policy
from rlexp.topology.transport import Alone


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
    squash = config.env.action_bounds == "tanh"
    return Agent(config, envs, policy, Player(envs, seeds, policy, config.algo.num_steps, generator(seed), squash))


def state_of(policy: ActorCritic) -> torch.Tensor:
    """Return all weights and statistics of a policy as one vector."""
    return torch.cat([value.flatten().double() for value in policy.state_dict().values()])


def learner(config: Config, policy: ActorCritic, fabric, seed: int = 0) -> Learner:
    return Learner(config, policy, fabric, Alone(), generator(seed), config.env.num_envs)


def train(config: Config, policy: ActorCritic, player: Player, fabric, updates: int) -> list[float]:
    """Train for some updates; return the returns of the episodes that ended in the last one."""
    teacher = learner(config, policy, fabric)
    for update in range(updates):
        teacher.update(player.collect(), 1 - update / updates)
    return [episode.episode_return for episode in player.episodes]


@dataclass
class Recording(PPO):
    """PPO that keeps every minibatch it is given, in `seen`."""

    seen: list[Batch] = field(default_factory=list)

    def loss(self, new, batch, clip_coef):
        self.seen.append(batch)
        return super().loss(new, batch, clip_coef)


def recording(config: Config) -> Recording:
    """Put a recording PPO with the same settings into `config`, and return it."""
    config.algo = Recording(**{item.name: getattr(config.algo, item.name) for item in fields(config.algo)})
    return config.algo
