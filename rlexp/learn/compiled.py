"""The train step as compiled graphs: loss, gradient, clipping and Adam.

Without compilation nearly all of the time of a small network goes into calls, not arithmetic. Alone, a rank runs one
graph a step; among others two, with the mean of the gradients between them. Both are pure functions of flat vectors.
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
import sysconfig
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad

from rlexp.data.batch import Batch
from rlexp.learn.ranks import Collective

if TYPE_CHECKING:
    from rlexp.algos import LossTerms, OnPolicy
    from rlexp.models import ActorCritic

log = logging.getLogger(__name__)

ALIGNMENT = 16  # elements: 64 bytes of float32, a cache line
BETAS = (0.9, 0.999)


def missing(device: torch.device) -> str | None:
    """Return what torch.compile would need and does not find: a C++ compiler, Python's headers, on a GPU Triton."""
    name = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")
    if not shutil.which(name):
        return f"a C++ compiler ({name} not found; CXX names another)"
    header = Path(sysconfig.get_path("include")) / "Python.h"
    if not header.is_file():
        return f"Python's headers ({header} not found; such as the package python3-dev)"
    if device.type == "cuda":
        from torch.utils._triton import has_triton

        if not has_triton():
            return "Triton, and a GPU that it knows (from compute capability 7.0 on)"
    return None


def compiler_found(device: torch.device) -> bool:
    """Return whether there is what torch.compile needs on a device; warn where it is not."""
    lacking = missing(device)
    if lacking is not None:
        log.warning("compiling needs %s; going on without", lacking)
    return lacking is None


