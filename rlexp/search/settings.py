"""Settings of a search, declared once: they are also the schema of hydra.sweeper (`hydra_plugins/rlexp_optuna`).

Hydra imports this at every start, so it imports nothing heavy.
"""

# No `from __future__ import annotations`: Hydra reads the types.
from dataclasses import dataclass, field
from typing import Any


@dataclass
class SearchSettings:
    """Settings of a search; see docs/tuning.md.

    Attributes:
        trials: of the whole study; those of earlier commands count.
        at_once: trials that are launched together; None: as many as joblib runs at once.
        sampler: a key of `rlexp.search.study.SAMPLERS`.
        sampler_options: arguments of it.
        sampler_seed: its seed.
        pruner: a key of `rlexp.learn.search.PRUNERS`.
        pruner_options: arguments of it.
        promising: share of the best trials so far that are run with all seeds; 1: all.
        storage: URL of a database, such as sqlite:///search.db; None: a journal in the sweep's directory.
        study: name of the study in it.
        params: the space, by keys, in the words of Hydra's sweeps.
    """

    trials: int = 30
    at_once: int | None = None
    sampler: str = "tpe"
    sampler_options: dict[str, Any] = field(default_factory=dict)
    sampler_seed: int = 0
    pruner: str = "median"
    pruner_options: dict[str, Any] = field(default_factory=dict)
    promising: float = 1.0
    storage: str | None = None
    study: str = "rlexp"
    params: dict[str, Any] = field(default_factory=dict)
