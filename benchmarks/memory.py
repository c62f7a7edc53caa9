"""Memory: the resident memory of the rank over a long run of the user's own command.

usage: python -m benchmarks.memory [--steps 1000000] [--store FOLDER] [KEY=VALUE ...]

The default is experiment=cartpole with 1,000,000 steps; further overrides follow, such as env.backend=torch.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.store import add_option, save

EVERY_SECONDS = 1.0


def resident(parent: int) -> float:
    """Return the resident memory, in MiB, of the largest of a process and its descendants: the rank."""
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,rss="], capture_output=True, text=True, check=True).stdout
    rows = [tuple(map(int, line.split())) for line in listed.splitlines()]
    family = {parent}
    while more := {pid for pid, above, _ in rows if above in family} - family:
        family |= more
    return max((rss for pid, _, rss in rows if pid in family), default=0) / 1024


def steps_so_far(metrics: Path) -> int:
    """Return the environment steps of the last whole row of metrics.csv; 0 before the first."""
    if not metrics.is_file():
        return 0
    whole = metrics.read_text().rpartition("\n")[0].splitlines()
    return int(whole[-1].partition(",")[0]) if len(whole) > 1 else 0


def sample(overrides: list[str]) -> list[tuple[int, float]]:
    """Run to the end; return environment steps and MiB, sampled every second while it trained.

    Raises:
        RuntimeError: the run failed.
    """
    samples = []
    with tempfile.TemporaryDirectory(prefix="rlexp-memory-") as folder:
        command = [sys.executable, "-m", "rlexp.main", *overrides, f"hydra.run.dir={folder}"]
        errors = Path(folder) / "errors"
        with (
            errors.open("w") as file,
            subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=file) as process,
        ):
            while process.poll() is None:
                if steps := steps_so_far(Path(folder) / "metrics.csv"):
                    samples.append((steps, resident(process.pid)))
                    print(f"{steps:,} steps: {samples[-1][1]:.1f} MiB", flush=True)
                try:
                    process.wait(EVERY_SECONDS)
                except subprocess.TimeoutExpired:
                    continue
        said = errors.read_text()
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed:\n{said[-2000:]}")
    return samples


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE")
    add_option(parser)
    arguments = parser.parse_args()
    overrides = ["experiment=cartpole", f"total_timesteps={arguments.steps}", "eval.episodes=0", *arguments.overrides]
    try:
        samples = sample(overrides)
    except RuntimeError as error:
        sys.exit(f"error: {error}")
    if not samples:
        sys.exit("error: the run ended before a sample was taken; give more --steps")
    save(arguments.store, "memory", {"command": " ".join(overrides), "samples": samples})


if __name__ == "__main__":
    main()
