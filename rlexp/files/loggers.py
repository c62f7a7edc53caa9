"""Where the scalars of a run go beside metrics.csv: TensorBoard, and what `logger=` names."""

from __future__ import annotations

import importlib.util
import inspect
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rlexp import plugins
from rlexp.config.code import entries
from rlexp.config.compose import algorithm_name
from rlexp.config.schema import Config
from rlexp.errors import ConfigError, Fault, described, writing
from rlexp.files.rewind import EVENTS
from rlexp.files.tensorboard import TensorBoard
from rlexp.settings import as_yaml, fields_of

log = logging.getLogger(__name__)
SERVICES = {"wandb": "rlexp.launch.wandb:Wandb", "mlflow": "rlexp.launch.mlflow:MLflow"}


def check_loggers(config: Config) -> None:
    """Check that the packages and the classes of the loggers are there, before anything is launched.

    Raises:
        ConfigError: one is not.
    """
    for name in SERVICES:
        if getattr(config.logger, name).enabled and not _installed(name):
            raise ConfigError(f"logger={name} needs the package {name}; install it with: pip install 'rlexp[{name}]'")
    for entry in entries("logger", config.logger.own, "logger.own"):
        found = plugins.imported(entry.path, object, entry.key)
        if not callable(getattr(found, "log_metrics", None)):
            raise ConfigError(
                f"{entry.key}: {entry.path} has no method log_metrics(metrics, step), which a logger needs; see "
                "docs/own-code.md"
            )


def _installed(name: str) -> bool:
    """Return whether a package is there; a mere folder of its name, as wandb leaves one, is none."""
    spec = importlib.util.find_spec(name)
    return spec is not None and spec.origin is not None


class Loggers:
    """All loggers of a run but its CSV files.

    TensorBoard's files are the run's own: where they cannot be written the run ends. The others may be services on a
    network: one that fails later than at the start is left out from then on, and the log says so.

    Args:
        config: the experiment.
        run_dir: the directory of the run.
        given: the words of the command line.
        resumed: whether an earlier part of the run was logged.
        versions: names of the runs that earlier parts were logged as, by logger.

    Raises:
        Fault: a logger cannot start.
    """

    def __init__(
        self, config: Config, run_dir: Path, given: Sequence[str], resumed: bool, versions: Mapping[str, str]
    ) -> None:
        self._run_dir = run_dir
        self._board = None
        if config.logger.tensorboard:
            with writing(run_dir / EVENTS):
                self._board = TensorBoard(run_dir, config, resumed=resumed, given=given)
        self._versions = dict(versions)
        self._others: dict[str, Any] = {}
        for name, build in self._builders(config).items():
            try:
                self._others[name] = logger = build()
                place = getattr(logger, "place", None)
                if place is not None:
                    print(f"{name}: {place}", flush=True)
                if not resumed and hasattr(logger, "log_hyperparams"):
                    logger.log_hyperparams(_settings(config))
                version = getattr(logger, "version", None)
                if version is not None:
                    self._versions[name] = str(version)
            except Exception as error:
                self.close(0, {}, "failed")
                if isinstance(error, Fault):
                    raise
                raise Fault(f"logger {name} cannot start: {described(error)}") from error

    def _builders(self, config: Config) -> dict[str, Callable[[], Any]]:
        """Return what builds each logger, by its name."""
        found: dict[str, Callable[[], Any]] = {}
        for name, path in SERVICES.items():
            values = dict(vars(getattr(config.logger, name)))
            if values.pop("enabled"):
                values["name"] = values["name"] or self._run_dir.name
                if "group" in values and (self._run_dir.parent / "multirun.yaml").is_file():
                    values["group"] = values["group"] or self._run_dir.parent.name
                found[name] = lambda path=path, name=name, values=values: self._built(path, name, values)  # type: ignore[misc]
        for entry in entries("logger", config.logger.own, "logger.own"):
            found[entry.path] = lambda entry=entry: self._built(entry.path, entry.path, dict(entry.kwargs))  # type: ignore[misc]
        return found

    def _built(self, path: str, name: str, values: dict[str, Any]) -> Any:
        """Build a logger; where it takes them, it gets the run's directory and the version that it continues."""
        made = plugins.imported(path, object, f"logger {name}")
        takes = inspect.signature(made).parameters
        known = {"save_dir": str(self._run_dir), "version": self._versions.get(name)}
        return made(**{key: value for key, value in known.items() if key in takes and key not in values}, **values)

    @property
    def versions(self) -> dict[str, str]:
        """Names of the runs that this one is logged as, by logger."""
        return dict(self._versions)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Log scalars of environment step `step`."""
        if self._board is not None:
            with writing(self._run_dir / EVENTS):
                self._board.scalars(step, dict(values))
        self._each(lambda logger: logger.log_metrics(dict(values), step=step))

    def video(self, step: int, path: Path) -> None:
        """Log an mp4 file."""
        if self._board is not None:
            with writing(self._run_dir / EVENTS):
                self._board.video(step, path)
        self._each(lambda logger: logger.log_file("Test/video", str(path), step), "log_file")

    def flush(self) -> None:
        """Hand everything to the system: a checkpoint counts on it."""
        if self._board is not None:
            with writing(self._run_dir / EVENTS):
                self._board.flush()
        self._each(lambda logger: logger.save(), "save")

    def close(self, step: int, outcome: Mapping[str, float], status: str) -> None:
        """Log what came of the run, and end.

        Args:
            step: environment steps in all.
            outcome: by tag.
            status: success, failed or aborted, as Lightning's loggers call it.
        """
        if outcome:
            self._each(lambda logger: logger.log_metrics(dict(outcome), step=step))
        self._each(lambda logger: logger.finalize(status), "finalize")
        self._others.clear()
        if self._board is not None:
            board, self._board = self._board, None
            with writing(self._run_dir / EVENTS):
                board.close(step, dict(outcome))

    def _each(self, call: Callable[[Any], object], method: str = "log_metrics") -> None:
        """Call each logger that has the method; leave out one that fails."""
        for name, logger in list(self._others.items()):
            try:
                if hasattr(logger, method):
                    call(logger)
            except Exception as error:
                del self._others[name]
                log.warning("logger %s is left out from here on: %s", name, described(error))


def _settings(config: Config) -> dict[str, Any]:
    """Return every setting of an experiment by its key; lists and dicts as text."""
    values = {key: value for key, value, _ in fields_of(config)}
    plain = {key: as_yaml(value) if isinstance(value, list | dict) else value for key, value in values.items()}
    return {"algo": algorithm_name(config), **plain}
