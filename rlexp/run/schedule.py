"""What is due after an update: one question, answered from environment steps."""

from __future__ import annotations

from dataclasses import dataclass

from rlexp.config.schema import Config
from rlexp.topology.loop import Due


def passes(every: int, steps_per_update: int, updates: int) -> bool:
    """Return whether the last of so many updates passed a multiple of `every` environment steps; 0: never."""
    return every > 0 and updates * steps_per_update // every > (updates - 1) * steps_per_update // every


@dataclass(frozen=True)
class Schedule:
    """When a run logs, evaluates and saves.

    Attributes:
        updates: of the whole run; after the last one all of it is due.
        steps_per_update: environment steps, over all ranks.
        log_every: environment steps between rows of scalars.
        evaluate_every: environment steps between evaluations; 0: none in training.
        save_every: environment steps between checkpoints; 0: only after the last update and after evaluations.
    """

    updates: int
    steps_per_update: int
    log_every: int
    evaluate_every: int
    save_every: int

    def due(self, updates: int) -> Due:
        """Return what is due after so many updates.

        A checkpoint follows every evaluation, so that the weights of the best one are there.
        """
        last = updates == self.updates
        evaluate = self.evaluate_every > 0 and (last or self._passes(self.evaluate_every, updates))
        return Due(
            log=last or self._passes(self.log_every, updates),
            evaluate=evaluate,
            save=last or evaluate or self._passes(self.save_every, updates),
        )

    def _passes(self, every: int, updates: int) -> bool:
        return passes(every, self.steps_per_update, updates)


def schedule_of(config: Config) -> Schedule:
    """Return the schedule of a run."""
    return Schedule(
        config.updates, config.steps_per_update, config.steps_per_row, config.eval.every, config.checkpoint.every
    )
