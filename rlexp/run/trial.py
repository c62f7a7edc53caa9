"""A trial of own code before anything is launched: networks are given two observations, callbacks are built."""

from __future__ import annotations

import torch

from rlexp.config.model import ModelConfig
from rlexp.config.schema import Config
from rlexp.data.generators import kept_generators
from rlexp.data.spaces import ObservationSpec, SpaceSpec
from rlexp.errors import ConfigError, described
from rlexp.files.loggers import check_loggers
from rlexp.learn.callbacks import build_callbacks

ROWS = 2


def check_network(config: Config, spec: SpaceSpec) -> None:
    """Build the networks and let them value two observations, where the settings of `model` are not the default.

    The global random generators are left as they were.

    Raises:
        ConfigError: names what the networks raise, or return that is of a wrong shape.
    """
    if config.model == ModelConfig():
        return
    with kept_generators(), torch.no_grad():
        try:
            found = config.algo.build(spec, config.inputs).tried(_rows(spec.observation))
        except ConfigError:
            raise
        except Exception as error:
            raise ConfigError(f"model={config.model.name}: the networks fail on an observation: {described(error)}; "
                              f"it is {spec.observation.description}") from error  # fmt: skip
    if any(values.shape != (ROWS,) for values in found.values()):
        made = " and ".join(f"{name} of shape {list(values.shape)}" for name, values in found.items())
        raise ConfigError(
            f"model={config.model.name}: of {ROWS} observations the encoder returns features that make {made}; it must "
            "return [B, F] of type float"
        )


def check_own_code(config: Config) -> None:
    """Build the callbacks once and look for the loggers, so that what does not fit is refused before the launch.

    Raises:
        ConfigError: names the entry that is wrong.
    """
    build_callbacks(config)
    check_loggers(config)


def _rows(spec: ObservationSpec) -> torch.Tensor:
    """Return two empty observation rows, [2, D]."""
    return torch.zeros((ROWS, spec.row_size), dtype=torch.uint8 if spec.images else torch.float32)
