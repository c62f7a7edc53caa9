"""A peer: SBX's PPO (Stable-Baselines3 on JAX) at a case's settings, in a process of its own.

usage: python -m benchmarks.peer_sbx CASE STEPS SEED FOLDER

As benchmarks.peer_sb3. SBX has no clipped value loss, leaves `clip_range_vf` unused, and clips the gradients of actor
and critic apart.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import flax.linen as nn
import jax
import optax
from sbx import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.logger import configure

from benchmarks.cases import CASES, Case
from benchmarks.peer import Timed, settings, tell


class TimedPPO(Timed, PPO):
    """PPO that notes the seconds of every update."""


def build(case: Case, seed: int, folder: Path) -> TimedPPO:
    """Return the model as SBX's documentation builds it."""
    model = TimedPPO(
        "MlpPolicy",
        make_vec_env(case.env_id, n_envs=case.num_envs, seed=seed),
        **settings(case, seed, nn.tanh),
    )
    model.set_logger(configure(str(folder), ["csv", "tensorboard"]))
    return model


def main() -> None:
    name, steps, seed, path = sys.argv[1:]
    folder = Path(path)
    model = build(CASES[name], int(seed), folder)
    model.learn(int(steps))
    ended = time.time()
    model.save(folder / "last")
    states = (model.policy.actor_state, model.policy.vf_state)
    parameters = sum(leaf.size for state in states for leaf in jax.tree.leaves(state.params))
    tell(folder, model, ended, parameters, int(optax.tree_utils.tree_get(states[0].opt_state, "count", filtering=adam)))


def adam(path: tuple[object, ...], value: object) -> bool:
    """Tell the count of Adam from that of the hyperparameters around it."""
    return any(getattr(step, "tuple_name", "") == "ScaleByAdamState" for step in path)


if __name__ == "__main__":
    main()
