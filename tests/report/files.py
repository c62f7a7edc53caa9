"""Runs as files, for what reads them."""

import csv
import json

import yaml


def write_run(
    directory,
    score=None,
    seed=1,
    env_id="CartPole-v1",
    algo="ppo",
    state="completed",
    steps=1000,
    evaluated=True,
    curve=(),
    **settings,
):
    """Write summary.json, .hydra/config.yaml and metrics.csv of a run; return its directory."""
    directory.mkdir(parents=True)
    result = {"episodes": 2, "mean_return": score, "std_return": 0.0, "returns": [score, score]} if evaluated else None
    values = {
        "state": state, "error": "it broke" if state == "failed" else None, "seed": seed, "env_id": env_id,
        "algo": algo, "overrides": [f"seed={seed}"], "world_size": 1, "env_steps": steps, "updates": 10,
        "wall_seconds": 2.0, "steps_per_second": 500.0, "objective": score,
        "eval": result,
        "versions": {"python": "3.11", "rlexp": "0.1.0"},
    }  # fmt: skip
    (directory / "summary.json").write_text(json.dumps(values))
    config = {"seed": seed, "total_timesteps": steps, "env": {"id": env_id, "num_envs": 4}, "algo": {"gamma": 0.99}}
    for key, value in settings.items():
        *parents, last = key.split("__")
        node = config
        for name in parents:
            node = node.setdefault(name, {})
        node[last] = value
    (directory / ".hydra").mkdir()
    (directory / ".hydra" / "config.yaml").write_text(yaml.safe_dump(config))
    with (directory / "metrics.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["env_steps", "seconds", "Rewards/rew_avg", "Time/collect_seconds", "Time/update_seconds"])
        rows.writerows(curve)
    return directory
