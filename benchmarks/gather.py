"""How long two ranks on one machine take to gather a gradient: through shared memory, and through gloo.

usage: python -m benchmarks.gather [--rounds 5] [--times 1000]

Prints the median and the range of the rounds, in microseconds a call; the two ways take turns.
"""

from __future__ import annotations

import argparse
import multiprocessing
import socket
import statistics
import time
from typing import Any

import torch
import torch.distributed as dist

from benchmarks.machine import described
from rlexp.launch.board import Board
from rlexp.topology.group import Group

SIZES = (1_000, 9_184, 64_000)
"""Numbers in a gradient; the second is that of CartPole's actor and critic of 64-64."""


def measure(rank: int, board: Board, port: int, rounds: int, times: int, results: Any) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    ways = {"shared memory": Group(board=board), "gloo": Group()}
    for size in SIZES:
        tensor = torch.full((size,), float(rank))
        taken: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(rounds):
            for way, group in ways.items():
                begin = time.perf_counter()
                for _ in range(times):
                    group.borrow(tensor)
                taken[way].append(1e6 * (time.perf_counter() - begin) / times)
        if rank == 0:
            results.put((size, taken))
    dist.destroy_process_group()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--times", type=int, default=1_000)
    arguments = parser.parse_args()
    fork = multiprocessing.get_context("fork")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    board, results = Board(fork, 2, timeout=60), fork.Queue()
    work = (board, port, arguments.rounds, arguments.times, results)
    ranks = [fork.Process(target=measure, args=(rank, *work)) for rank in range(2)]
    for rank in ranks:
        rank.start()
    print(described(), "\n\n| floats | shared memory, us | gloo, us |\n|---|---|---|")
    for _ in SIZES:
        size, taken = results.get(timeout=120)
        cells = [f"{statistics.median(each):.0f} ({min(each):.0f} to {max(each):.0f})" for each in taken.values()]
        print(f"| {size:,} | {' | '.join(cells)} |", flush=True)
    for rank in ranks:
        rank.join()


if __name__ == "__main__":
    main()
