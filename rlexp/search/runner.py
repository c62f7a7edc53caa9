"""The jobs of a search: which trials are run with which seeds, in which order, and what the study learns."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rlexp.command.sweep_jobs import job_name, key_of
from rlexp.search.space import SEED, Space, shown_of, words_of
from rlexp.search.study import Search
from rlexp.show.lines import hydra_quoted

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

Launch = Callable[[Sequence[Sequence[str]], int], Sequence[float]]
"""Runs jobs, given their words and the number of the first, and returns their objectives; NaN of one that failed."""


@dataclass
class Runner:
    """Runs the trials of a search.

    Attributes:
        search: the study.
        space: what is tried.
        launch: runs jobs.
        at_once: how many jobs are launched together.
        number: of the next job.
        known: names of the directories of jobs that earlier commands have begun; they keep their numbers.
        stopped: whether the search is to end.
    """

    search: Search
    space: Space
    launch: Launch
    at_once: int
    number: int
    known: frozenset[str]
    stopped: Callable[[], bool]

    def run(self) -> None:
        """Run what an earlier command left unfinished, then new trials until there are enough."""
        while not self.stopped():
            trials = self.search.unfinished()[: self.at_once]
            if not trials:
                trials = self.search.ask(min(self.at_once, self.search.left()), self.space.distributions)
            if not trials:
                return
            self._take(trials)

    def _take(self, trials: Sequence[FrozenTrial]) -> None:
        """Run some trials: with their first seeds, which may be pruned, then the promising ones with the others."""
        first, *others = self.space.seeds or (None,)
        found = self._jobs([(trial, first, True) for trial in trials])
        if self.stopped():
            return
        scores = {trial.number: [score] for trial, score in zip(trials, found, strict=True)}
        more = [
            trial for trial, score in zip(trials, found, strict=True) if others and self._goes_on(trial, score, found)
        ]
        pairs = [(trial, seed, False) for trial in more for seed in others]
        for start in range(0, len(pairs), self.at_once):
            part = pairs[start : start + self.at_once]
            for (trial, _, _), score in zip(part, self._jobs(part), strict=True):
                scores[trial.number].append(score)
            if self.stopped():
                return
        for trial in trials:
            self.search.tell(trial, scores[trial.number], max(1, len(self.space.seeds)))

    def _goes_on(self, trial: FrozenTrial, score: float, together: Sequence[float]) -> bool:
        return math.isfinite(score) and not self.search.is_pruned(trial) and self.search.is_promising(score, together)

    def _jobs(self, jobs: Sequence[tuple[FrozenTrial, int | None, bool]]) -> Sequence[float]:
        """Run jobs of trials, seeds, and whether they report to the trial; return their objectives."""
        if not jobs:
            return []
        first, words = self.number, []
        for trial, seed, reports in jobs:
            seeds = [] if seed is None else [f"{SEED}={seed}"]
            own = [*words_of(trial.params), *seeds]
            # the seed comes first: a long name is cut
            swept = [*([SEED] if len(self.space.seeds) > 1 else []), *map(key_of, self.space.distributions)]
            name = job_name(trial.number, [*shown_of(trial.params), *seeds], swept)
            self.number += name not in self.known
            more = [self.search.word(trial)] if reports else []
            words.append([*self.space.fixed, *own, *more, f"hydra.sweep.subdir={hydra_quoted(name)}"])
        return self.launch(words, first)
