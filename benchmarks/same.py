"""Show that two commits train the same: weights and metrics of short runs, bit for bit.

usage: python -m benchmarks.same --rev REV [--only WORD]    (make same REV=main)

Each case runs in a worktree of REV and in the working tree. Weights are compared as a set of tensors, whatever their
names; metrics are compared by the columns that both have, except times.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SMALL = "algo.num_steps=32 env.num_envs=4 checkpoint.every=0 eval.episodes=2 log.every=1"
ENVIRONMENTS = {
    "cartpole": "env=cartpole total_timesteps=768",
    "pendulum": "env=pendulum total_timesteps=768 env.normalize_observations=true env.normalize_rewards=true",
    "lunarlander": "env=lunarlander total_timesteps=768",
    "image": "env=gym env.id=tests.environments:Picture env.max_episode_steps=20 total_timesteps=768",
    "dict": "env=gym env.id=tests.environments:Mixed env.max_episode_steps=20 total_timesteps=768",
}
WAYS = {
    "alone": "",
    "two-ranks": "fabric.devices=2 total_timesteps=1536",
    "shared": "fabric.devices=2 topology.share_data=true total_timesteps=1536",
    "decoupled": "topology=decoupled fabric.devices=2",
    "decoupled-3": "topology=decoupled fabric.devices=3",
    "overlap": "topology=decoupled fabric.devices=2 topology.overlap=true",
    "decoupled-shared": "topology=decoupled fabric.devices=3 topology.share_data=true topology.overlap=true",
}
FURTHER = {
    "cartpole a2c tanh-less rmsprop": "env=cartpole algo=a2c env.num_envs=8 total_timesteps=1200 algo.num_steps=5",
    "cartpole bf16-mixed": "env=cartpole total_timesteps=768 fabric.precision=bf16-mixed",
    "cartpole bf16-true": "env=cartpole total_timesteps=768 fabric.precision=bf16-true",
    "cartpole shared torso": "env=cartpole total_timesteps=768 algo.shared_torso=true algo.target_kl=0.001",
    "cartpole annealed clip": "env=cartpole total_timesteps=768 algo.anneal_clip_coef=true algo.clip_vloss=false",
    "cartpole envpool": "env=cartpole total_timesteps=768 env.backend=envpool",
    "cartpole envpool shared": "env=cartpole total_timesteps=1536 env.backend=envpool fabric.devices=2 "
    "topology.share_data=true algo.per_rank_batch_size=null",
    "cartpole vector": "env=cartpole total_timesteps=768 env.vectorization=vector",
    "cartpole async": "env=cartpole total_timesteps=768 env.vectorization=async",
    "cartpole tensors": "env=cartpole total_timesteps=4096 env.backend=torch env.num_envs=16",
    "pendulum tensors": "env=pendulum total_timesteps=4096 env.backend=torch env.num_envs=16 env.action_bounds=tanh",
    "pendulum tanh": "env=pendulum total_timesteps=768 env.action_bounds=tanh",
    "pendulum adamw": "env=pendulum total_timesteps=768 algo.optimizer=adamw algo.weight_decay=0.01",
    "pendulum skip": "env=pendulum total_timesteps=768 algo.skip_nonfinite_gradients=true",
    "cartpole sgd no clipping": "env=cartpole total_timesteps=768 algo.optimizer=sgd algo.max_grad_norm=0",
    "cartpole preset": "experiment=cartpole total_timesteps=2560",
    "lunarlander preset": "experiment=lunarlander total_timesteps=32768",
}
COMPILED = ("cartpole ppo alone", "cartpole ppo two-ranks", "cartpole ppo overlap", "pendulum ppo alone",
            "dict ppo alone", "image a2c alone", "cartpole a2c decoupled-3", "cartpole tensors", "pendulum adamw",
            "cartpole shared torso", "cartpole bf16-mixed")  # fmt: skip
"""Cases that also run compiled."""
TIMES = ("seconds", "Time/step_per_second", "Time/seconds", "Time/collect_seconds", "Time/update_seconds")


def cases() -> dict[str, str]:
    """Return the words of each case by its name; the last of two words for one key counts."""
    found = {}
    for env, words in ENVIRONMENTS.items():
        for way, more in WAYS.items():
            for algo in ("ppo", "a2c") if way in ("alone", "decoupled-3", "overlap") else ("ppo",):
                found[f"{env} {algo} {way}"] = f"algo={algo} {words} {SMALL} algo.per_rank_batch_size=32 {more}"
    for name, words in FURTHER.items():
        found[name] = words if "preset" in name or "a2c" in name else f"{SMALL} {words}"
    compiled = {f"{name} compiled": f"{found[name]} compile=true" for name in COMPILED}
    return {name: f"compile=false {words}" for name, words in found.items()} | compiled


def outcome(tree: Path, words: str) -> dict[str, Any]:
    """Run a case with the code in `tree`; return a hash of its weights, and its metrics by column."""
    last: dict[str, str] = {}
    for word in words.split():
        last.pop(word.partition("=")[0], None)
        last[word.partition("=")[0]] = word
    last.pop("log.every", None)
    if (tree / "rlexp" / "data").is_dir():  # before log.every there was a row an update
        last["log.every"] = "log.every=1"
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "rlexp.main", *last.values(), f"hydra.run.dir={folder}/run"]
        environment = {**os.environ, "PYTHONPATH": str(tree)}
        done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            return {"failed": done.stderr[-500:]}
        return {"weights": weights(Path(folder, "run", "checkpoints")), **metrics(Path(folder, "run", "metrics.csv"))}


def weights(folder: Path) -> str:
    """Return a hash of the policy's tensors in the last checkpoint, in whatever order and under whatever names."""
    import torch
    from safetensors.torch import load_file

    if (folder / "last.ckpt").is_file():
        policy = torch.load(folder / "last.ckpt", map_location="cpu", weights_only=True)["policy"]
    else:
        found = load_file(folder / "last.safetensors")
        policy = {name: value for name, value in found.items() if name.startswith("learner.agent.")}
    parts = []
    for value in policy.values():
        if value.numel():
            content = value.contiguous().view(-1).view(torch.uint8).numpy().tobytes()
            parts.append(f"{list(value.shape)} {value.dtype}".encode() + content)
    return hashlib.sha256(b"".join(sorted(parts))).hexdigest()[:16]


