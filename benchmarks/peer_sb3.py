"""A peer: Stable-Baselines3's PPO at a case's settings, in a process of its own.

usage: python -m benchmarks.peer_sb3 CASE STEPS SEED FOLDER

`benchmarks.speed` runs this; it writes peer.json into FOLDER, beside the curves and the model. As in rlexp the curves
go to a CSV file and to TensorBoard after every update, episodes are counted, and the model is saved at the end.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import torch
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.logger import configure

from benchmarks.cases import CASES, Case
from benchmarks.peer import Timed, settings, tell

OLD = {"frameskip": 1, "repeat_action_probability": 0.0}
"""Atari games as their NoFrameskip-v4 had it."""


class TimedPPO(Timed, PPO):
    """PPO that notes the seconds of every update."""


def build(case: Case, seed: int, folder: Path) -> Any:
    """Return the model as Stable-Baselines3's documentation builds it."""
    values = settings(case, seed, torch.nn.Tanh)
    values |= {"clip_range_vf": case.clip_coef if case.clip_vloss else None, "device": "cpu"}
    if case.name == "pong":
        import ale_py  # noqa: F401  # registers the games
        from stable_baselines3.common.env_util import make_atari_env
        from stable_baselines3.common.vec_env import VecFrameStack

        envs = VecFrameStack(make_atari_env(case.env_id, n_envs=case.num_envs, seed=seed, env_kwargs=OLD), 4)
        del values["policy_kwargs"]
        model: Any = TimedPPO("CnnPolicy", envs, **values)
    elif case.name == "memory":
        from sb3_contrib import RecurrentPPO

        class TimedRecurrentPPO(Timed, RecurrentPPO):
            """The same with an LSTM each for actor and critic."""

        values["policy_kwargs"] |= {"lstm_hidden_size": 64}
        envs = make_vec_env(case.env_id, n_envs=case.num_envs, seed=seed)
        model = TimedRecurrentPPO("MlpLstmPolicy", envs, **values)
    else:
        model = TimedPPO("MlpPolicy", make_vec_env(case.env_id, n_envs=case.num_envs, seed=seed), **values)
    model.set_logger(configure(str(folder), ["csv", "tensorboard"]))
    return model


def main() -> None:
    name, steps, seed, path = sys.argv[1:]
    folder = Path(path)
    torch.set_num_threads(1)
    model = build(CASES[name], int(seed), folder)
    model.learn(int(steps))
    ended = time.time()
    model.save(folder / "last")
    state = next(iter(model.policy.optimizer.state.values()))
    parameters = sum(parameter.numel() for parameter in model.policy.parameters())
    tell(folder, model, ended, parameters, int(state["step"]))


if __name__ == "__main__":
    main()
