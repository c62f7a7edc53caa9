"""Speed of SAC, TD3, DroQ and DQN against Stable-Baselines3 and SBX, into docs/benchmarks.md.

usage: python -m benchmarks.replay [--cases NAME ...] [--repeats 5] [--sbx-python PATH] [--page]

Every measurement is a process of its own, and all sides take turns. rlexp's side is the user's own command; the first
steps of every side, in which it compiles, are left out. Results so far lie in outputs/replay-speed.json.
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
from pathlib import Path

from benchmarks.machine import described
from benchmarks.replay_cases import CASES, ReplayCase

STORE, PAGE = Path("outputs/replay-speed.json"), Path("docs/benchmarks.md")
MARK, END = "<!-- replay -->\n", "<!-- end of replay -->\n"
WAYS = {
    "rlexp eager": ("compile=false", "fabric.threads_per_rank=2"),
    "rlexp compiled, 1 thread": ("compile=true", "fabric.threads_per_rank=1"),
    "rlexp compiled": ("compile=true", "fabric.threads_per_rank=2"),
    "rlexp compiled, bf16": ("compile=true", "fabric.threads_per_rank=2", "fabric.precision=bf16-mixed"),
    "rlexp overlap": ("compile=true", "topology=decoupled", "fabric.devices=2", "topology.overlap=true",
                      "fabric.threads_per_rank=1"),
    "rlexp overlap, bf16": ("compile=true", "topology=decoupled", "fabric.devices=2", "topology.overlap=true",
                            "fabric.threads_per_rank=1", "fabric.precision=bf16-mixed"),
}  # fmt: skip
PEERS = {"SB3, 1 thread": ("sb3", 1), "SB3, 2 threads": ("sb3", 2), "SBX": ("sbx", 2)}


def ours(case: ReplayCase, words: tuple[str, ...]) -> float:
    """Return rlexp's environment steps a second after the warm-up."""
    with tempfile.TemporaryDirectory() as folder:
        fixed = (f"total_timesteps={case.steps}", "eval.episodes=0", "checkpoint.every=0", "log.every=100")
        command = [sys.executable, "-m", "rlexp.main", *case.words, *words, *fixed, f"hydra.run.dir={folder}/run"]
        subprocess.run(command, check=True, capture_output=True)
        rows = list(csv.DictReader(Path(folder, "run", "metrics.csv").read_text().splitlines()))
    first = next(row for row in rows if int(row["env_steps"]) >= case.warm_up)
    steps = int(rows[-1]["env_steps"]) - int(first["env_steps"])
    return steps / (float(rows[-1]["seconds"]) - float(first["seconds"]))


def peer(name: str, case: ReplayCase, library: str, threads: int, python: str) -> float:
    """Return a peer's environment steps a second after the warm-up."""
    words = [library, name, str(case.steps), str(case.warm_up), str(threads)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(
        [python, "-m", "benchmarks.peer_replay", *words], check=True, capture_output=True, text=True, env=environment
    )
    return float(json.loads(done.stdout.splitlines()[-1]))


def measure(name: str, repeats: int, sides: list[str], sbx: str) -> dict[str, list[float]]:
    """Return the steps a second of the sides of a case, in turns."""
    case, found = CASES[name], dict[str, list[float]]()
    for _ in range(repeats):
        for title, words in WAYS.items():
            if title in sides:
                found.setdefault(title, []).append(ours(case, words))
        for title, (library, threads) in PEERS.items():
            if title in sides and library in case.libraries:
                python = sbx if library == "sbx" else sys.executable
                found.setdefault(title, []).append(peer(name, case, library, threads, python))
        print(name, {title: round(values[-1], 1) for title, values in found.items()}, flush=True)
    return found


def table(name: str, sides: dict[str, list[float]]) -> str:
    """Return the table of a case."""
    medians = {title: statistics.median(values) for title, values in sides.items()}
    sb3 = max((value for title, value in medians.items() if title.startswith("SB3")), default=None)
    sbx = medians.get("SBX")
    runs = min(map(len, sides.values()))
    lines = [
        f"### {CASES[name].title} ({runs} runs of each side)",
        "",
        "| | steps/s | least to most | of SB3 | of SBX |",
        "|---|---|---|---|---|",
    ]
    for title, value in sorted(medians.items(), key=lambda item: -item[1]):
        ratios = [f"{value / other:.2f}" if other else "" for other in (sb3, sbx)]
        spread = f"{min(sides[title]):,.0f} to {max(sides[title]):,.0f}"
        lines.append(f"| {title} | {value:,.0f} | {spread} | {' | '.join(ratios)} |")
    return "\n".join(lines)


def section(store: dict[str, dict[str, list[float]]], made: str) -> str:
    """Return the section of the page."""
    tables = "\n\n".join(table(name, store[name]) for name in CASES if name in store)
    return f"""{MARK}## From a replay memory

Made by `make bench-replay`. {made}

Medians of runs that take turns. Steps/s are environment steps of the whole loop after the warm-up, in which every side
compiles. Ratios are to Stable-Baselines3 (SB3; the better of the numbers of threads that are listed) and to SBX (the
same on JAX, with two threads). rlexp has two threads unless it says otherwise, and its default `algo.num_steps=4`:
four steps, then the gradient steps that they owe. Overlap is `topology=decoupled` on two ranks of one thread: the
player steps while the trainer learns.

{tables}
{END}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--sides", nargs="+", choices=[*WAYS, *PEERS], default=[*WAYS, *PEERS], metavar="SIDE")
    parser.add_argument("--sbx-python", default=sys.executable, help="an interpreter that can import sbx")
    parser.add_argument("--page", action="store_true", help="write the page from what is there")
    arguments = parser.parse_args()
    store = json.loads(STORE.read_text()) if STORE.is_file() else {}
    for name in [] if arguments.page else arguments.cases:
        store[name] = measure(name, arguments.repeats, arguments.sides, arguments.sbx_python)
        STORE.parent.mkdir(exist_ok=True)
        STORE.write_text(json.dumps(store, indent=1))
    page = PAGE.read_text()
    before, after = page.partition(MARK)[0].rstrip() + "\n\n", page.partition(END)[2]
    PAGE.write_text(before + section(store, described()) + after)
    print(f"written: {PAGE}")


if __name__ == "__main__":
    main()
