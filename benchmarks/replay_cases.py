"""What `benchmarks.replay` measures: settings that rlexp and its peers are given alike."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class ReplayCase:
    """An algorithm on one environment, one gradient step a step unless it says otherwise.

    Attributes:
        title: in words.
        env_id: of the environment.
        words: rlexp's command line.
        peer: the peers' class.
        peer_settings: what it is given.
        sbx_settings: what SBX's is given beside that.
        sbx_policy: arguments of SBX's networks.
        steps: environment steps of a run.
        warm_up: steps that are left out at its start.
        libraries: the peers that have it.
    """

    title: str
    env_id: str
    words: tuple[str, ...]
    peer: str
    peer_settings: dict[str, Any]
    sbx_settings: dict[str, Any] = field(default_factory=dict)
    sbx_policy: dict[str, Any] = field(default_factory=dict)
    steps: int = 2_400
    warm_up: int = 600
    libraries: tuple[str, ...] = ("sb3", "sbx")


OFF = {"learning_starts": 100, "batch_size": 256, "learning_rate": 3e-4, "train_freq": 1, "gradient_steps": 1}
WORDS = ("env=pendulum", "env.num_envs=1", "algo.learning_starts=100", "algo.learning_rate=3e-4")
CASES = {
    "sac": ReplayCase(
        "SAC on Pendulum, 256-256, batches of 256, one gradient step a step",
        "Pendulum-v1",
        ("algo=sac", *WORDS),
        "SAC",
        {**OFF, "policy_kwargs": {"net_arch": [256, 256]}},
    ),
    "td3": ReplayCase(
        "TD3 on Pendulum, 256-256, batches of 256, one gradient step a step",
        "Pendulum-v1",
        ("algo=td3", *WORDS),
        "TD3",
        {**OFF, "policy_kwargs": {"net_arch": [256, 256]}},
    ),
    "droq": ReplayCase(
        "DroQ on Pendulum, 256-256, batches of 256, 20 gradient steps a step",
        "Pendulum-v1",
        ("algo=droq", *WORDS),
        "SAC",
        {**OFF, "gradient_steps": 20, "policy_kwargs": {"net_arch": [256, 256]}},
        {"policy_delay": 20},
        {"dropout_rate": 0.01, "layer_norm": True},
        steps=320,
        warm_up=200,
        libraries=("sbx",),
    ),
    "dqn": ReplayCase(
        "DQN on CartPole, 256-256, batches of 128, one gradient step a step",
        "CartPole-v1",
        ("algo=dqn", "env=cartpole", "env.num_envs=1", "algo.learning_starts=100", "algo.learning_rate=3e-4",
         "algo.replay_ratio=1", "algo.double=false"),
        "DQN",
        {**OFF, "batch_size": 128, "target_update_interval": 250, "policy_kwargs": {"net_arch": [256, 256]}},
        steps=8_000,
        warm_up=2_000,
    ),
}  # fmt: skip
