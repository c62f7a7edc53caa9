"""Jobs of a sweep as tasks of a Ray cluster: each is the training command in a process of its own.

Nothing is forked in Ray's workers, which hold threads. Folders must be shared by the machines of the cluster.
"""

from __future__ import annotations

import contextlib
import importlib.util
import math
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import DictConfig, OmegaConf, open_dict

from rlexp.command.sweep import Refused, current, record
from rlexp.command.sweep_jobs import key_of
from rlexp.config.compose import typed
from rlexp.config.hydra_plugins import PLUGINS
from rlexp.files.summary import Summary
from rlexp.show.lines import hydra_quoted
from rlexp.submit.script import resources

OF_THE_SWEEP = ("search", "resume", "sweep.skip_completed")
"""Keys of words that a job, which is a run of its own, does not take."""
NAMES = {"cpus-per-task": "num_cpus", "gpus-per-task": "num_gpus"}


def launch(settings: Mapping[str, Any], batch: Sequence[Sequence[str]], first: int, config: DictConfig,
           loader: ConfigLoader) -> list[JobReturn]:  # fmt: skip
    """Run jobs on a Ray cluster; return what each came to.

    Args:
        settings: those of the launcher.
        batch: words of each job.
        first: number of the first.
        config: of the sweep, with Hydra's node.
        loader: composes jobs.

    Raises:
        Refused: Ray is not installed.
    """
    if importlib.util.find_spec("ray") is None:
        raise Refused([f"hydra/launcher=ray needs a package; install it with: {PLUGINS['hydra/launcher']['ray']}"])
    import ray  # an extra, and seconds

    if not ray.is_initialized():
        ray.init(address=settings["address"], log_to_driver=False, **_plain(settings["init"]))
    task = ray.remote(_run)
    waiting = []
    for number, words in enumerate(batch, first):
        own, place, needs = _job(list(words), number, config, loader)
        options = {"max_retries": settings["retries"], "retry_exceptions": True} | needs | _plain(settings["remote"])
        waiting.append((place, task.options(**options).remote(own, os.getcwd(), number)))
    found = []
    for place, result in waiting:
        with contextlib.suppress(ray.exceptions.RayError):  # the summary says what was wrong
            said = ray.get(result)
            if said:
                print(said, file=sys.stderr, flush=True)
        summary = Summary(place).peek()
        objective = summary.get("objective") if summary.get("state") == "completed" else None
        done = JobReturn()
        done.return_value, done.status = math.nan if objective is None else objective, JobStatus.COMPLETED
        found.append(done)
    return found


def _job(words: list[str], number: int, config: DictConfig, loader: ConfigLoader) -> tuple[list[str], Path, Any]:
    """Return the words of a job's command, its directory, and the resources that Ray reserves for it."""
    job = loader.load_sweep_config(config, words)
    with open_dict(job):
        job.hydra.job.num, job.hydra.job.id = number, str(number)
    before = HydraConfig.instance().cfg
    try:
        HydraConfig.instance().set_config(job)
        begun = current()
        assert begun is not None
        place = begun.directory / str(job.hydra.sweep.subdir)
        record(job.hydra, place)
        task = [word for word in job.hydra.overrides.task if key_of(word) not in OF_THE_SWEEP]
        own = [*task, f"hydra.run.dir={hydra_quoted(place)}", "resume=auto"]
        with open_dict(job):
            del job["hydra"]
        needs = {NAMES[key]: int(value) for key, value in resources(typed(job)).items()}
    finally:
        HydraConfig.instance().cfg = before
    return own, place, needs


def _run(words: list[str], here: str, number: int) -> str:
    """Run the training command, in a worker; a process that was killed is started again by Ray, and resumes."""
    command = [sys.executable, "-m", "rlexp.main", *words]
    done = subprocess.run(command, cwd=here, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode < 0 or done.returncode in (130, 143):
        raise RuntimeError(f"job {number} was killed by signal {-done.returncode}")
    return "".join(f"[{number}] {line}\n" for line in done.stderr.splitlines()).rstrip() if done.returncode else ""


def _plain(values: Any) -> dict[str, Any]:
    return dict(OmegaConf.to_container(values)) if OmegaConf.is_config(values) else dict(values)  # type: ignore[arg-type]
