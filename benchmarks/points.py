"""The points of the plots: short runs of the user's own command, their speed read from metrics.csv.

usage: python -m benchmarks.points [--only envs ranks] [--envs 1 4 16 ...] [--series NAME ...] [--repeats 3]
                                   [--store FOLDER]

`envs`: steps per second against the number of environments; `ranks`: against the number of ranks, 16 environments in
all. PPO on CartPole, rollouts of 128 steps, 4 minibatches, 4 epochs. All points take turns, and are stored after each
round.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import sys
import tempfile
from collections.abc import Iterator
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
COUPLED = "coupled, compiled"
BY_RANKS: dict[str, dict[int, list[str]]] = {
    COUPLED: {ranks: ["compile=true", f"fabric.devices={ranks}"] for ranks in (1, 2, 4)},
    "decoupled with overlap, compiled": {
        ranks: ["compile=true", "topology=decoupled", f"fabric.devices={ranks}", "topology.overlap=true"]
        for ranks in (2, 3)
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
            "log.every=1",
            f"hydra.run.dir={folder}",
            *overrides,
        ]
        watch(["-m", "rlexp.main", *command], ROOT, Path(folder))
        with (Path(folder) / "metrics.csv").open() as file:
            speeds = [float(row["Time/step_per_second"]) for row in csv.DictReader(file)]
    return statistics.harmonic_mean(speeds[WARM_UP:-1])  # with overlap nothing is collected beside the last update


Point = tuple[str, int, list[str], tuple[int, int, int]]
"""Series, position on the x axis, overrides, and what `measure` takes: environments, players and trainers."""


def by_envs(counts: list[int], series: list[str]) -> list[Point]:
    """Return the points of every series at every number of environments."""
    return [(name, count, BY_ENVS[name], (count, 1, 1)) for name in series for count in counts]


def by_ranks() -> list[Point]:
    """Return the points of both topologies at every number of ranks."""
    return [
        (name, ranks, overrides, (RANKS_ENVS, ranks, ranks) if name == COUPLED else (RANKS_ENVS, 1, ranks - 1))
        for name, points in BY_RANKS.items()
        for ranks, overrides in points.items()
    ]


def by_turns(points: list[Point], repeats: int) -> Iterator[dict[str, dict[int, list[float]]]]:
    """Measure all points one after the other, `repeats` times; yield the speeds so far after each round.

    Raises:
        Failed: a run did not end well; where rlexp refuses the settings, the point is left out.
    """
    found: dict[str, dict[int, list[float]]] = {}
    left_out: set[tuple[str, int]] = set()
    for seed in range(1, repeats + 1):
        for name, x, overrides, shape in points:
            if (name, x) in left_out:
                continue
            try:
                speed = measure(overrides, *shape, seed)
            except Failed as error:
                if error.refusal is None:
                    raise
                left_out.add((name, x))
                print(f"{name} at {x} left out: {error.refusal}", flush=True)
                continue
            found.setdefault(name, {}).setdefault(x, []).append(speed)
            print(f"{name} at {x}: {speed:,.0f} steps/s", flush=True)
        yield found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=("envs", "ranks"), default=["envs", "ranks"])
    parser.add_argument("--envs", nargs="+", type=int, default=list(ENVS), help="numbers of environments")
    parser.add_argument("--series", nargs="+", choices=tuple(BY_ENVS), default=list(BY_ENVS), metavar="NAME")
    parser.add_argument("--repeats", type=int, default=3)
    add_option(parser)
    arguments = parser.parse_args()
    plots = {"envs": by_envs(arguments.envs, arguments.series), "ranks": by_ranks()}
    try:
        for plot in arguments.only:
            for series in by_turns(plots[plot], arguments.repeats):
                save(arguments.store, f"points-{plot}", {"series": series})
    except Failed as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
