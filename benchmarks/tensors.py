"""Speed of environments of tensors: steps per second of the user's own command, logging included, over num_envs.

usage: python -m benchmarks.tensors [--num-envs N ...] [--device cpu|cuda] [--eager] [--threads N] [--updates N]
                                    [--rounds N] [--peer] [--jax-python PATH] [--solve]

CartPole-v1, 128 steps an update, 4 minibatches, 4 epochs. Each measurement is a process of its own; the first updates,
in which code is compiled, are told apart. With a CUDA device both kinds are measured. With --peer Stable-Baselines3
runs `benchmarks.cases`' CartPole (4 x 128) before each, as the unit of a ratio. Where the interpreter at --jax-python
(default: this one) has the package jax, `benchmarks.peer_purejax` runs at the same number of environments after each
measurement: PureJaxRL's settings, whose own number is 4. --rounds repeats both by turns and reports medians, since a
ratio holds for one machine at one time. With --solve each number of
environments also trains, from the command until 10 greedy episodes reach a mean return of 475, evaluated after every
fifth update of 32 steps.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.cases import CASES
from benchmarks.machine import described
from benchmarks.runs import run_peer, version_in
from benchmarks.store import ROOT

NUM_ENVS = {"cpu": (4, 64, 1024, 4096), "cuda": (4096, 16_384)}
NUM_STEPS, MINIBATCHES = 128, 4
SOLVE_STEPS, SOLVE_RATE, SOLVE_UPDATES, SOLVED = 32, 2.5e-3, 200, 475
WARM_UP = 3
PEER_STEPS = 51_200


@dataclass(frozen=True)
class Speed:
    """Of the updates after the warm-up: steps per second, and seconds an update of each kind; and of the first ones."""

    steps_per_second: float
    collect: float
    update: float
    logging: float
    warm_up: float


def run(num_envs: int, num_steps: int, arguments: argparse.Namespace, device: str, folder: str, **further: Any) -> None:
    """Run the command with 4 minibatches, 4 epochs and `further` settings, in whose keys two underscores are a point.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    words = {
        "env": "cartpole",
        "env.backend": "torch",
        "env.num_envs": num_envs,
        "algo.num_steps": num_steps,
        "algo.per_rank_batch_size": num_envs * num_steps // MINIBATCHES,
        "algo.update_epochs": 4,
        "accelerator": device,
        "compile": not arguments.eager,
        "fabric.threads_per_rank": arguments.threads,
        "checkpoint.every": 0,
        "hydra.run.dir": folder,
        **{key.replace("__", "."): value for key, value in further.items()},
    }
    command = [sys.executable, "-m", "rlexp.main", *(f"{key}={value}" for key, value in words.items())]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def solve(num_envs: int, device: str, arguments: argparse.Namespace) -> str:
    """Return the seconds from the command to its end, solved or not, the environment steps and the mean return."""
    per_update = num_envs * SOLVE_STEPS
    with tempfile.TemporaryDirectory(prefix="rlexp-tensors-") as folder:
        begin = time.perf_counter()
        evaluation = {"eval__every": 5 * per_update, "eval__episodes": 10, "eval__stop_at": SOLVED}
        learning = {"algo__learning_rate": SOLVE_RATE, "total_timesteps": SOLVE_UPDATES * per_update}
        run(num_envs, SOLVE_STEPS, arguments, device, folder, **evaluation, **learning)
        seconds = time.perf_counter() - begin
        summary = json.loads((Path(folder) / "summary.json").read_text())
    return f"{seconds:.1f} s, {summary['env_steps']:,} steps, {summary['objective']:.0f}"


def measure(num_envs: int, device: str, updates: int, arguments: argparse.Namespace) -> Speed:
    """Run the command and read its metrics.csv."""
    per_update = num_envs * NUM_STEPS
    with tempfile.TemporaryDirectory(prefix="rlexp-tensors-") as folder:
        steps = (WARM_UP + updates) * per_update
        run(num_envs, NUM_STEPS, arguments, device, folder, total_timesteps=steps, eval__episodes=0, log__every=1)
        with (Path(folder) / "metrics.csv").open(newline="") as file:
            rows = [{key: float(value or "nan") for key, value in row.items()} for row in csv.DictReader(file)]
    whole = [per_update / row["Time/step_per_second"] for row in rows]
    measured = rows[WARM_UP:]
    collect, update = (sum(row[f"Time/{name}_seconds"] for row in measured) for name in ("collect", "update"))
    seconds = sum(whole[WARM_UP:])
    each = len(measured)
    return Speed(
        steps_per_second=each * per_update / seconds,
        collect=collect / each,
        update=update / each,
        logging=(seconds - collect - update) / each,
        warm_up=sum(whole[:WARM_UP]),
    )


