"""The runs that are measured: rlexp by the command that a user gives, and its peers."""

from __future__ import annotations

import csv
import json
import subprocess
from pathlib import Path

from benchmarks.cases import Case, Variant
from benchmarks.store import ROOT
from benchmarks.timed import Loop, Measurement, Update, measure, watch

ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
}


def run_rlexp(
    case: Case, variant: Variant, steps: int, seed: int, folder: Path, cache: Path, tree: Path
) -> Measurement:
    """Measure the command that a user gives, on the code in `tree`, from the files that it leaves.

    Torch keeps compiled code in `cache`.
    """
    command = ["-m", "rlexp.main", *overrides(case, steps, seed, folder), *variant.overrides]
    replaced = {word.partition("=")[0] for word in case.words}
    command = [word for word in command if word.partition("=")[0] not in replaced] + list(case.words)
    if (tree / "rlexp" / "data").is_dir():  # before log.every there was a row an update
        command.append("log.every=1")
    many = "fabric.threads_per_rank=auto" in variant.overrides
    if many:
        command.remove("fabric.threads_per_rank=1")
    variables = {"TORCHINDUCTOR_CACHE_DIR": str(cache)}
    process = watch(command, tree, folder, variables if many else variables | ONE_THREAD)
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
    return measure(case, process, Loop(updates, ended, *work(folder / "checkpoints" / "last.safetensors")))


def run_peer(module: str, case: Case, python: str, steps: int, seed: int, folder: Path, cache: Path) -> Measurement:
    """Measure a peer: the module `benchmarks.peer_sb3` or `benchmarks.peer_sbx`, which keep nothing in `cache`."""
    command = ["-m", module, case.name, str(steps), str(seed), str(folder)]
    process = watch(command, ROOT, folder, ONE_THREAD, python)
    values = json.loads((folder / "peer.json").read_text())
    values["updates"] = [Update(*one) for one in values["updates"]]
    return measure(case, process, Loop(**values))


def version_in(python: str, package: str) -> str | None:
    """Return the version of a package in the environment of this interpreter; None if it has none."""
    code = f"import importlib.metadata as m; print(m.version('{package}'))"
    found = subprocess.run([python, "-c", code], capture_output=True, text=True)
    return found.stdout.strip() if found.returncode == 0 else None


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

    from rlexp.files.checkpoint import load

    if not checkpoint.is_file():  # of a commit before safetensors, that bench-compare measures against
        state = torch.load(checkpoint.with_suffix(".ckpt"), weights_only=True)
        parameters = sum(value.numel() for value in state["policy"].values())
        return parameters, int(state["learner"]["optimizer"]["state"][0]["step"])
    saved = load(checkpoint)
    twice = "critic.torso." if saved.config["algo"]["shared_torso"] else "-"  # in the checkpoint by both its names
    weights = [value.numel() for name, value in saved.learner.agent.items() if not name.startswith(twice)]
    return sum(weights), int(saved.learner.optimizers["policy"]["state"][0]["step"])