def padded_sizes(module: nn.Module) -> list[int]:
    """Return the room of each parameter in the flat vector: its elements, rounded up to 64 bytes of float32."""
    return [-(-parameter.numel() // ALIGNMENT) * ALIGNMENT for parameter in module.parameters()]


def compiled(function: Callable[..., Any], device: torch.device) -> Any:
    """Return `function` compiled: with a C++ wrapper on the CPU, with CUDA graphs on a GPU."""
    from torch._inductor import config as inductor

    inductor.compile_threads = 1  # a pool of compiler processes would outlive a forked rank
    if device.type == "cuda":
        inductor.triton.cudagraph_skip_dynamic_graphs = True  # else one more graph for each size of a minibatch
        return torch.compile(function, mode="reduce-overhead")
    return torch.compile(function, options={"cpp_wrapper": True})


class CompiledStep:
    """Takes optimizer steps on minibatches, compiled at the first of them.

    Args:
        settings: of the algorithm.
        policy: its parameters are views of `weights`.
        loss: the terms of the loss, of an evaluation function, a minibatch and the clip range.
        weights: every parameter, one after the other, each at a multiple of 64 bytes.
        optimizer: over `weights`; holds the state.
        group: the ranks whose gradients are averaged.
    """

    def __init__(
        self,
        settings: OnPolicy,
        policy: ActorCritic,
        loss: Callable[..., LossTerms],
        weights: nn.Parameter,
        optimizer: torch.optim.Optimizer,
        group: Collective,
    ) -> None:
        self._settings, self._policy, self._loss, self._group = settings, policy, loss, group
        self._parameter, self._optimizer, self._weights = weights, optimizer, weights.detach()
        device = weights.device
        self.learning_rate = torch.tensor(settings.learning_rate, dtype=torch.float32, device=device)
        self._adam = settings.optimizer in ("adam", "adamw")
        # A graph that writes into its inputs is no CUDA graph.
        self._alone = self._adam and group.size == 1 and device.type == "cpu"
        self._gradient = compiled(self._gradient_and_terms, device)
        self._descend = compiled(self._clip_and_adam, device) if self._adam and device.type == "cpu" else self._optimize
        self._whole = compiled(self._step, device)

    def take(self, batch: Batch, clip_coef: Tensor) -> Tensor:
        """Step once; return the terms of the loss and the gradient norm before clipping, [6]."""
        if self._alone:
            terms: Tensor = self._whole(self._weights, *self._state(), self.learning_rate, batch, clip_coef)
            return terms
        gradient, terms = self._gradient(self._weights, batch, clip_coef)
        gradients = self._group.lent(gradient)
        norm = self._descend(self._weights, gradients, *self._state(), self.learning_rate)
        return torch.cat([terms, norm.view(1)])

    def _state(self) -> tuple[Tensor, ...]:
        """Return Adam's state where torch's optimizer keeps it: first moment, second moment and steps so far."""
        if not self._adam:
            return ()
        state = self._optimizer.state[self._parameter]
        if not state:
            # float32 whatever the precision: bfloat16 counts to 256
            state["step"] = torch.zeros((), dtype=torch.float32, device=self._weights.device)
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(self._weights), torch.zeros_like(self._weights)
        return state["exp_avg"], state["exp_avg_sq"], state["step"]

    # What is compiled

    def _gradient_and_terms(self, weights: Tensor, batch: Batch, clip_coef: Tensor) -> tuple[Tensor, Tensor]:
        """Return the flat gradient and the terms of the loss, [5]."""
        parameters = dict(self._policy.named_parameters())
        shapes, sizes = [parameter.shape for parameter in parameters.values()], padded_sizes(self._policy)

        def loss(weights: Tensor) -> tuple[Tensor, Tensor]:
            pieces = zip(weights.split(sizes), shapes, strict=True)
            views = [piece[: shape.numel()].view(shape) for piece, shape in pieces]
            named = dict(zip(parameters, views, strict=True))
            # A shared torso is one module under two names: nothing is left to tie, and tying does not compile.
            evaluate = partial(functional_call, self._policy, named, tie_weights=False)
            result = self._loss(lambda *rows: evaluate(rows), batch, clip_coef)
            return result.loss, torch.stack([term.detach() for term in result[1:]])

        gradient, terms = grad(loss, has_aux=True)(weights)
        return gradient, terms

    def _clip_and_adam(
        self, weights: Tensor, gradients: Tensor, first: Tensor, second: Tensor, steps: Tensor, learning_rate: Tensor
    ) -> Tensor:
        """Take a step of Adam (arXiv:1412.6980, algorithm 1; AdamW: arXiv:1711.05101) in place.

        Its gradient is the mean of those of the ranks, [size, W], clipped.

        Returns:
            The norm of the gradient before clipping, [].
        """
        settings, gradient = self._settings, gradients.mean(0)
        norm: Tensor = torch.linalg.vector_norm(gradient)
        if settings.max_grad_norm > 0:
            gradient = gradient * (settings.max_grad_norm / (norm + 1e-6)).clamp(max=1.0)
        if settings.optimizer == "adamw":
            weights.mul_(1 - learning_rate * settings.weight_decay)
        elif settings.weight_decay > 0:
            gradient = gradient + settings.weight_decay * weights
        steps.add_(1)
        first.lerp_(gradient, 1 - BETAS[0])
        second.mul_(BETAS[1]).addcmul_(gradient, gradient, value=1 - BETAS[1])
        count = steps.double()  # 1 - 0.999 has few digits in float32
        rate = learning_rate / (1 - BETAS[0] ** count)
        deviation = second.sqrt() / (1 - BETAS[1] ** count).sqrt().float() + settings.optimizer_eps
        weights.sub_(rate.float() * first / deviation)
        return norm

    def _step(
        self,
        weights: Tensor,
        first: Tensor,
        second: Tensor,
        steps: Tensor,
        learning_rate: Tensor,
        batch: Batch,
        clip_coef: Tensor,
    ) -> Tensor:
        """Both halves; return the terms of the loss and the norm, [6]."""
        gradient, terms = self._gradient_and_terms(weights, batch, clip_coef)
        norm = self._clip_and_adam(weights, gradient.unsqueeze(0), first, second, steps, learning_rate)
        return torch.cat([terms, norm.view(1)])

    # What is not

    def _optimize(self, weights: Tensor, gradients: Tensor, *state: Tensor) -> Tensor:
        """Clip the mean gradient and take a step of torch's optimizer; return the norm before clipping, []."""
        gradient = gradients.mean(0)
        norm: Tensor = torch.linalg.vector_norm(gradient)
        if self._settings.max_grad_norm > 0:
            gradient = gradient * (self._settings.max_grad_norm / (norm + 1e-6)).clamp(max=1.0)
        self._parameter.grad = gradient
        self._optimizer.step()
        return norm