def peer() -> float:
    """Return the steps per second of Stable-Baselines3 on CartPole, 4 x 128, logging included."""
    case = CASES["cartpole"]
    with tempfile.TemporaryDirectory(prefix="rlexp-tensors-") as folder:
        run = run_peer(
            "benchmarks.peer_sb3", case, sys.executable, case.whole(PEER_STEPS), 1, Path(folder), Path(folder)
        )
        return run.steps_per_second


def jax_peer(num_envs: int, device: str, updates: int, python: str) -> float:
    """Return the steps per second of PPO in JAX, compilation excluded; on as many threads as JAX takes.

    Raises:
        subprocess.CalledProcessError: it failed, such as for a device that this JAX does not have.
    """
    variables = {**os.environ, "JAX_PLATFORMS": device}
    with tempfile.TemporaryDirectory(prefix="rlexp-tensors-") as folder:
        numbers = [str(number) for number in (num_envs, NUM_STEPS, updates)]
        command = [python, "-m", "benchmarks.peer_purejax", *numbers, folder]
        subprocess.run(command, cwd=ROOT, check=True, env=variables)
        return float(json.loads((Path(folder) / "peer.json").read_text())["steps_per_second"])


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num-envs", type=int, nargs="+", help=f"default: {NUM_ENVS}")
    parser.add_argument("--device", choices=("cpu", "cuda"), help="default: all that there are")
    parser.add_argument("--eager", action="store_true", help="without compile=true")
    parser.add_argument("--threads", default="auto", help="fabric.threads_per_rank (default auto)")
    parser.add_argument("--updates", type=int, help="updates measured (default: 100 of 64 environments, 10 of more)")
    parser.add_argument("--solve", action="store_true", help="train until CartPole is solved, too")
    parser.add_argument("--peer", action="store_true", help="measure Stable-Baselines3 too (make bench installs it)")
    parser.add_argument("--jax-python", default=sys.executable, help="an interpreter that can import jax")
    parser.add_argument("--rounds", type=int, default=1, help="measurements of each, by turns; medians are reported")
    return parser.parse_args()


def row(num_envs: int, device: str, arguments: argparse.Namespace, with_jax: bool) -> list[str]:
    """Measure one number of environments and return the cells of its row."""
    updates = arguments.updates or (100 if num_envs <= 64 else 10)
    unit = peer() if arguments.peer else None
    ours, others = [], []
    for _ in range(arguments.rounds):
        ours.append(measure(num_envs, device, updates, arguments))
        if with_jax:
            others.append(jax_peer(num_envs, device, updates, arguments.jax_python))
    one = sorted(ours, key=lambda speed: speed.steps_per_second)[len(ours) // 2]
    cells = [device, f"{num_envs:,}", f"{one.steps_per_second:,.0f}"]
    cells += [f"{1000 * value:.1f} ms" for value in (one.collect, one.update, one.logging)]
    for other in (unit, statistics.median(others) if others else None):
        cells.append(f"{one.steps_per_second / other:.2f} ({other:,.0f})" if other else "-")
    cells.insert(6, f"{one.warm_up:.1f} s")
    return [*cells, solve(num_envs, device, arguments) if arguments.solve else "-"]


def main() -> None:
    import torch

    arguments = parse()
    there = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    devices = [arguments.device] if arguments.device else there
    gpu = [torch.cuda.get_device_name(), f"CUDA {torch.version.cuda}"] if "cuda" in devices else []
    jax = version_in(arguments.jax_python, "jax")
    print(described(*gpu, *([f"jax {jax}"] if jax else [])))
    if jax is None:
        print(f"PPO in JAX takes no part: {arguments.jax_python} has no package jax (--jax-python names another).")
    head = ("device", "num_envs", "steps/s", "collect", "update", "logging", "warm-up")
    head += ("ratio to Stable-Baselines3 (steps/s)", "ratio to PPO in JAX (steps/s)", "solved after")
    print(f"\n| {' | '.join(head)} |\n{'|---' * len(head)}|", flush=True)
    for device in devices:
        for num_envs in arguments.num_envs or NUM_ENVS[device]:
            print(f"| {' | '.join(row(num_envs, device, arguments, jax is not None))} |", flush=True)


if __name__ == "__main__":
    main()
