"""Spaces of a search, in the words of Hydra's sweeps: interval, tag(log,interval), choice and range."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep

from rlexp.errors import ConfigError

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

SEED = "seed"


@dataclass(frozen=True)
class Space:
    """What a search tries.

    Attributes:
        distributions: of each key that is searched.
        fixed: words of all jobs.
        seeds: that each trial is run with; empty: the one that the config has.
    """

    distributions: dict[str, BaseDistribution]
    fixed: tuple[str, ...]
    seeds: tuple[int, ...]

    def example(self) -> list[str]:
        """Return the words of one of the trials: the lowest values, the first choices."""
        values = {
            key: one.choices[0] if hasattr(one, "choices") else one.low  # type: ignore[attr-defined]  # numbers
            for key, one in self.distributions.items()
        }
        return [*words_of(values), *(f"{SEED}={seed}" for seed in self.seeds[:1])]


def space_of(overrides: Sequence[Override]) -> Space:
    """Return the space that parsed overrides describe; a swept seed is no setting, but the seeds of each trial.

    Raises:
        ConfigError: one of them cannot be searched, or none is to be.
    """
    distributions: dict[str, BaseDistribution] = {}
    fixed: list[str] = []
    seeds: tuple[int, ...] = ()
    for override in overrides:
        key = override.get_key_element()
        if not override.is_sweep_override():
            fixed.append(f"{key}={override.get_value_element_as_str()}")
        elif key == SEED:
            texts = list(override.sweep_string_iterator()) if override.is_discrete_sweep() else []
            if not texts or not all(text.isdecimal() for text in texts):
                raise ConfigError(f"{override.input_line} is no list of seeds; write seed=1,2,3")
            seeds = tuple(map(int, texts))
        else:
            distributions[key] = distribution_of(override)
    if not distributions:
        raise ConfigError(
            "nothing is searched; give a space, such as search=ppo or 'algo.learning_rate=tag(log,interval(1e-5,1e-2))'"
        )
    return Space(distributions, tuple(fixed), seeds)


def distribution_of(override: Override) -> BaseDistribution:
    """Return the distribution of an override's sweep.

    Raises:
        ConfigError: it is empty, or a range that has no numbers.
    """
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution  # an extra

    value = override.value()
    try:
        if isinstance(value, IntervalSweep):
            start, end = _number(value.start), _number(value.end)
            kind: Any = IntDistribution if isinstance(start, int) and isinstance(end, int) else FloatDistribution
            made: BaseDistribution = kind(start, end, log="log" in value.tags)
            return made
        if isinstance(value, RangeSweep) and not value.shuffle:
            numbers = list(value.range())
            kind = IntDistribution if all(isinstance(number, int) for number in numbers) else FloatDistribution
            made = kind(numbers[0], numbers[-1], step=value.step)
            return made
        if isinstance(value, ChoiceSweep) and not value.shuffle:
            return CategoricalDistribution(list(override.sweep_string_iterator()))
    except (ValueError, IndexError) as error:
        raise ConfigError(f"{override.input_line} cannot be searched: {error or 'it is empty'}") from None
    raise ConfigError(f"{override.input_line} cannot be searched; allowed: interval, tag(log,...), choice, range")


def _number(value: Any) -> int | float:
    assert isinstance(value, int | float)
    return value


def words_of(parameters: dict[str, Any]) -> list[str]:
    """Return the words that set the parameters of a trial."""
    return [f"{key}={value}" for key, value in parameters.items()]


def shown_of(parameters: dict[str, Any]) -> list[str]:
    """Return the same for a person to read: numbers with four digits that count."""
    return [f"{key}={f'{value:.4g}' if isinstance(value, float) else value}" for key, value in parameters.items()]
