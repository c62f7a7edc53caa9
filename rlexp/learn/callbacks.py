"""Callbacks: code of one's own that a run calls at its milestones. Derive from `Callback`; see docs/own-code.md."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol

from rlexp import plugins
from rlexp.algos.base import Knobs
from rlexp.config.code import entries
from rlexp.config.schema import Config
from rlexp.data.rollout import Collected, Episode, Update
from rlexp.errors import ConfigError, described
from rlexp.models.actor import Actor


class RunView(Protocol):
    """What a callback sees of a run, and may do.

    Attributes:
        config: the experiment; not to be changed.
        run_dir: its directory; a callback may write files of its own there.
        rank: number of this process.
        actor: with the weights of now; not to be changed.
        env_steps: environment steps so far, over all ranks.
        updates: updates so far.
        seconds: wall time of training so far; 0 on ranks other than 0.
        mean_return: of the last 100 training episodes; NaN before the first, and on ranks other than 0.
    """

    config: Config
    run_dir: Path
    rank: int
    actor: Actor
    env_steps: int
    updates: int
    seconds: float
    mean_return: float

    def log(self, tag: str, value: float) -> None:
        """Log a scalar that the callback declares in `scalars`; rows have its mean. On ranks other than 0: nothing."""

    def stop(self, reason: str) -> None:
        """End training after this update, as a run that is completed; the evaluation after training follows."""

    def video(self, folder: str, seed: int) -> Path | None:
        """Play one greedy episode and write its video into a folder of the run's videos, on rank 0; return the file."""


class Evaluation(Protocol):
    """An evaluation of the weights of now.

    Attributes:
        returns: undiscounted sums of raw rewards, one an episode.
        lengths: in steps.
        mean_return: their mean.
    """

    @property
    def returns(self) -> list[float]:
        """One an episode."""

    @property
    def lengths(self) -> list[int]:
        """One an episode."""

    @property
    def mean_return(self) -> float:
        """The mean of the returns."""


class Callback:
    """Does nothing; a subclass overrides what it needs.

    What a resumed run must know of it is what `state` returns: plain values, lists and dicts of them, and tensors.

    Attributes:
        all_ranks: whether every rank that collects has one; else rank 0 alone.
        scalars: tags of what it logs, such as Custom/entropy: columns of metrics.csv.
    """

    all_ranks: ClassVar[bool] = False
    scalars: ClassVar[tuple[str, ...]] = ()

    def on_start(self, run: RunView) -> None:
        """Called before the first rollout, of a resumed run too."""

    def on_rollout(self, run: RunView, collected: Collected) -> None:
        """Called after each rollout of this rank, before it is learned from."""

    def on_update(self, run: RunView, update: Update, episodes: Sequence[Episode]) -> None:
        """Called after each update, with the episodes of all ranks that ended in its rollouts."""

    def on_evaluation(self, run: RunView, result: Evaluation) -> None:
        """Called after each evaluation, the one after training included."""

    def on_checkpoint(self, run: RunView, path: Path) -> None:
        """Called after a checkpoint is written; that checkpoint does not hold what `state` returns from here on."""

    def on_end(self, run: RunView) -> None:
        """Called after training, before the evaluation that follows it; not where a run fails or is interrupted."""

    def knobs(self, config: Config, knobs: Knobs, progress: float) -> Knobs:
        """Return the annealed scalars of the next update, such as learning_rate, clip_coef and ent_coef.

        Called on every rank that learns or collects, by an object of its own: the answer must depend on the arguments
        alone.

        Args:
            config: the experiment.
            knobs: as the algorithm has them.
            progress: 0 before the first update, rising to 1 after the last.
        """
        return knobs

    def state(self) -> dict[str, Any]:
        """Return what a resumed run must know."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from what `state` returned."""


def build_callbacks(config: Config) -> list[Callback]:
    """Return the callbacks that a config names.

    Raises:
        ConfigError: one is not there, is no callback, or does not take its arguments.
    """
    built = []
    for entry in entries("callback", config.callbacks, "callbacks"):
        made = plugins.imported(entry.path, Callback, entry.key)
        try:
            built.append(made(**entry.kwargs))
        except ConfigError as error:
            raise ConfigError(f"{entry.key}: {error}") from None
        except Exception as error:
            given = dict(entry.kwargs)
            raise ConfigError(f"{entry.key}: {entry.path} does not take {given}: {described(error)}") from error
    if config.sweep.report_to is not None:
        report = plugins.imported("rlexp.learn.search:SearchReport", Callback, "sweep.report_to")
        built.append(report(report_to=config.sweep.report_to))
    return built


def named_scalars(config: Config) -> list[str]:
    """Return the tags of what the callbacks of a config log."""
    return list(dict.fromkeys(tag for callback in build_callbacks(config) for tag in callback.scalars))


def adjusted(config: Config) -> Callable[[Knobs, float], Knobs]:
    """Return what the callbacks of a config make of knobs when so much (1 to 0) of the run is left."""
    changing = [each for each in build_callbacks(config) if type(each).knobs is not Callback.knobs]

    def adjust(knobs: Knobs, left: float) -> Knobs:
        for callback in changing:
            knobs = callback.knobs(config, dict(knobs), 1 - left)
        return knobs

    return adjust
