"""The study of a search: an Optuna study in a file that other processes can write into, and its trials."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rlexp.errors import ConfigError
from rlexp.learn.search import PRUNER, opened, pruner_of
from rlexp.search.settings import SearchSettings
from rlexp.show.lines import hydra_quoted

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler
    from optuna.study import Study
    from optuna.trial import FrozenTrial

SAMPLERS = {
    "tpe": "TPESampler", "random": "RandomSampler", "gp": "GPSampler", "cmaes": "CmaEsSampler", "qmc": "QMCSampler",
}  # fmt: skip
"""Optuna's, by the names that `hydra.sweeper.sampler` takes."""
JOURNAL = "search.journal"
SEARCHED, OWNER = "searched", "owner"


class Search:
    """A study, and what its trials need.

    Raises:
        ConfigError: a setting is wrong, or the storage cannot be opened.
    """

    def __init__(self, settings: SearchSettings, folder: Path) -> None:
        if settings.trials < 1:
            raise ConfigError(f"hydra.sweeper.trials={settings.trials} is out of range; allowed: from 1 on")
        if not 0 < settings.promising <= 1:
            raise ConfigError(f"hydra.sweeper.promising={settings.promising} is out of range; allowed: 0 < value <= 1")
        self.settings = settings
        self.place = settings.storage or f"journal:{(folder / JOURNAL).resolve()}"
        pruner_of(settings.pruner, settings.pruner_options)
        if "#" in settings.study:
            raise ConfigError(f"hydra.sweeper.study={settings.study}: a name without # is needed")
        self._owner = str(folder.resolve())
        self.study = self._opened()
        # A command that continues draws on, not the same again.
        self.study.sampler = _sampler(settings, settings.sampler_seed + len(self.study.get_trials(deepcopy=False)))
        self.study.set_user_attr(PRUNER, {"name": settings.pruner, "options": settings.pruner_options})

    def claim(self, distributions: dict[str, BaseDistribution], fixed: Sequence[str]) -> None:
        """Take note of what is searched.

        Raises:
            ConfigError: the study is of another search.
        """
        from optuna.distributions import distribution_to_json  # an extra

        space = {key: distribution_to_json(one) for key, one in distributions.items()}
        own = {"space": space, "fixed": sorted(word for word in fixed if not word.startswith(("sweep.", "hydra")))}
        earlier = self.study.user_attrs.get(SEARCHED)
        if earlier is not None and earlier != own:
            what = ", ".join([*earlier["space"], *earlier["fixed"]])
            raise ConfigError(
                f"the study {self.settings.study} in {self.place} is of another search ({what}); give the same words, "
                "or hydra.sweeper.study=NAME"
            )
        self.study.set_user_attr(SEARCHED, own)

    def _opened(self) -> Study:
        import optuna  # an extra, and seconds

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        name = self.settings.study
        return optuna.create_study(
            storage=opened(self.place), study_name=name, direction="maximize", load_if_exists=True
        )

    def word(self, trial: FrozenTrial) -> str:
        """Return the word by which a job reports its evaluations to a trial."""
        return f"sweep.report_to={hydra_quoted(f'{self.place}#{self.settings.study}#{trial.number}')}"

    def unfinished(self) -> list[FrozenTrial]:
        """Return the trials that an earlier command in this directory began and did not end."""
        return [trial for trial in self._in_state("RUNNING") if trial.user_attrs.get(OWNER) == self._owner]

    def left(self) -> int:
        """Return how many trials are still to be begun."""
        return max(0, self.settings.trials - len(self.study.get_trials(deepcopy=False)))

    def ask(self, count: int, distributions: dict[str, BaseDistribution]) -> list[FrozenTrial]:
        """Begin so many trials."""
        numbers = []
        for _ in range(count):
            trial = self.study.ask(distributions)
            trial.set_user_attr(OWNER, self._owner)
            numbers.append(trial.number)
        return [trial for trial in self.study.get_trials() if trial.number in numbers]

    def is_pruned(self, trial: FrozenTrial) -> bool:
        """Return whether a job of the trial was ended because it was worse than others at the same step."""
        return bool(self._now(trial).user_attrs.get("pruned"))

    def is_promising(self, score: float, together: Sequence[float]) -> bool:
        """Return whether a score of the first seed is among the best share of those so far.

        Args:
            score: it.
            together: scores of the first seeds of the trials that run now, its own among them; NaN of one that failed.
        """
        earlier = [trial.user_attrs["scores"][0] for trial in self.study.get_trials() if trial.user_attrs.get("scores")]
        scores = [*earlier, *filter(math.isfinite, together)]
        return bool(sum(other > score for other in scores) < math.ceil(self.settings.promising * len(scores)))

    def tell(self, trial: FrozenTrial, scores: Sequence[float], seeds: int) -> None:
        """End a trial with the scores of its seeds: failed where one has none, pruned where not all were run.

        Args:
            trial: it.
            scores: NaN of a job that failed.
            seeds: how many scores a trial has that is run to its end.
        """
        from optuna.trial import Trial, TrialState

        own = [score for score in scores if math.isfinite(score)]
        handle = Trial(self.study, trial._trial_id)
        if self.is_pruned(trial):
            self.study.tell(handle, state=TrialState.PRUNED)
        elif len(own) < len(scores) or not own:
            self.study.tell(handle, state=TrialState.FAIL)
        else:
            handle.set_user_attr("scores", list(own))
            if len(own) < seeds:
                self.study.tell(handle, state=TrialState.PRUNED)
            else:
                self.study.tell(handle, sum(own) / len(own))

    def count(self, state: str) -> int:
        """Return how many trials are in a state of Optuna's, such as PRUNED."""
        return len(self._in_state(state))

    def best(self) -> FrozenTrial | None:
        """Return the trial, run with all seeds, of the highest mean score."""
        return max(self._in_state("COMPLETE"), key=lambda trial: trial.value or 0.0, default=None)

    def _in_state(self, state: str) -> list[FrozenTrial]:
        return [trial for trial in self.study.get_trials() if trial.state.name == state]

    def _now(self, trial: FrozenTrial) -> FrozenTrial:
        return self.study.get_trials()[trial.number]


def _sampler(settings: SearchSettings, seed: int) -> BaseSampler:
    import optuna  # an extra, and seconds

    if settings.sampler not in SAMPLERS:
        raise ConfigError(f"hydra.sweeper.sampler={settings.sampler} is not a choice; allowed: {', '.join(SAMPLERS)}")
    kind = getattr(optuna.samplers, SAMPLERS[settings.sampler])
    try:
        made: BaseSampler = kind(**{"seed": seed, **settings.sampler_options})
    except (TypeError, ValueError) as error:
        raise ConfigError(f"hydra.sweeper.sampler_options={settings.sampler_options}: {error}") from None
    except ImportError as error:
        raise ConfigError(f"hydra.sweeper.sampler={settings.sampler} needs another package: {error}") from None
    return made
