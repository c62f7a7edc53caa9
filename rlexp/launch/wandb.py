"""Weights & Biases: Lightning's logger, with environment steps as the x axis and a run of its own for each of ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import wandb
from lightning.pytorch.loggers import WandbLogger

from rlexp.errors import Fault

STEPS = "env_steps"


class Wandb(WandbLogger):
    """Logs to Weights & Biases.

    Args:
        save_dir: the run's directory, in which the folder wandb is made.
        version: id of the run there that is continued; None: a new one.
        name: of a new run.
        project: where it belongs.
        entity: user or team; None: the default.
        group: of runs.
        tags: of the run.
        offline: whether nothing is sent.
    """

    def __init__(
        self,
        save_dir: str,
        version: str | None,
        name: str,
        project: str,
        entity: str | None,
        group: str | None,
        tags: Sequence[str],
        offline: bool,
    ) -> None:
        try:
            run = wandb.init(
                dir=save_dir,
                id=version,
                resume="allow",
                name=name,
                project=project,
                entity=entity,
                group=group,
                tags=list(tags) or None,
                mode="offline" if offline else None,
                reinit="create_new",  # a notebook may have one of its own
                settings=wandb.Settings(silent=True),
            )
        except wandb.errors.UsageError as error:
            reason = " ".join(str(error).split()).rstrip(".")
            raise Fault(f"wandb: {reason}; logger.wandb.offline=true needs no account") from error
        run.define_metric(STEPS)
        run.define_metric("*", step_metric=STEPS)
        super().__init__(save_dir=save_dir, project=project, experiment=run)

    @property
    def place(self) -> str:
        """Where the run can be seen."""
        run = self.experiment
        return f"{run.settings.sync_dir} (offline: wandb sync uploads it)" if run.offline else str(run.url)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log scalars of an environment step."""
        self.experiment.log({**metrics, STEPS: step})

    def log_file(self, tag: str, path: str, step: int) -> None:
        """Log a video."""
        self.experiment.log({tag: wandb.Video(path, format="mp4"), STEPS: step})

    def finalize(self, status: str) -> None:
        """End the run there."""
        self.experiment.finish(exit_code=0 if status == "success" else 1)
