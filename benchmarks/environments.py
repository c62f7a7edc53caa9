"""The ways of stepping environments: steps per second alone, and a rollout of the player.

usage: python -m benchmarks.environments [--rounds 3]

Prints the two tables of docs/environments.md; the choices take turns.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings

import numpy as np
import torch
from hydra import compose, initialize_config_dir

from benchmarks.machine import described
from rlexp.collect.player import Player
from rlexp.config.compose import register, resolve
from rlexp.config.places import conf_dir
from rlexp.config.schema import Config
from rlexp.envs import check_environment, make_environments

CHOICES = {
    "sync": [],
    "vector": ["env.vectorization=vector"],
    "envpool, 1 thread": ["env.backend=envpool", "env.threads=1"],
    "envpool, 2 threads": ["env.backend=envpool", "env.threads=2"],
}
ALONE = [("lunarlander", name) for name in CHOICES if name != "vector"] + [("cartpole", name) for name in CHOICES]
STEPS, ENVS, ROLLOUTS = 1_500, 16, 12


def config_of(env: str, choice: str, num_envs: int) -> Config:
    register()
    overrides = [f"env={env}", f"env.num_envs={num_envs}", "algo.num_steps=128", *CHOICES[choice]]
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return resolve(compose("config", overrides=overrides))


def steps_per_second(config: Config) -> float:
    """Step the environments with random actions."""
    envs, random = make_environments(config.env, ENVS), np.random.default_rng(0)
    rows = np.zeros((ENVS, envs.spec.observation.row_size), envs.row_dtype)
    actions = random.integers(envs.spec.action.sizes[0], size=(STEPS, ENVS))
    envs.reset(list(range(ENVS)), rows)
    begin = time.perf_counter()
    for step in range(STEPS):
        envs.step(actions[step], rows)
    seconds = time.perf_counter() - begin
    envs.close()
    return STEPS * ENVS / seconds


def milliseconds(config: Config) -> list[float]:
    """Collect rollouts with an untrained policy."""
    count, generator = config.env.num_envs, torch.Generator().manual_seed(0)
    actor = config.algo.build(check_environment(config), config.inputs).actor
    envs = make_environments(config.env, count)
    player = Player(envs, list(range(count)), actor, config.algo.num_steps, generator)
    taken = []
    for _ in range(ROLLOUTS):
        begin = time.perf_counter()
        player.collect()
        taken.append(1e3 * (time.perf_counter() - begin))
    player.close()
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", category=UserWarning, module="gymnasium")  # of bounds in double precision
    print(described(), "\n")
    speeds: dict[tuple[str, str], list[float]] = {each: [] for each in ALONE}
    for _ in range(rounds):
        for each in ALONE:
            speeds[each].append(steps_per_second(config_of(*each, ENVS)))
    print(f"| environments alone, random actions, {ENVS} environments x {STEPS:,} steps | steps/s |\n|---|---|")
    for (env, choice), values in speeds.items():
        print(f"| {env}, {choice} | {statistics.median(values):,.0f} ({min(values):,.0f} to {max(values):,.0f}) |")
    print("\n| `Player.collect` on CartPole-v1, 128 steps | 4 environments | 16 environments |\n|---|---|---|")
    taken: dict[tuple[str, int], list[float]] = {(choice, count): [] for choice in CHOICES for count in (4, ENVS)}
    for _ in range(rounds):
        for (choice, count), times in taken.items():
            times += milliseconds(config_of("cartpole", choice, count))[1:]
    for choice in CHOICES:
        both = (taken[choice, count] for count in (4, ENVS))
        cells = [f"{statistics.median(times):.1f} ms ({min(times):.1f} to {max(times):.1f})" for times in both]
        print(f"| {choice} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