def metrics(path: Path) -> dict[str, list[str]]:
    """Return the columns of metrics.csv, without times."""
    with path.open() as file:
        rows = list(csv.DictReader(file))
    return {name: [row[name] for row in rows] for name in rows[0] if name not in TIMES}


def different(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Return what differs between two outcomes."""
    if "failed" in before or "failed" in after:
        return [f"failed: {before.get('failed', 'not before')} / {after.get('failed', 'not after')}"]
    return [name for name in before.keys() & after.keys() if before[name] != after[name]]


def main() -> int:
    """Compare every case; return how many differ."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rev", default="HEAD", help="the commit before")
    parser.add_argument("--only", default="", help="cases whose names hold this")
    parser.add_argument("--kept", type=Path, help="a file where the outcomes of REV are kept between calls")
    options = parser.parse_args()
    kept = json.loads(options.kept.read_text()) if options.kept and options.kept.is_file() else {}
    tree, bad = Path(tempfile.mkdtemp()) / "before", 0
    subprocess.run(["git", "worktree", "add", "--detach", str(tree), options.rev], cwd=ROOT, check=True)
    try:
        for name, words in cases().items():
            if options.only not in name:
                continue
            if words not in kept:
                kept[words] = outcome(tree, words)
                if options.kept:
                    options.kept.write_text(json.dumps(kept))
            found = different(kept[words], outcome(ROOT, words))
            bad += bool(found)
            print(f"{'equal' if not found else 'DIFFERENT: ' + ', '.join(found)}: {name}", flush=True)
    finally:
        subprocess.run(["git", "worktree", "remove", "--force", str(tree)], cwd=ROOT, check=True)
        shutil.rmtree(tree.parent, ignore_errors=True)
    print(f"{bad} cases differ")
    return bad


if __name__ == "__main__":
    sys.exit(min(1, main()))
