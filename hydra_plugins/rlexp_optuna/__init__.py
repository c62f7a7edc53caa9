"""hydra/sweeper=optuna: a search of settings with Optuna, which rlexp registers with Hydra.

Hydra imports this module at every start, so nothing heavy is imported before a search begins.
"""

# No `from __future__ import annotations`: Hydra runs this module before sys.modules holds it, where dataclasses look.
from dataclasses import dataclass
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from rlexp.search.settings import SearchSettings


@dataclass
class OptunaConfig(SearchSettings):
    """Settings of the sweeper, as hydra.sweeper has them."""

    _target_: str = "hydra_plugins.rlexp_optuna.OptunaSweeper"


ConfigStore.instance().store(group="hydra/sweeper", name="optuna", node=OptunaConfig, provider="rlexp")


class OptunaSweeper(Sweeper):
    """Runs a search; its settings are those of OptunaConfig."""

    def __init__(self, **settings: Any) -> None:
        self.settings = settings
        self.config: DictConfig | None = None
        self.launcher: Launcher | None = None
        self.hydra_context: HydraContext | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take note of what jobs need."""
        from hydra.core.plugins import Plugins

        self.hydra_context, self.config = hydra_context, config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        """Run the search."""
        from rlexp.search.sweep import search

        assert self.hydra_context is not None
        assert self.config is not None
        assert self.launcher is not None
        return search(self.settings, arguments, self.config, self.launcher, self.hydra_context.config_loader)
