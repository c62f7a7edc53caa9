"""metrics.csv and evaluations.csv: rows that are written at once."""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rlexp.errors import writing
from rlexp.files.rewind import cut_evaluations, cut_metrics

METRICS, EVALUATIONS = "metrics.csv", "evaluations.csv"
EVALUATION_COLUMNS = (
    "env_steps", "seconds", "episodes", "mean_return", "std_return", "mean_length", "lengths", "returns",
)  # fmt: skip
"""Lengths and returns are JSON lists, in the order of the episodes' seeds."""


class MetricsFile:
    """metrics.csv.

    Args:
        run_dir: where it is.
        columns: its columns.
        rows: of a resumed run, to which the file is cut back.
        resumed: whether the file is that of a resumed run; else it is new.
    """

    def __init__(self, run_dir: Path, columns: Sequence[str], rows: int, resumed: bool) -> None:
        self._path = run_dir / METRICS
        with writing(self._path):
            if resumed:
                cut_metrics(self._path, rows)
            self._file = self._path.open("a" if resumed else "w", newline="")
            self._writer = csv.writer(self._file)
            if not resumed:
                self._writer.writerow(columns)
                self._file.flush()

    def write(self, values: Mapping[str, float]) -> None:
        """Write a row, in the order of the columns; NaN becomes an empty cell.

        Raises:
            Fault: it cannot be written, or somebody has removed the file.
        """
        with writing(self._path):
            self._writer.writerow(["" if isinstance(v, float) and math.isnan(v) else v for v in values.values()])
            self._file.flush()
            if os.fstat(self._file.fileno()).st_nlink == 0:
                raise OSError("it was removed")

    def sync(self) -> None:
        """Write all rows to the disk: a checkpoint counts on them."""
        with writing(self._path):
            self._file.flush()
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        with writing(self._path):
            self._file.close()


def read_rows(path: Path) -> list[dict[str, float]]:
    """Return the rows of a metrics.csv; NaN where a cell is empty."""
    with path.open(newline="") as file:
        return [
            {key: float(value) if value else math.nan for key, value in row.items()} for row in csv.DictReader(file)
        ]


class EvaluationsFile:
    """evaluations.csv.

    Args:
        run_dir: where it is.
        env_steps: of a resumed run, to which the file is cut back; 0: a new file.
        evaluated: whether the weights at that step were evaluated.
    """

    def __init__(self, run_dir: Path, env_steps: int, evaluated: bool) -> None:
        self._path = run_dir / EVALUATIONS
        with writing(self._path):
            resumed = env_steps > 0 and cut_evaluations(self._path, env_steps, evaluated)
            self._file = self._path.open("a" if resumed else "w", newline="")
            if not resumed:
                csv.writer(self._file).writerow(EVALUATION_COLUMNS)
                self._file.flush()

    def write(self, values: Mapping[str, Any]) -> None:
        """Write a row, and write it to the disk: a checkpoint counts on it.

        Args:
            values: of every column; `lengths` and `returns` are lists.
        """
        lists = {name: json.dumps(values[name]) for name in ("lengths", "returns")}
        with writing(self._path):
            csv.writer(self._file).writerow([{**values, **lists}[name] for name in EVALUATION_COLUMNS])
            self._file.flush()
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        with writing(self._path):
            self._file.close()
