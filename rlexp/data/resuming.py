"""Where a run resumes. Imports no torch: the command and its files speak of it before anything heavy is imported."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ResumePoint:
    """The checkpoint that a run resumes from, and how far the run had come in which wall time.

    Attributes:
        checkpoint: its file.
        updates: done.
        env_steps: over all ranks.
        seconds: wall time of training.
    """

    checkpoint: Path
    updates: int
    env_steps: int
    seconds: float
