"""Where scalars and videos go beside metrics.csv: the group `logger`, of which several may be chosen at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from rlexp.settings import setting


@dataclass
class WandbConfig:
    """Weights & Biases."""

    enabled: bool = setting(False, "Log to Weights & Biases; logger=wandb sets it.")
    project: str = setting("rlexp", "Project.")
    entity: str | None = setting(None, "User or team; null: your default.")
    name: str | None = setting(None, "Name of the run; null: that of its directory.")
    group: str | None = setting(None, "Group of runs; null: a sweep's is its directory.")
    tags: list[str] = setting([], "Tags.")
    offline: bool = setting(False, "Write into the run directory alone; `wandb sync` uploads it later.")


@dataclass
class MLflowConfig:
    """MLflow."""

    enabled: bool = setting(False, "Log to MLflow; logger=mlflow sets it.")
    experiment: str = setting("rlexp", "Experiment.")
    tracking_uri: str | None = setting(
        None, "Server or store, such as http://HOST:5000; null: MLFLOW_TRACKING_URI, else the file mlflow.db here."
    )
    name: str | None = setting(None, "Name of the run; null: that of its directory.")
    tags: dict[str, str] = setting({}, "Tags.")


@dataclass
class LoggerConfig:
    """Where scalars and videos go beside metrics.csv."""

    tensorboard: bool = setting(False, "Write TensorBoard event files; logger=tensorboard sets it.")
    wandb: WandbConfig = field(default_factory=WandbConfig)
    mlflow: MLflowConfig = field(default_factory=MLflowConfig)
    own: list[Any] = setting(
        [], "Loggers of one's own: paths package.module:Class, or {logger: PATH, argument: value}; docs/own-code.md."
    )
