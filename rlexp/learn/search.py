"""What a run that is a trial of a search reports, and when it ends early."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rlexp.errors import ConfigError
from rlexp.learn.callbacks import Callback, Evaluation, RunView

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.storages import BaseStorage

PRUNERS = {
    "median": "MedianPruner", "percentile": "PercentilePruner", "hyperband": "HyperbandPruner",
    "halving": "SuccessiveHalvingPruner", "none": "NopPruner",
}  # fmt: skip
"""Optuna's, by the names that `hydra.sweeper.pruner` takes."""
PRUNER = "pruner"
JOURNAL = "journal:"


def opened(place: str) -> BaseStorage:
    """Open the storage of a study: journal:PATH, or the URL of a database.

    Raises:
        ConfigError: it cannot be opened.
    """
    from optuna.storages import JournalStorage, get_storage  # an extra
    from optuna.storages.journal import JournalFileBackend

    try:
        if place.startswith(JOURNAL):
            return JournalStorage(JournalFileBackend(place.removeprefix(JOURNAL)))
        return get_storage(place)
    except Exception as error:
        reason = str(error).partition("\n")[0]
        raise ConfigError(
            f"hydra.sweeper.storage={place} cannot be opened: {reason}; give sqlite:///FILE, or null for a journal in "
            "the sweep's directory"
        ) from None


def pruner_of(name: str, options: dict[str, Any]) -> BasePruner:
    """Return a pruner of Optuna's.

    Raises:
        ConfigError: there is none of that name, or it does not take its arguments.
    """
    import optuna  # an extra

    if name not in PRUNERS:
        raise ConfigError(f"hydra.sweeper.pruner={name} is not a choice; allowed: {', '.join(PRUNERS)}")
    try:
        made: BasePruner = getattr(optuna.pruners, PRUNERS[name])(**options)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"hydra.sweeper.pruner_options={options}: {error}") from None
    return made


class SearchReport(Callback):
    """Reports evaluations to a trial of a study, and ends training where its pruner says so.

    Args:
        report_to: storage, study and number of the trial, separated by #.
    """

    def __init__(self, report_to: str) -> None:
        self._place, self._study, number = report_to.rsplit("#", 2)
        self._number = int(number)

    def on_evaluation(self, run: RunView, result: Evaluation) -> None:
        """Report an evaluation in training; the one after it is the trial's value."""
        if run.env_steps >= run.config.updates * run.config.steps_per_update:
            return
        storage = opened(self._place)
        study = storage.get_study_id_from_name(self._study)
        trial = storage.get_trial_id_from_study_id_trial_number(study, self._number)
        # Pruners compare equal steps, and updates of other settings end at others.
        step = run.env_steps // run.config.eval.every * run.config.eval.every
        storage.set_trial_intermediate_value(trial, step, result.mean_return)
        if self._is_worse(storage, study, trial):
            storage.set_trial_user_attr(trial, "pruned", True)
            run.stop(f"pruned: worse than other trials after {run.env_steps:,} steps")

    def _is_worse(self, storage: BaseStorage, study: int, trial: int) -> bool:
        """Return whether the pruner ends a trial."""
        import optuna  # an extra

        made = storage.get_study_user_attrs(study)[PRUNER]
        whole = optuna.load_study(study_name=self._study, storage=storage)
        return bool(pruner_of(made["name"], made["options"]).prune(whole, storage.get_trial(trial)))
