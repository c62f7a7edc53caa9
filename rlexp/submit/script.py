"""The script of an array of jobs, and what each of its jobs needs."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from rlexp.config.schema import Config
from rlexp.errors import ConfigError

JOBS, SCRIPT = "jobs.txt", "submit.sbatch"
SAVE_SECONDS = 120
"""Between the signal and the end of the time that a job has."""
OURS = ("array", "output", "error", "signal", "requeue", "open-mode", "wrap", "ntasks", "nodes")
"""Options of sbatch that the script needs as they are."""
BODY = """\
set -u
cd {here}
eval "words=($(sed -n "$((SLURM_ARRAY_TASK_ID + 1))p" {jobs}))"
{python} -m rlexp.main "${{words[@]}}" &
run=$!
stopped=
trap 'stopped=1; kill -TERM $run' USR1  # {seconds} seconds before the time is over: the run saves and ends
trap 'kill -TERM $run' TERM  # scancel: the same, and it is not queued again
wait $run
status=$?
while kill -0 $run 2> /dev/null; do wait $run; status=$?; done
if [ -n "$stopped" ] && [ $status -eq 143 ]; then
  scontrol requeue "${{SLURM_ARRAY_JOB_ID}}_${{SLURM_ARRAY_TASK_ID}}"  # resume=auto continues there
fi
exit $status
"""


def resources(config: Config) -> dict[str, str]:
    """Return the options of sbatch that an experiment needs, by their names.

    Raises:
        ConfigError: it needs more than one machine.
    """
    if config.fabric.num_nodes > 1:
        raise ConfigError(
            f"fabric.num_nodes={config.fabric.num_nodes}: submit takes runs of one machine; start torchrun in a script "
            "of your own (docs/distributed.md)"
        )
    ranks, threads = config.fabric.devices, config.fabric.threads_per_rank
    cpus = ranks * (threads if isinstance(threads, int) else 1)
    if config.env.vectorization == "async":
        cpus += config.players * config.env.num_envs
    found = {"cpus-per-task": str(cpus)}
    if config.fabric.accelerator in ("cuda", "gpu"):
        player = config.topology.name == "decoupled" and config.topology.player_accelerator == "cpu"
        found["gpus-per-task"] = str(ranks - player)
    return found


def at_most(needs: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Return the most that any of several jobs needs: all jobs of an array get the same."""
    keys = dict.fromkeys(key for need in needs for key in need)
    return {key: str(max(int(need.get(key, "0")) for need in needs)) for key in keys}


def script_of(options: Mapping[str, str], count: int, folder: Path, here: Path) -> str:
    """Return the script.

    Args:
        options: of sbatch, by their names without dashes in front; empty values are switches.
        count: of jobs.
        folder: of the sweep, which holds the words of the jobs.
        here: where the commands run.
    """
    fixed = {
        "job-name": "rlexp",
        "array": f"0-{count - 1}",
        "nodes": "1",
        "ntasks": "1",
        "signal": f"B:USR1@{SAVE_SECONDS}",
        "requeue": "",
        "open-mode": "append",
        "output": f"{str(folder).replace('%', '%%')}/%a.log",
    }
    lines = [f"#SBATCH --{key}{'=' if value else ''}{_quoted(value)}" for key, value in {**fixed, **options}.items()]
    quoted = {"here": here, "jobs": folder / JOBS, "python": sys.executable}
    body = BODY.format(seconds=SAVE_SECONDS, **{key: shlex.quote(str(value)) for key, value in quoted.items()})
    return "\n".join(["#!/bin/bash", *lines, body])


def _quoted(value: str) -> str:
    """Return a value as the comments of a script take it."""
    return value if re.fullmatch(r"[\w./:@%+,=-]*", value) else '"' + value.replace('"', r"\"") + '"'
