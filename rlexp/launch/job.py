"""What every rank is started with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlexp.config.code import own_modules
from rlexp.config.compose import algorithm_name
from rlexp.config.schema import Config
from rlexp.data.resuming import ResumePoint
from rlexp.data.spaces import SpaceSpec


@dataclass(frozen=True)
class Job:
    """What every rank is started with.

    Attributes:
        config: the experiment.
        spec: its environment's spaces.
        run_dir: where it is written.
        resume: where a resumed run continues; None for a run that begins.
        overrides: the words of the command line.
        jobs: number of jobs of a sweep that run at once, this one among them.
    """

    config: Config
    spec: SpaceSpec
    run_dir: Path
    resume: ResumePoint | None = None
    overrides: Sequence[str] = ()
    jobs: int = 1

    @property
    def about(self) -> dict[str, Any]:
        """What summary.json says of the experiment."""
        modules = own_modules(self.config)
        return {
            "seed": self.config.seed,
            "env_id": self.config.env.id,
            "algo": algorithm_name(self.config),
            "overrides": list(self.overrides),
        } | ({"plugins": modules} if modules else {})
