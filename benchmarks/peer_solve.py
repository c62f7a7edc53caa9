"""A peer: Stable-Baselines3's PPO with rl-baselines3-zoo's settings until a task is solved, in a process of its own.

usage: python -m benchmarks.peer_solve TASK SEED THRESHOLD STEPS EVAL_EVERY EVAL_ENVS FOLDER

It writes solved.json into FOLDER, beside the evaluations, the curves and the model.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import EvalCallback, StopTrainingOnRewardThreshold
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.logger import configure

from benchmarks.tasks import EVAL_EPISODES, TASKS, Task

EVAL_SEED = 2**20


def build(task: Task, seed: int, folder: Path) -> PPO:
    """Return the model as the zoo builds it."""
    model = PPO(
        "MlpPolicy",
        make_vec_env(task.env_id, n_envs=task.num_envs, seed=seed),
        learning_rate=(lambda left: task.learning_rate * left) if task.linear else task.learning_rate,
        n_steps=task.num_steps,
        batch_size=task.batch_size,
        n_epochs=task.epochs,
        gamma=task.gamma,
        gae_lambda=task.gae_lambda,
        clip_range=(lambda left: task.clip_coef * left) if task.linear else task.clip_coef,
        ent_coef=task.ent_coef,
        seed=seed,
        device="cpu",
    )
    model.set_logger(configure(str(folder), ["csv", "tensorboard"]))
    return model


def main() -> None:
    name, seed, threshold, steps, eval_every, eval_envs, path = sys.argv[1:]
    task, folder = TASKS[name], Path(path)
    torch.set_num_threads(1)
    model = build(task, int(seed), folder)
    evaluation = EvalCallback(
        make_vec_env(task.env_id, n_envs=int(eval_envs), seed=EVAL_SEED + int(seed)),
        callback_on_new_best=StopTrainingOnRewardThreshold(float(threshold), verbose=0),
        n_eval_episodes=EVAL_EPISODES,
        eval_freq=int(eval_every) // task.num_envs,
        verbose=0,
    )
    model.learn(int(steps), callback=evaluation)
    model.save(folder / "last")
    values = {"env_steps": model.num_timesteps, "mean_return": float(evaluation.best_mean_reward)}
    (folder / "solved.json").write_text(json.dumps(values))


if __name__ == "__main__":
    main()
