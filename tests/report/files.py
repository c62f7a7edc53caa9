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
    evaluations=(),
    videos=(),
    summary=None,
    **settings,
):
    """Write the files of a run as it would; return its directory.

    `curve` and `evaluations` are rows, `videos` the names of (empty) files below videos/, `summary` more of its values.
    """
    directory.mkdir(parents=True)
    result = {"episodes": 2, "mean_return": score, "std_return": 0.0, "returns": [score, score]} if evaluated else None
    values = {
        "state": state, "error": "it broke" if state == "failed" else None, "seed": seed, "env_id": env_id,
        "algo": algo, "overrides": [f"seed={seed}"], "world_size": 1, "env_steps": steps, "updates": 10,
        "wall_seconds": 2.0, "steps_per_second": 500.0, "objective": score,
        "eval": result,
        "versions": {"python": "3.11", "rlexp": "0.1.0"},
    }  # fmt: skip
    (directory / "summary.json").write_text(json.dumps(values | (summary or {})))
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
    if evaluations:
        with (directory / "evaluations.csv").open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(
                ["env_steps", "seconds", "episodes", "mean_return", "std_return", "mean_length", "lengths", "returns"]
            )
            rows.writerows(
                [steps, seconds, 2, mean, 0.0, 5.0, "[5, 5]", f"[{mean}, {mean}]"]
                for steps, seconds, mean in evaluations
            )
    for name in videos:
        path = directory / "videos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"video")
    return directory


def rising(top, count=20, step=50, seconds=0.5):
    """Return rows of metrics.csv whose mean return rises to `top`; the first row has no episode yet."""
    return [
        (step * number, seconds * number, top * number / count if number > 1 else "", 0.1, 0.2)
        for number in range(1, count + 1)
    ]


def bench_of(folder, envs=("CartPole-v1", "Acrobot-v1"), rates=(0.001, 0.01), seeds=3):
    """Write runs of several rates in several environments; the second rate is better."""
    number = 0
    for place, env_id in enumerate(envs):
        for level, rate in enumerate(rates):
            for seed in range(1, seeds + 1):
                score = 100.0 * (place + 1) + 50 * level + seed
                write_run(
                    folder / f"{number}-job", score, seed, env_id=env_id, curve=rising(score),
                    evaluations=[(500, 5.0, score / 2), (1000, 10.0, score)], algo__learning_rate=rate,
                    summary={"overrides": [f"env.id={env_id}", f"algo.learning_rate={rate}", f"seed={seed}"]},
                )  # fmt: skip
                number += 1
    return folder
