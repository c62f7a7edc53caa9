"""Plugins of Hydra that rlexp does not bring: which package each choice comes from."""

from __future__ import annotations

import difflib

HYDRA = '"hydra-core<1.4"'
"""Beside a plugin: the plugins' own requirements let a pre-release of Hydra in."""
PLUGINS = {
    "hydra/launcher": {
        "joblib": 'pip install "rlexp[joblib]"',
        "submitit_local": 'pip install "rlexp[submitit]"',
        "submitit_slurm": 'pip install "rlexp[submitit]"',
        "ray": 'pip install "rlexp[ray]"',
        "rq": f"pip install hydra-rq-launcher {HYDRA}",
    },
    "hydra/sweeper": {
        "optuna": 'pip install "rlexp[search]"',
        "ax": f"pip install hydra-ax-sweeper {HYDRA}",
        "nevergrad": f"pip install hydra-nevergrad-sweeper {HYDRA}",
    },
    "hydra/hydra_logging": {"colorlog": f"pip install hydra-colorlog {HYDRA}"},
    "hydra/job_logging": {"colorlog": f"pip install hydra-colorlog {HYDRA}"},
}
"""The group, the choice, and the command that installs it."""
OTHERS = {"submitit": "submitit_local", "slurm": "submitit_slurm", "loky": "joblib", "parallel": "joblib"}
"""What people type instead."""


def missing(group: str, choice: str, options: list[str]) -> str | None:
    """Return one line on a choice of a group of Hydra that no installed package brings; None: it is of none known.

    Args:
        group: such as hydra/launcher.
        choice: what was asked for.
        options: the choices that there are.
    """
    if group not in PLUGINS:
        return None
    known = PLUGINS[group]
    near = difflib.get_close_matches(choice, [*known, *options], n=1, cutoff=0.75)
    name = choice if choice in known else OTHERS.get(choice, near[0] if near else "")
    renamed = "" if name == choice else f"{group}={choice} is not a choice; write {group}={name}"
    if name in options:
        return renamed or None
    if name not in known:
        return None
    subject = f"{renamed}, which" if renamed else f"{group}={choice}"
    return f"{subject} needs a package that is missing; install it with: {known[name]}"


def near_group(key: str) -> str | None:
    """Return the group of Hydra that a mistyped one may stand for; None: none."""
    return next(iter(difflib.get_close_matches(key, PLUGINS, n=1, cutoff=0.8)), None)


def needed(key: str) -> str | None:
    """Return which choice has a key of the Hydra namespace that is not there, such as hydra.launcher.n_jobs."""
    node = ".".join(key.split(".")[:2])
    if key.startswith(("hydra.sweeper.sampler_options.", "hydra.sweeper.pruner_options.")):
        return f"{key} is an argument that Optuna's own default decides so far; write +{key}=VALUE"
    choices = {
        "hydra.launcher": "hydra/launcher=joblib, which is one with settings; the default runs one job at a time",
        "hydra.sweeper": "another hydra/sweeper, such as optuna; the default has none but max_batch_size and params",
    }
    return f"{key} needs {choices[node]}" if node in choices and key.count(".") > 1 else None
