"""The points of the plots: short runs of the user's own command, their speed read from metrics.csv.

usage: python -m benchmarks.points [--only envs ranks] [--envs 1 4 16 ...] [--series NAME ...] [--repeats 3]
                                   [--store FOLDER]

`envs`: steps per second against the number of environments; `ranks`: against the number of ranks, 16 environments in
all. PPO on CartPole, rollouts of 128 steps, 4 minibatches, 4 epochs.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import sys
import tempfile
from pathlib import Path

from benchmarks.store import ROOT, add_option, save
from benchmarks.timed import Failed, watch

NUM_STEPS, MINIBATCHES, EPOCHS = 128, 4, 4
WARM_UP = 3
"""Updates left out at the start: compilation is in them. The last one is left out, too."""
LEAST_STEPS = 20_000
"""Environment steps that a point is measured over, if three updates are not more."""
ENVS = (1, 4, 16, 64, 256, 1024)
RANKS_ENVS = 16

BY_ENVS: dict[str, list[str]] = {
    "gymnasium, eager": ["compile=false"],
    "gymnasium, compiled": ["compile=true"],
    "gymnasium's vector environment, compiled": ["compile=true", "env.vectorization=vector"],
    "environments as tensors, compiled": ["compile=true", "env.backend=torch"],
}
BY_RANKS: dict[str, dict[int, list[str]]] = {
    "coupled, compiled": {ranks: [f"fabric.devices={ranks}"] for ranks in (1, 2, 4)},
    "decoupled with overlap, compiled": {
        ranks: ["topology=decoupled", f"fabric.devices={ranks}", "topology.overlap=true"] for ranks in (2, 3)
    },
}


def measure(overrides: list[str], num_envs: int, players: int, trainers: int, seed: int) -> float:
    """Return the steps per second of one run with `num_envs` environments in all, the warm-up left out.

    Raises:
        Failed: the run did not end well.
    """
    per_update = num_envs * NUM_STEPS
    updates = WARM_UP + max(3, -(-LEAST_STEPS // per_update)) + 1
    with tempfile.TemporaryDirectory(prefix="rlexp-points-") as folder:
        command = [
            "env=cartpole",
            "algo=ppo",
            f"seed={seed}",
            f"env.num_envs={num_envs // players}",
            f"total_timesteps={updates * per_update}",
            f"algo.num_steps={NUM_STEPS}",
            f"algo.update_epochs={EPOCHS}",
            f"algo.per_rank_batch_size={per_update // trainers // MINIBATCHES}",
            "eval.episodes=0",
            "checkpoint.every=0",
            f"hydra.run.dir={folder}",
            *overrides,
        ]
        watch(["-m", "rlexp.main", *command], ROOT, Path(folder))
        with (Path(folder) / "metrics.csv").open() as file:
            speeds = [float(row["Time/step_per_second"]) for row in csv.DictReader(file)]
    return statistics.harmonic_mean(speeds[WARM_UP:-1])  # with overlap nothing is collected beside the last update


def repeated(name: str, x: int, repeats: int, overrides: list[str], shape: tuple[int, int, int]) -> list[float] | None:
    """Return the speeds at one point; None where rlexp refuses these settings here."""
    try:
        speeds = [measure(overrides, *shape, seed) for seed in range(1, repeats + 1)]
    except Failed as error:
        if error.refusal is None:
            raise
        print(f"{name} at {x} left out: {error.refusal}", flush=True)
        return None
    print(f"{name} at {x}: {statistics.median(speeds):,.0f} steps/s", flush=True)
    return speeds


def by_envs(arguments: argparse.Namespace) -> dict[str, dict[int, list[float]]]:
    """Measure every series at every number of environments."""
    found: dict[str, dict[int, list[float]]] = {}
    for name in arguments.series:
        for count in arguments.envs:
            speeds = repeated(name, count, arguments.repeats, BY_ENVS[name], (count, 1, 1))
            if speeds is None:
                break
            found.setdefault(name, {})[count] = speeds
    return found


def by_ranks(arguments: argparse.Namespace) -> dict[str, dict[int, list[float]]]:
    """Measure both topologies at every number of ranks."""
    found: dict[str, dict[int, list[float]]] = {}
    for name, points in BY_RANKS.items():
        for ranks, overrides in points.items():
            shape = (RANKS_ENVS, ranks, ranks) if name.startswith("coupled") else (RANKS_ENVS, 1, ranks - 1)
            speeds = repeated(name, ranks, arguments.repeats, ["compile=true", *overrides], shape)
            if speeds is not None:
                found.setdefault(name, {})[ranks] = speeds
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=("envs", "ranks"), default=["envs", "ranks"])
    parser.add_argument("--envs", nargs="+", type=int, default=list(ENVS), help="numbers of environments")
    parser.add_argument("--series", nargs="+", choices=tuple(BY_ENVS), default=list(BY_ENVS), metavar="NAME")
    parser.add_argument("--repeats", type=int, default=3)
    add_option(parser)
    arguments = parser.parse_args()
    try:
        if "envs" in arguments.only:
            save(arguments.store, "points-envs", {"repeats": arguments.repeats, "series": by_envs(arguments)})
        if "ranks" in arguments.only:
            save(arguments.store, "points-ranks", {"repeats": arguments.repeats, "series": by_ranks(arguments)})
    except Failed as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
