"""Time to write a page of many runs, and its size: `make bench-pages`.

usage: python -m benchmarks.pages [--runs 200] [--rows 2000] [--groups 20]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.machine import described
from tests.report.files import write_run

COLUMNS = 15
"""Scalars of a run beside those that every run has."""


def write_runs(folder: Path, runs: int, rows: int, groups: int) -> None:
    """Write the files of runs with random curves, in groups of equal settings."""
    draw = np.random.default_rng(0)
    for number in range(runs):
        steps = np.arange(1, rows + 1)
        values = np.column_stack([1000 * steps, steps, draw.normal(size=(rows, 3)).cumsum(0)])
        directory = folder / f"{number}-job"
        write_run(
            directory, float(draw.normal()), number // groups, steps=1000 * rows, algo__gamma=number % groups / 100
        )
        more = draw.normal(size=(rows, COLUMNS))
        head = "env_steps,seconds,Rewards/rew_avg,Time/collect_seconds,Time/update_seconds,"
        head += ",".join(f"Loss/scalar_{column}" for column in range(COLUMNS))
        np.savetxt(directory / "metrics.csv", np.hstack([values, more]), "%.10g", ",", header=head, comments="")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--groups", type=int, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        write_runs(Path(name), options.runs, options.rows, options.groups)
        begin = time.perf_counter()
        subprocess.run([sys.executable, "-m", "rlexp.report", name], check=True, capture_output=True)
        seconds, size = time.perf_counter() - begin, Path(name, "report.html").stat().st_size
    print(f"{options.runs} runs x {options.rows:,} rows: {seconds:.1f} s, {size / 1e6:.2f} MB; {described()}")


if __name__ == "__main__":
    main()
