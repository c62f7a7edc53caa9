"""Memory and open files stay flat, however long a run or a sweep."""

import time
from pathlib import Path

import pytest

from tests.commands import metrics, summary, wait_for
from tests.launch.forked import small, start

MEGABYTE = 2**20


def memory(pid: int) -> int:
    """Return the bytes of memory that belong to a process alone and are in use."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return 1024 * int(line.split()[1])
    raise AssertionError(f"process {pid} is gone")


def files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def steps_done(run_dir: Path) -> int:
    return int(metrics(run_dir)[-1]["env_steps"]) if (run_dir / "metrics.csv").exists() and metrics(run_dir) else 0


REPLAY = (
    "algo=rainbow", "algo.learning_starts=1000", "algo.replay_ratio=0.002", "algo.hidden_sizes=[16]",
    "memory.size=10000",
)  # fmt: skip


@pytest.mark.parametrize("algorithm", [(), REPLAY])
@pytest.mark.parametrize(
    "steps", [pytest.param(100_000, marks=pytest.mark.slow), pytest.param(1_000_000, marks=pytest.mark.torture)]
)
def test_memory_and_open_files_of_a_run_stay_flat(steps, algorithm, tell, tmp_path):
    """Measured from a fifth of the run on, by when what is allocated once has been."""
    shape = ("env.num_envs=32", "algo.num_steps=64", "algo.per_rank_batch_size=2048", "algo.update_epochs=1")
    shape = (*shape, *algorithm)
    options = ("env.normalize_observations=true", "env.normalize_rewards=true", "checkpoint.every=10000")
    # it ends later than it is looked at, so that the process is there to be measured
    command = start(*small(*shape, *options, f"total_timesteps={10 * steps}"), cwd=tmp_path / "cwd")
    try:
        run_dir = command.cwd / "RUN"
        wait_for(lambda: steps_done(run_dir) >= steps // 5, "a fifth of the steps", 600)
        (rank,) = command.ranks()
        before = [(memory(pid), files(pid)) for pid in (command.pid, rank)]
        wait_for(lambda: steps_done(run_dir) >= steps, "the steps", 1800)
        after = [(memory(pid), files(pid)) for pid in (command.pid, rank)]
    finally:
        command.kill()
    for (bytes_before, files_before), (bytes_after, files_after) in zip(before, after, strict=True):
        assert bytes_after - bytes_before < 4 * MEGABYTE
        assert abs(files_after - files_before) <= 1  # a checkpoint may be under way
    growth = max(later - earlier for (earlier, _), (later, _) in zip(before, after, strict=True))
    name = f"a run of {steps:,} steps{' with a replay memory' if algorithm else ''}"
    tell(name, f"memory grew by {growth / MEGABYTE:.1f} MiB after a fifth of it, open files flat")


@pytest.mark.parametrize("jobs", [pytest.param(8, marks=pytest.mark.slow), pytest.param(50, marks=pytest.mark.torture)])
def test_memory_and_open_files_of_a_sweep_in_one_process_stay_flat(jobs, tell, tmp_path):
    """Measured from the fourth job on, after each job."""
    seeds = ",".join(map(str, range(jobs)))
    words = [word for word in small("total_timesteps=32") if not word.startswith("hydra.run.dir")]
    command = start("--multirun", *words, "hydra.sweep.dir=SWEEP", f"seed={seeds}", cwd=tmp_path / "cwd")
    sweep, seen = command.cwd / "SWEEP", {}

    def completed() -> int:
        done = 0
        for path in sweep.glob("*/summary.json"):
            done += summary(path.parent)["state"] == "completed"
        return done

    deadline = time.monotonic() + 10 * jobs + 60
    while (count := completed()) < jobs:
        assert time.monotonic() < deadline, command.stderr
        if not command.ranks():  # between two jobs, or before the first
            seen[count] = (memory(command.pid), files(command.pid))
        time.sleep(0.005)
    assert command.wait() == 0
    counts = sorted(count for count in seen if count >= 3)
    assert len(counts) >= 3, seen
    first, last = seen[counts[0]], seen[counts[-1]]
    assert last[0] - first[0] < 8 * MEGABYTE, seen
    # The least of three: a job's pipes may still be open when it is looked at.
    assert min(seen[count][1] for count in counts[-3:]) <= first[1] + 1, seen
    grown = (last[0] - first[0]) / MEGABYTE
    tell(
        f"a sweep of {jobs} jobs in one process", f"memory grew by {grown:.1f} MiB after the third job, open files flat"
    )
