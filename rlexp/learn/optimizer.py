"""Optimizers over one flat vector, and what is done to its gradient first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from rlexp.algos.base import Descent

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "rmsprop": torch.optim.RMSprop,
    "sgd": torch.optim.SGD,
}


def build_optimizer(descent: Descent, weights: nn.Parameter, fused: bool) -> torch.optim.Optimizer:
    """Return torch's optimizer over one flat vector.

    Args:
        descent: which one.
        weights: the vector.
        fused: whether to take the fused form where there is one; it would unscale gradients by itself.
    """
    options: dict[str, Any] = {"weight_decay": descent.weight_decay}
    if descent.optimizer != "rmsprop":  # which has no fused form
        options["fused"] = fused
    if descent.optimizer != "sgd":
        options["eps"] = descent.eps
    return OPTIMIZERS[descent.optimizer]([weights], lr=descent.learning_rate, **options)


def clip_scale(norm: Tensor, max_norm: float) -> Tensor:
    """Return what a gradient of this norm, [], is multiplied by so that its norm is at most `max_norm`: 1 at most."""
    return (max_norm / (norm + 1e-6)).clamp(max=1.0)
