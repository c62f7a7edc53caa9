"""Weights as one flat vector: clipping, averaging over ranks, the optimizer and transport then handle one tensor."""

from __future__ import annotations

import torch
from torch import Tensor, nn

ALIGNMENT = 16  # elements: 64 bytes of float32, a cache line


class FlatPart:
    """The parameters of a module as views of one vector, and their gradients as views of another.

    Each parameter starts at a multiple of 64 bytes; the gaps stay 0.

    Args:
        module: its parameters, in their order, become views.
        owner: names the parameters; see `views`. `module` is part of it.
    """

    def __init__(self, module: nn.Module, owner: nn.Module) -> None:
        self.parameters = parameters = list(module.parameters())
        """The parameters, in order."""
        names = {id(parameter): name for name, parameter in owner.named_parameters()}
        self._names = [names[id(parameter)] for parameter in parameters]
        self._shapes = [parameter.shape for parameter in parameters]
        self._sizes = [-(-parameter.numel() // ALIGNMENT) * ALIGNMENT for parameter in parameters]
        self.weights = nn.Parameter(parameters[0].new_zeros(sum(self._sizes)))
        self.gradient = torch.zeros_like(self.weights)
        self.weights.grad = self.gradient
        values, gradients = self.weights.detach().split(self._sizes), self.gradient.split(self._sizes)
        for parameter, value, gradient in zip(parameters, values, gradients, strict=True):
            count = parameter.numel()
            value[:count] = parameter.detach().reshape(-1)
            parameter.data = value[:count].view(parameter.shape)
            parameter.grad = gradient[:count].view(parameter.shape)

    def views(self, weights: Tensor) -> dict[str, Tensor]:
        """Return the parameters that a vector like `weights` holds, by their names in the owner."""
        pieces = zip(self._names, weights.split(self._sizes), self._shapes, strict=True)
        return {name: piece[: shape.numel()].view(shape) for name, piece, shape in pieces}
