"""Start-up: seconds from the command to its help, its config, an error in it, and the first environment step.

usage: python -m benchmarks.startup [--repeats 5] [--only NAME ...] [--store FOLDER]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.first_step import NOTE
from benchmarks.store import ROOT, add_option, save
from benchmarks.tables import spread

FIRST = "first environment step"
COMMANDS = {
    "`--help`": (["--help"], 0),
    "`--cfg job`": (["--cfg", "job"], 0),
    "error: a value out of range": (["algo.gamma=2"], 1),
    "error: an unknown key": (["total_timestep=1"], 1),
    "error: an unknown environment": (["env=gym", "env.id=CartPoll-v1"], 1),
    FIRST: (["env=gym", "env.id=benchmarks.first_step:FirstStep-v0", "total_timesteps=512", "eval.episodes=0"], 0),
}


def seconds(name: str) -> float:
    """Run a command once; return its wall time, or that to the first environment step.

    Raises:
        RuntimeError: it did not end as it should.
    """
    arguments, status = COMMANDS[name]
    with tempfile.TemporaryDirectory(prefix="rlexp-startup-") as folder:
        note = Path(folder) / "note"
        environment = {**os.environ, "PYTHONPATH": str(ROOT), NOTE: str(note)}
        command = [sys.executable, "-m", "rlexp.main", *arguments]
        began = time.time()
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        ended = time.time()
        if done.returncode != status:
            raise RuntimeError(f"{' '.join(command)} exited with {done.returncode}:\n{done.stderr[-2000:]}")
        return (float(note.read_text()) if name == FIRST else ended) - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=tuple(COMMANDS), default=list(COMMANDS), metavar="NAME")
    add_option(parser)
    arguments = parser.parse_args()
    found: dict[str, list[float]] = {name: [] for name in arguments.only}
    try:
        for repeat in range(arguments.repeats + 1):
            for name, values in found.items():
                one = seconds(name)
                if repeat:  # the first fills the file cache
                    values.append(one)
    except RuntimeError as error:
        sys.exit(f"error: {error}")
    for name, values in found.items():
        print(f"{name}: {spread(values, 2)} s")
    save(arguments.store, "startup", {"seconds": found})


if __name__ == "__main__":
    main()
