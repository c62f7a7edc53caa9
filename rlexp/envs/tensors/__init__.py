"""Environments as stateless functions of tensors: thousands of them step at once, on any device.

Each equals gymnasium's environment of the same id: same dynamics, rewards, termination, time limit and distribution of
first states. Nothing here imports torch before an environment is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rlexp.envs.tensors.base import TensorEnvironment

TIME_LIMITS = {
    "Acrobot-v1": 500,
    "CartPole-v0": 200,
    "CartPole-v1": 500,
    "MountainCar-v0": 200,
    "Pendulum-v1": 200,
}
"""The ids that have a version here, with gymnasium's time limit of each, in steps."""


def tensor_environment(env_id: str) -> TensorEnvironment:
    """Return the environment of an id in `TIME_LIMITS`.

    Raises:
        KeyError: there is none.
    """
    from rlexp.envs.tensors.acrobot import Acrobot  # torch, which a look at TIME_LIMITS need not wait for
    from rlexp.envs.tensors.cartpole import CartPole
    from rlexp.envs.tensors.mountain_car import MountainCar
    from rlexp.envs.tensors.pendulum import Pendulum

    classes: dict[str, type[TensorEnvironment]] = {
        "Acrobot-v1": Acrobot,
        "CartPole-v0": CartPole,
        "CartPole-v1": CartPole,
        "MountainCar-v0": MountainCar,
        "Pendulum-v1": Pendulum,
    }
    return classes[env_id]()
