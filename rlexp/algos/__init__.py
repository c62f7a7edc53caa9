"""Algorithms: one file each, a dataclass of hyperparameters with stateless losses, and the pure maths they share.

No module here imports torch when the program starts, so that their dataclasses can serve as config schemas.
"""

from rlexp.algos.a2c import A2C
from rlexp.algos.base import Algorithm
from rlexp.algos.dqn import DQN
from rlexp.algos.off_policy import OffPolicy
from rlexp.algos.on_policy import OnPolicy
from rlexp.algos.ppo import PPO
from rlexp.algos.sac import SAC
from rlexp.algos.td3 import TD3

ALGORITHMS: dict[str, type[Algorithm]] = {"a2c": A2C, "dqn": DQN, "ppo": PPO, "sac": SAC, "td3": TD3}
"""The name in `algo=` and the class; an algorithm is added here and in conf/algo/."""

__all__ = ["A2C", "ALGORITHMS", "DQN", "PPO", "SAC", "TD3", "Algorithm", "OffPolicy", "OnPolicy"]
