"""Measuring one run from outside: a process, its phases, and what shows that two runs did the same work."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.cases import Case

IMPORT = re.compile(r"import time:\s+(\d+) \|")


@dataclass(frozen=True)
class Update:
    """Seconds of one update: of collection, of learning, and from the end of the update before to its own end."""

    collect: float
    update: float
    whole: float


@dataclass(frozen=True)
class Loop:
    """What a run tells of itself; `ended` is when its last update ended, in seconds since the epoch."""

    updates: list[Update]
    ended: float
    parameters: int
    optimizer_steps: int


@dataclass(frozen=True)
class Process:
    """A process seen from outside: its start, end and imports (when each ended, seconds of its own), by the clock."""

    began: float
    ended: float
    imports: list[tuple[float, float]]


@dataclass(frozen=True)
class Phases:
    """Seconds of each part of a process, from its start to its end; together they are its wall time."""

    imports: float
    set_up: float
    warm_up: float
    collect: float
    update: float
    logging: float
    closing: float


@dataclass(frozen=True)
class Measurement:
    """One run, `steps` being those after the warm-up."""

    phases: Phases
    steps: int
    parameters: int
    optimizer_steps: int

    @property
    def steps_per_second(self) -> float:
        """Steps per second of the loop after the warm-up, logging included."""
        return self.steps / (self.phases.collect + self.phases.update + self.phases.logging)

    @property
    def bare_steps_per_second(self) -> float:
        """Steps per second of collection and update after the warm-up, without logging."""
        return self.steps / (self.phases.collect + self.phases.update)

    @property
    def wall(self) -> float:
        """Seconds from the start of the process to its end."""
        return sum(vars(self.phases).values())

    @property
    def loop(self) -> float:
        """Seconds of the whole loop, warm-up included."""
        return self.phases.warm_up + self.phases.collect + self.phases.update + self.phases.logging


def watch(arguments: list[str], tree: Path, folder: Path) -> Process:
    """Run Python with these arguments on the code in `tree`, in `folder`, and watch it.

    Python itself tells the time of each import (-X importtime), which costs some hundredths of a second a run.

    Raises:
        RuntimeError: it failed.
    """
    environment = {**os.environ, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-X", "importtime", *arguments]
    imports, said = [], []
    began = time.time()
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if match := IMPORT.match(line):
                imports.append((time.time(), int(match[1]) / 1e6))
            elif not line.startswith("import time:"):
                said.append(line)
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed:\n{''.join(said[-30:])}")
    return Process(began, time.time(), imports)


def measure(case: Case, process: Process, loop: Loop) -> Measurement:
    """Divide a run into its phases.

    The loop's start is reckoned back from its end. Of the first update, what follows learning cannot be told from
    set-up in rlexp, so it counts as set-up on every side.
    """
    first, rest = loop.updates[0], loop.updates[1:]
    warm_up = first.collect + first.update + sum(one.whole for one in rest[: case.warm_up - 1])
    measured = loop.updates[case.warm_up :]
    seconds = sum(one.whole for one in measured)
    collect, update = sum(one.collect for one in measured), sum(one.update for one in measured)
    start = loop.ended - warm_up - seconds
    imports = sum(own for when, own in process.imports if when <= start)
    phases = Phases(
        imports=imports,
        set_up=start - process.began - imports,
        warm_up=warm_up,
        collect=collect,
        update=update,
        logging=seconds - collect - update,
        closing=process.ended - loop.ended,
    )
    return Measurement(phases, len(measured) * case.steps_per_update, loop.parameters, loop.optimizer_steps)


def run_rlexp(case: Case, steps: int, seed: int, folder: Path, tree: Path) -> Measurement:
    """Measure the command that a user gives, on the code in `tree`, from the files that it leaves."""
    process = watch(["-m", "rlexp.main", *overrides(case, steps, seed, folder)], tree, folder)
    with (folder / "metrics.csv").open() as file:
        updates = [
            Update(
                float(row["Time/collect_seconds"]),
                float(row["Time/update_seconds"]),
                case.steps_per_update / float(row["Time/step_per_second"]),
            )
            for row in csv.DictReader(file)
        ]
    ended = (folder / "metrics.csv").stat().st_mtime  # its last row was flushed when the last update had ended
    return measure(case, process, Loop(updates, ended, *work(folder / "checkpoints" / "last.ckpt")))


def run_sb3(case: Case, steps: int, seed: int, folder: Path, tree: Path) -> Measurement:
    """Measure Stable-Baselines3; `tree` holds benchmarks/peer_sb3.py."""
    process = watch(["-m", "benchmarks.peer_sb3", case.name, str(steps), str(seed), str(folder)], tree, folder)
    values = json.loads((folder / "peer.json").read_text())
    values["updates"] = [Update(*one) for one in values["updates"]]
    return measure(case, process, Loop(**values))


def overrides(case: Case, steps: int, seed: int, folder: Path) -> list[str]:
    """Return a case as rlexp's command line; what must be equal is said even where it is the default."""
    values = {
        "env": "gym",
        "algo": "ppo",
        "env.id": case.env_id,
        "env.num_envs": case.num_envs,
        "seed": seed,
        "total_timesteps": steps,
        "algo.num_steps": case.num_steps,
        "algo.per_rank_batch_size": case.batch_size,
        "algo.update_epochs": case.epochs,
        "algo.learning_rate": case.learning_rate,
        "algo.anneal_lr": case.anneal_lr,
        "algo.optimizer_eps": 1e-5,
        "algo.gamma": case.gamma,
        "algo.gae_lambda": case.gae_lambda,
        "algo.normalize_advantages": True,
        "algo.clip_coef": case.clip_coef,
        "algo.clip_vloss": case.clip_vloss,
        "algo.ent_coef": case.ent_coef,
        "algo.vf_coef": case.vf_coef,
        "algo.max_grad_norm": case.max_grad_norm,
        "algo.hidden_sizes": "[64,64]",
        "algo.activation_function": "tanh",
        "algo.shared_torso": False,
        "eval.episodes": 0,
        "fabric.threads_per_rank": 1,
        "hydra.run.dir": folder,
    }
    return [f"{key}={value}" for key, value in values.items()]


def work(checkpoint: Path) -> tuple[int, int]:
    """Return the number of parameters and of optimizer steps that a checkpoint of rlexp tells of."""
    import torch

    state = torch.load(checkpoint, weights_only=True)
    parameters = sum(value.numel() for value in state["policy"].values())
    return parameters, int(state["learner"]["optimizer"]["state"][0]["step"])
