"""The least CPU time of one rollout and of one update, in this process: a figure that other processes disturb little.

usage: PYTHONPATH=TREE python -m benchmarks.minima [--env lunarlander] [--num-envs 16] [--num-steps 128] [--batch 64]
                                                   [--repeats 12]

Run it by turns with the path of another tree, such as a worktree of another commit, to compare two of them.
"""

from __future__ import annotations

import argparse
import time

import torch
from lightning.fabric import Fabric

from tests.helpers import agent, learner


def main() -> None:
    """Print both figures, in milliseconds."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--env", default="lunarlander")
    parser.add_argument("--num-envs", type=int, default=16)
    parser.add_argument("--num-steps", type=int, default=128)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=12)
    options = parser.parse_args()
    torch.set_num_threads(1)
    made = agent(
        f"env={options.env}",
        f"env.num_envs={options.num_envs}",
        f"algo.num_steps={options.num_steps}",
        f"algo.per_rank_batch_size={options.batch}",
    )
    teacher = learner(made.config, made.policy, Fabric(accelerator="cpu", devices=1))
    collect, update = [], []
    for _ in range(options.repeats):
        begin = time.process_time()
        collected = made.player.collect()
        middle = time.process_time()
        teacher.update(getattr(collected, "rollout", collected), 1.0)
        collect.append(middle - begin)
        update.append(time.process_time() - middle)
    made.player.close()
    print(f"collect {1e3 * min(collect):.2f} ms, update {1e3 * min(update):.2f} ms")


if __name__ == "__main__":
    main()
