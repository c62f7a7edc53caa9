"""Runs, as the Python API shows them: one that was trained, and those that lie below a directory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlexp.errors import ConfigError
from rlexp.files.metrics import read_rows
from rlexp.files.places import BEST, LAST
from rlexp.files.summary import Summary
from rlexp.report.read import saved_settings

if TYPE_CHECKING:
    import pandas  # type: ignore[import-untyped]  # an extra


@dataclass(frozen=True)
class Run:
    """A run that is completed.

    Attributes:
        directory: of its files.
        summary: what summary.json holds.
    """

    directory: Path
    summary: dict[str, Any]

    @property
    def objective(self) -> float:
        """The mean return of the evaluation after training; without one, of the last 100 training episodes."""
        value = self.summary.get("objective")
        return float("nan") if value is None else float(value)

    @property
    def checkpoint(self) -> Path:
        """The last checkpoint."""
        return self.directory / "checkpoints" / LAST

    @property
    def best(self) -> Path:
        """The checkpoint of the highest mean return."""
        return self.directory / "checkpoints" / BEST

    def metrics(self) -> list[dict[str, float]]:
        """Return the rows of metrics.csv; NaN where a cell is empty."""
        return read_rows(self.directory / "metrics.csv")


def runs(directory: str | Path = "outputs") -> list[dict[str, Any]]:
    """Return a record of each run below a directory, in the order of their paths.

    A record holds what summary.json does, `directory`, and the experiment's settings by their keys, such as
    `algo.gamma`. `pandas.DataFrame(rlexp.runs())`, or `runs_frame`, makes a table of them.
    """
    found = [path.parent for path in sorted(Path(directory).glob("**/summary.json"))]
    return [{"directory": path, **Summary(path).peek(), **saved_settings(path)[0]} for path in found]


def runs_frame(directory: str | Path = "outputs") -> pandas.DataFrame:
    """Return `runs` as a table of pandas.

    Raises:
        ConfigError: pandas is not installed.
    """
    try:
        import pandas  # an extra
    except ImportError:
        raise ConfigError("runs_frame needs pandas; install it with: pip install pandas") from None
    return pandas.DataFrame(runs(directory))
