"""A peer: SAC, TD3 or DQN of Stable-Baselines3 or SBX (the same on JAX) at a case's settings, in a process of its own.

usage: python -m benchmarks.peer_replay sb3|sbx CASE STEPS WARM_UP THREADS

Prints the environment steps a second after the warm-up as JSON. `benchmarks.replay` runs this.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from typing import Any

from benchmarks.replay_cases import CASES


def main() -> None:
    library, name, steps, warm_up, threads = sys.argv[1:]
    case = CASES[name]
    if library == "sbx":  # JAX takes its threads from the cores of the process
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(threads)])
    import torch
    from stable_baselines3.common.callbacks import BaseCallback

    torch.set_num_threads(int(threads))

    class Clock(BaseCallback):  # type: ignore[misc]  # untyped
        """Notes the time at the end of the warm-up."""

        begin = 0.0

        def _on_step(self) -> bool:
            if self.num_timesteps == int(warm_up):
                self.begin = time.perf_counter()
            return True

    made: Any = getattr(importlib.import_module({"sb3": "stable_baselines3", "sbx": "sbx"}[library]), case.peer)
    settings: dict[str, Any] = dict(case.peer_settings)
    policy = dict(settings.pop("policy_kwargs", {}))
    if library == "sbx":
        policy |= case.sbx_policy
        settings |= case.sbx_settings
    else:
        settings["device"] = "cpu"
    model, clock = made("MlpPolicy", case.env_id, policy_kwargs=policy, seed=1, **settings), Clock()
    model.learn(int(steps), callback=clock)
    print(json.dumps((int(steps) - int(warm_up)) / (time.perf_counter() - clock.begin)))


if __name__ == "__main__":
    main()
