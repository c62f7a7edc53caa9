"""MLflow: Lightning's logger, with videos as artifacts."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping

from lightning.pytorch.loggers import MLFlowLogger

STATUS = {"success": "FINISHED", "failed": "FAILED", "aborted": "KILLED"}
STORE = "sqlite:///mlflow.db"


class MLflow(MLFlowLogger):
    """Logs to MLflow.

    Args:
        version: id of the run there that is continued; None: a new one.
        name: of a new run.
        experiment: where it belongs.
        tracking_uri: server or store; None: MLFLOW_TRACKING_URI, else mlflow.db in the current folder.
        tags: of the run.
    """

    def __init__(
        self, version: str | None, name: str, experiment: str, tracking_uri: str | None, tags: Mapping[str, str]
    ) -> None:
        for talker in ("mlflow.store.db.utils", "lightning.pytorch.loggers.mlflow"):  # they say what they create
            logging.getLogger(talker).setLevel(logging.ERROR)
        self.place = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or STORE
        super().__init__(
            experiment_name=experiment, run_name=name, tracking_uri=self.place, tags=dict(tags), run_id=version
        )
        if version is not None:
            self.experiment.update_run(version, "RUNNING")

    @property
    def version(self) -> str | None:
        """Id of the run there."""
        return self.run_id

    def log_file(self, tag: str, path: str, step: int) -> None:
        """Keep a video as an artifact."""
        self.experiment.log_artifact(self.run_id, path, tag)

    def finalize(self, status: str = "success") -> None:
        """End the run there."""
        self.experiment.set_terminated(self.run_id, STATUS[status])
