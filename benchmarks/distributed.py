"""Many ranks: that every topology learns, and how fast it is; writes docs/distributed-results.md.

usage: python -m benchmarks.distributed [--repeats 5] [--seeds 1 2 3] [--skip-learning] [--skip-speed] [--compiled-only]

Learning: experiment=cartpole in each topology, 20 greedy episodes after 100,000 steps. Speed: the settings of
Lightning's Fabric PPO example (65,536 steps, 4 environments in all, 128 steps, minibatch 64, 10 epochs), the variants
interleaved. Every run is the user's own command.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.machine import described

OUTPUTS = Path("outputs/distributed")
PAGE = Path("docs/distributed-results.md")
WARM_UP = 4
"""Updates left out at the start: imports are not in them, but the compilation of the first is."""

THREE = ["topology=decoupled", "fabric.devices=3"]
HALF = ["env.num_envs=4", "algo.per_rank_batch_size=128"]
LEARNING: dict[str, list[str]] = {
    "coupled, 2 ranks": [*HALF, "fabric.devices=2", "strategy=ddp"],
    "coupled, 2 ranks, share_data": [*HALF, "fabric.devices=2", "topology.share_data=true"],
    "decoupled, 3 ranks": [*THREE, "algo.per_rank_batch_size=128"],
    "decoupled, 3 ranks, share_data": [*THREE, "algo.per_rank_batch_size=128", "topology.share_data=true"],
    "decoupled, 2 ranks, no overlap": ["topology=decoupled", "fabric.devices=2"],
    "decoupled, 2 ranks, overlap": ["topology=decoupled", "fabric.devices=2", "topology.overlap=true"],
    "coupled, 1 rank, bf16-mixed": ["fabric.precision=bf16-mixed"],
    "torchrun, 2 ranks": [*HALF, "torchrun"],
}
EXAMPLE = [
    "env=cartpole",
    "total_timesteps=65536",
    "algo.num_steps=128",
    "algo.per_rank_batch_size=64",
    "algo.update_epochs=10",
    "algo.learning_rate=1e-3",
    "algo.anneal_lr=false",
    "algo.ent_coef=0",
    "algo.vf_coef=1",
    "algo.clip_vloss=false",
    "algo.normalize_advantages=false",
    "algo.activation_function=relu",
    "eval.episodes=0",
    "checkpoint.every=0",
]
SPEED: dict[str, list[str]] = {
    "coupled, 1 rank, 4 environments": ["env.num_envs=4"],
    "coupled, 2 ranks, 2 environments each": ["env.num_envs=2", "fabric.devices=2", "strategy=ddp"],
    "decoupled, player and 1 trainer, overlap": [
        "env.num_envs=4",
        "topology=decoupled",
        "fabric.devices=2",
        "topology.overlap=true",
    ],
}


def run(name: str, overrides: list[str]) -> Path:
    """Run one experiment to its end; return its directory."""
    folder = OUTPUTS / name.replace(",", "").replace(" ", "-")
    shutil.rmtree(folder, ignore_errors=True)
    start = [sys.executable, "-m"]
    if "torchrun" in overrides:
        start += ["torch.distributed.run", "--nproc-per-node", "2", "--standalone", "-m"]
    command = [
        *start,
        "rlexp.main",
        *(item for item in overrides if item != "torchrun"),
        "log.every=1",
        f"hydra.run.dir={folder}",
    ]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return folder


def steps_per_second(folder: Path) -> float:
    """Return the speed of a run from its metrics, warm-up left out."""
    with (folder / "metrics.csv").open() as file:
        rows = [(float(row["env_steps"]), float(row["Time/step_per_second"])) for row in csv.DictReader(file)]
    steps = rows[1][0] - rows[0][0]
    return statistics.harmonic_mean([speed for _, speed in rows[WARM_UP:]]) if steps else 0.0


def learning(seeds: list[int]) -> list[str]:
    """Return a row for each topology: the mean return of 20 greedy episodes of each seed."""
    rows = []
    for name, overrides in LEARNING.items():
        means = []
        for seed in seeds:
            common = ["experiment=cartpole", "compile=true", f"seed={seed}", "eval.episodes=20"]
            summary: dict[str, Any] = json.loads(
                (run(f"{name}-{seed}", common + overrides) / "summary.json").read_text()
            )
            means.append(summary["eval"]["mean_return"])
        each = ", ".join(f"{mean:.1f}" for mean in means)
        rows.append(f"| {name} | {statistics.fmean(means):.1f} | {each} |")
        print(rows[-1], flush=True)
    return rows


def speed(repeats: int, compiled: bool) -> list[str]:
    """Return a row for each variant: median, lowest and highest steps/s, and the ratio to one coupled rank."""
    found: dict[str, list[float]] = {name: [] for name in SPEED}
    for _ in range(repeats):
        for name, overrides in SPEED.items():
            extra = ["compile=true"] if compiled else []
            found[name].append(steps_per_second(run(f"speed-{name}", EXAMPLE + overrides + extra)))
            print(name, f"compile={compiled}", round(found[name][-1]), flush=True)
    base = statistics.median(next(iter(found.values())))
    return [
        f"| {name} | {'yes' if compiled else 'no'} | {statistics.median(values):,.0f} | "
        f"{min(values):,.0f} to {max(values):,.0f} | {statistics.median(values) / base:.2f} |"
        for name, values in found.items()
    ]


def kept(title: str) -> str:
    """Return a section of the page as it stands; empty if there is none."""
    sections = PAGE.read_text().split("## ") if PAGE.is_file() else []
    return next((f"## {section.rstrip()}\n" for section in sections if section.startswith(title)), "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seeds", type=int, nargs="*", default=[1, 2, 3])
    parser.add_argument("--skip-learning", action="store_true")
    parser.add_argument("--skip-speed", action="store_true")
    parser.add_argument("--compiled-only", action="store_true", help="leave out the speed without compilation")
    arguments = parser.parse_args()
    made_by = described()
    parts = ["# Many ranks: what was measured\n\nMade by `make distributed`.\n"]
    if arguments.skip_speed:
        parts.append(kept("Speed"))
    else:
        rows = [] if arguments.compiled_only else speed(arguments.repeats, compiled=False)
        rows += speed(arguments.repeats, compiled=True)
        parts.append(
            f"""## Speed

{made_by}

The settings of Lightning's Fabric PPO example on CartPole-v1: 65,536 steps, 4 environments in all, rollouts of 128
steps, minibatches of 64 on each rank that learns (two of them take half as many optimizer steps, of 128 rows), 10
epochs. Steps per second of the loop, logging included, the first {WARM_UP} updates left out and with them the
compilation; medians of {arguments.repeats} runs, interleaved; the ratio is to one coupled rank, compiled or not alike.

| variant | compiled | steps/s | lowest to highest | ratio |
|---|---|---|---|---|
{chr(10).join(rows)}
"""
        )
    if arguments.skip_learning:
        parts.append(kept("Learning"))
    else:
        rows = learning(arguments.seeds)
        parts.append(
            f"""## Learning

{made_by}

`experiment=cartpole compile=true` (100,000 steps, 8 environments and minibatches of 256 in all, split over the ranks
that collect or learn), seeds {", ".join(map(str, arguments.seeds))}; mean return of 20 greedy episodes.

| variant | mean | each seed |
|---|---|---|
{chr(10).join(rows)}
"""
        )
    PAGE.write_text("\n".join(filter(None, parts)))
    print(f"written: {PAGE}")


if __name__ == "__main__":
    main()
