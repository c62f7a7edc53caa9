"""What the peers share: they are timed alike and tell of themselves in one file."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any


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
