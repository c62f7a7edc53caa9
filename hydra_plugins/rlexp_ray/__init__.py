"""hydra/launcher=ray: the jobs of a sweep on a Ray cluster, which rlexp registers with Hydra.

Hydra imports this module at every start, so nothing heavy is imported before jobs are launched.
"""

# No `from __future__ import annotations`: Hydra runs this module before sys.modules holds it, where dataclasses look.
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


@dataclass
class RayConfig:
    """Settings of the launcher, as hydra.launcher has them; see docs/clusters.md."""

    _target_: str = "hydra_plugins.rlexp_ray.RayLauncher"
    address: str | None = None
    init: dict[str, Any] = field(default_factory=dict)
    remote: dict[str, Any] = field(default_factory=dict)
    retries: int = 3


ConfigStore.instance().store(group="hydra/launcher", name="ray", node=RayConfig, provider="rlexp")


class RayLauncher(Launcher):
    """Runs jobs as tasks of a Ray cluster; its settings are those of RayConfig."""

    def __init__(self, **settings: Any) -> None:
        self.settings = settings
        self.config: DictConfig | None = None
        self.hydra_context: HydraContext | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take note of what jobs need."""
        self.hydra_context, self.config = hydra_context, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run jobs, and wait for them."""
        from rlexp.submit.ray import launch

        assert self.hydra_context is not None
        assert self.config is not None
        return launch(self.settings, job_overrides, initial_job_idx, self.config, self.hydra_context.config_loader)
