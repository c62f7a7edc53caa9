"""Algorithms: one file each, a dataclass of hyperparameters with stateless losses, and the pure maths they share.

No module here imports torch when the program starts, so that their dataclasses can serve as config schemas.
"""

from rlexp.algos.a2c import A2C
from rlexp.algos.base import Algorithm
from rlexp.algos.on_policy import OnPolicy
from rlexp.algos.ppo import PPO

ALGORITHMS: dict[str, type[OnPolicy]] = {"a2c": A2C, "ppo": PPO}
"""The name in `algo=` and the class; an algorithm is added here and in conf/algo/."""

__all__ = ["A2C", "ALGORITHMS", "PPO", "Algorithm", "OnPolicy"]
