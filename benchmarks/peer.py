"""What the peers share: they are timed alike and tell of themselves in one file."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from benchmarks.cases import Case


def settings(case: Case, seed: int, activation: Any) -> dict[str, Any]:
    """Return a case's settings as Stable-Baselines3 and SBX both name them."""
    return {
        "learning_rate": (lambda left: case.learning_rate * left) if case.anneal_lr else case.learning_rate,
        "n_steps": case.num_steps,
        "batch_size": case.batch_size,
        "n_epochs": case.epochs,
        "gamma": case.gamma,
        "gae_lambda": case.gae_lambda,
        "clip_range": case.clip_coef,
        "ent_coef": case.ent_coef,
        "vf_coef": case.vf_coef,
        "max_grad_norm": case.max_grad_norm,
        "policy_kwargs": {"net_arch": {"pi": [64, 64], "vf": [64, 64]}, "activation_fn": activation},
        "seed": seed,
    }


class Timed:
    """For a PPO of Stable-Baselines3's make: notes of every update the seconds of its parts.

    `updates` holds the seconds of collection, of training, and of both with all that lies between.
    """

    def collect_rollouts(self, *args: Any, **kwargs: Any) -> bool:
        begin = time.perf_counter()
        if not hasattr(self, "updates"):
            self.updates: list[tuple[float, float, float]] = []
            self.last = begin
        goes_on = super().collect_rollouts(*args, **kwargs)
        self.collect_seconds = time.perf_counter() - begin
        return goes_on

    def train(self) -> None:
        begin = time.perf_counter()
        super().train()
        now = time.perf_counter()
        self.updates.append((self.collect_seconds, now - begin, now - self.last))
        self.last = now


def tell(folder: Path, model: Timed, ended: float, parameters: int, optimizer_steps: int) -> None:
    """Write peer.json."""
    values = {
        "updates": model.updates,
        "ended": ended,
        "parameters": parameters,
        "optimizer_steps": optimizer_steps,
    }
    (folder / "peer.json").write_text(json.dumps(values))
