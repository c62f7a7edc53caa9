"""The command that submits runs to SLURM and returns.

usage: python -m rlexp.submit [--dry-run] [--multirun] [slurm.OPTION=VALUE ...] [the words of rlexp.main ...]

Every run is one job of an array: python -m rlexp.submit --multirun seed=1,2,3 slurm.partition=gpu slurm.time=4:00:00
slurm.OPTION=VALUE is any option of sbatch (slurm.cpus_per_task=8, slurm.array_limit=4: at most four at once). What a
job needs follows from the experiment: one core a rank, more for environments in processes of their own, a GPU a rank.
Shortly before its time is over a job saves, ends, and is queued again; it then resumes. --dry-run writes the script
without submitting it.
"""

from __future__ import annotations

import importlib.metadata
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from rlexp.errors import ConfigError

DRY, MULTIRUN = "--dry-run", ("-m", "--multirun")
PREFIX, LIMIT = "slurm.", "array-limit"


def split(arguments: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Return the words of the runs, and the options of sbatch by their names.

    Raises:
        ConfigError: an option has no value, or is one that the script needs as it is.
    """
    from rlexp.submit.script import OURS

    words, options = [], {}
    for word in arguments:
        if "\n" in word:
            raise ConfigError(f"{word!r} holds a line break, which a script of jobs cannot")
        if not word.startswith(PREFIX):
            words.append(word)
            continue
        key, equals, value = word.removeprefix(PREFIX).partition("=")
        name = key.replace("_", "-")
        if not equals or not name:
            raise ConfigError(f"{word} is not of the form slurm.OPTION=VALUE")
        if name in OURS:
            raise ConfigError(f"{word}: the script of an array sets --{name} itself; leave it out")
        options[name] = value
    return words, options


def main(arguments: Sequence[str], here: Path) -> str:
    """Write the jobs and their script, submit them, and return what is to be said.

    Raises:
        ConfigError: a run cannot start so, or SLURM is not here or refuses.
    """
    from rlexp.submit.jobs import expanded
    from rlexp.submit.script import JOBS, SCRIPT, at_most, resources, script_of

    words, options = split([word for word in arguments if word != DRY])
    multirun = any(word in MULTIRUN for word in words)
    folder = here / "outputs" / "sweeps" / datetime.now().strftime("%Y-%m-%d_%H-%M-%S-%f")
    jobs = expanded([word for word in words if word not in MULTIRUN], multirun, folder)
    limit = options.pop(LIMIT, "")
    needs = at_most([resources(job.config) for job in jobs])
    text = script_of({**needs, **options}, len(jobs), folder, here)
    if limit:
        text = text.replace(f"--array=0-{len(jobs) - 1}", f"--array=0-{len(jobs) - 1}%{limit}")
    folder.mkdir(parents=True)
    (folder / JOBS).write_text("".join(f"{shlex.join(job.words)}\n" for job in jobs))
    script = folder / SCRIPT
    script.write_text(text)
    place = script.relative_to(here)
    if DRY in arguments:
        return f"written, not submitted: {place}\nsubmit it:\nsbatch {shlex.quote(str(place))}"
    if shutil.which("sbatch") is None:
        raise ConfigError(f"sbatch is not found; on a machine of the cluster, submit what is written: sbatch {place}")
    done = subprocess.run(["sbatch", str(script)], capture_output=True, text=True, check=False)
    if done.returncode:
        said = " ".join(done.stderr.split())
        raise ConfigError(f"sbatch refused {place}: {said}")
    runs = folder.relative_to(here)
    return "\n".join([done.stdout.strip(), f"{len(jobs)} runs:", str(runs), "see how they do:", "squeue --me",
                      "compare them:", f"python -m rlexp.compare {runs}"])  # fmt: skip


def cli() -> None:
    """Run the command and exit: 0, or 1 with one line on the standard error."""
    words = sys.argv[1:]
    if {"-h", "--help"} & set(words):
        print(__doc__)
        return
    if "--version" in words:
        print(f"rlexp {importlib.metadata.version('rlexp')}")
        return
    try:
        print(main(words, Path.cwd()))
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    cli()
