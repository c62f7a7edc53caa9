"""What happened since the last row of metrics.csv, and the row that it becomes."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rlexp.data.rollout import Episode, Update
from rlexp.data.scalars import AXES, PROGRESS, SHAPED, Scalar, info_tag
from rlexp.data.state import Window


def mean(values: Sequence[float]) -> float:
    """Return the mean; NaN of nothing."""
    return sum(values) / len(values) if values else math.nan


class OpenWindow:
    """Adds up updates until a row is due.

    Args:
        scalars: of an update.
        infos: names of values of the environment's infos that episodes carry.
        shaped: whether episodes carry the sum of the rewards that wrappers made.
        own: scalars of callbacks.
        start: what a checkpoint holds of it; None: nothing yet.
    """

    def __init__(
        self,
        scalars: Sequence[Scalar],
        infos: Sequence[str],
        shaped: bool = False,
        own: Sequence[Scalar] = (),
        start: Window | None = None,
    ) -> None:
        self._scalars, self._infos, self._shaped = (*scalars, *own), tuple(infos), shaped
        self._of_update = len(self._scalars) - len(own)
        self._episodes: list[Episode] = []
        self._open(0.0)
        if start is not None:
            self._updates, self._seconds = start.updates, start.seconds
            self._sums = list(start.sums)
            self._counts = list(start.counts)
            self._episodes = list(start.episodes)
            self._collect, self._update = start.collect_seconds, start.update_seconds

    def _open(self, seconds: float) -> None:
        """Begin anew at so many seconds of training."""
        self._updates, self._seconds = 0, seconds
        self._sums, self._counts = [0.0] * len(self._scalars), [0] * len(self._scalars)
        self._episodes = []
        self._collect = self._update = 0.0

    @property
    def empty(self) -> bool:
        """Whether no update came since the last row."""
        return self._updates == 0

    @property
    def columns(self) -> list[str]:
        """The tags of a row, in order."""
        scalars = [scalar.tag for scalar in (*AXES, *PROGRESS, *self._scalars)]
        return [*scalars, *[SHAPED.tag] * self._shaped, *map(info_tag, self._infos)]

    def add(self, update: Update, episodes: Sequence[Episode], collect_seconds: float) -> None:
        """Add an update; a scalar that is NaN does not count."""
        self._updates += 1
        self._episodes += episodes
        self._collect, self._update = self._collect + collect_seconds, self._update + update.seconds
        for index, scalar in enumerate(self._scalars[: self._of_update]):
            value = update.scalars[scalar.name]
            if not math.isnan(value):
                self._sums[index] += value
                self._counts[index] += 1

    def add_own(self, tag: str, value: float) -> None:
        """Add a scalar of a callback; one that is NaN does not count."""
        if not math.isnan(value):
            index = [scalar.tag for scalar in self._scalars].index(tag, self._of_update)
            self._sums[index] += value
            self._counts[index] += 1

    def row(self, env_steps: int, seconds: float, steps_per_update: int, last_100: float) -> dict[str, float]:
        """Return the row, and begin anew.

        Args:
            env_steps: so far.
            seconds: of training so far.
            steps_per_update: environment steps.
            last_100: mean return of the last 100 episodes.
        """
        passed = seconds - self._seconds
        progress = {
            "return": mean([episode.episode_return for episode in self._episodes]),
            "last_100": last_100,
            "length": mean([float(episode.length) for episode in self._episodes]),
            "speed": self._updates * steps_per_update / passed if passed > 0 else math.nan,
            "time": seconds,
            "collect": self._collect / self._updates,
            "update": self._update / self._updates,
        }
        values = {"env_steps": float(env_steps), "seconds": seconds, **progress}
        row = {scalar.tag: values[scalar.name] for scalar in (*AXES, *PROGRESS)}
        row["env_steps"] = env_steps
        for scalar, total, count in zip(self._scalars, self._sums, self._counts, strict=True):
            row[scalar.tag] = math.nan if count == 0 else total if scalar.total else total / count
        if self._shaped:
            row[SHAPED.tag] = mean([episode.shaped for episode in self._episodes if episode.shaped is not None])
        row |= self._of_infos()
        self._open(seconds)
        return row

    def _of_infos(self) -> dict[str, float]:
        """Return the mean of each value of infos over the episodes that carry it."""
        carried = [episode.infos for episode in self._episodes if episode.infos]
        columns = zip(*carried, strict=True) if carried else [()] * len(self._infos)
        return {
            info_tag(name): mean([value for value in column if not math.isnan(value)])
            for name, column in zip(self._infos, columns, strict=True)
        }

    def state(self) -> Window:
        """Return what a checkpoint holds of it."""
        return Window(
            self._updates,
            list(self._sums),
            list(self._counts),
            list(self._episodes),
            self._collect,
            self._update,
            self._seconds,
        )
