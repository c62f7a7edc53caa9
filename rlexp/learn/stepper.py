"""One optimizer step, eager or compiled (see `rlexp.learn.compiled`): the one place where weights change."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from rlexp.data.batch import Batch
from rlexp.learn.compiled import CompiledStep, compiler_found, padded_sizes
from rlexp.learn.ranks import Collective

if TYPE_CHECKING:
    from lightning.fabric import Fabric

    from rlexp.algos import LossTerms
    from rlexp.config.schema import Config
    from rlexp.models import ActorCritic

TERMS = ("policy_loss", "value_loss", "entropy_loss", "approx_kl", "clip_fraction", "grad_norm")
"""What one step reports, in the order of `LossTerms` without its first, then the gradient norm."""
ROUNDING = 1e-5
"""Standard deviation, beside the mean, that equal float32 numbers may have by rounding alone, with a wide margin."""
OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "rmsprop": torch.optim.RMSprop,
    "sgd": torch.optim.SGD,
}


def flatten_parameters(module: nn.Module) -> nn.Parameter:
    """Move all parameters of `module`, and their gradients, into one vector each, and return it.

    The parameters become views: clipping, averaging over ranks, the optimizer and transport then handle one tensor.
    Each parameter starts at a multiple of 64 bytes; the gaps stay 0.
    """
    parameters, sizes = list(module.parameters()), padded_sizes(module)
    flat = nn.Parameter(parameters[0].new_zeros(sum(sizes)))
    flat.grad = torch.zeros_like(flat)
    values, gradients = flat.detach().split(sizes), flat.grad.split(sizes)
    for parameter, value, gradient in zip(parameters, values, gradients, strict=True):
        count = parameter.numel()
        value[:count] = parameter.detach().reshape(-1)
        parameter.data = value[:count].view(parameter.shape)
        parameter.grad = gradient[:count].view(parameter.shape)
    return flat


def normalized(advantages: Tensor) -> Tensor:
    """Return advantages [B] scaled to mean 0 and standard deviation 1; equal ones become 0."""
    deviation, mean = torch.std_mean(advantages)
    return (advantages - mean) / (deviation.maximum(ROUNDING * mean.abs()) + 1e-8)


def build_optimizer(config: Config, weights: nn.Parameter) -> torch.optim.Optimizer:
    """Return the optimizer that the config names, over one flat vector."""
    algo = config.algo
    options: dict[str, Any] = {"weight_decay": algo.weight_decay}
    if algo.optimizer != "rmsprop":  # which has no fused form; and a fused step would unscale by itself
        options["fused"] = config.fabric.precision != "16-mixed"
    if algo.optimizer != "sgd":
        options["eps"] = algo.optimizer_eps
    return OPTIMIZERS[algo.optimizer]([weights], lr=algo.learning_rate, **options)


class Stepper:
    """Takes optimizer steps on minibatches.

    Args:
        config: the experiment.
        policy: on the device of this rank; its parameters become views of `weights`.
        fabric: gives precision and gradient scaling.
        group: the ranks whose gradients are averaged.
    """

    def __init__(self, config: Config, policy: ActorCritic, fabric: Fabric, group: Collective) -> None:
        self._algo, self._policy, self._fabric, self._group = config.algo, policy, fabric, group
        self.weights = flatten_parameters(policy)
        self.optimizer = build_optimizer(config, self.weights)
        self._scaled = config.fabric.precision == "16-mixed"
        self._undoes = config.algo.skip_nonfinite_gradients
        self.skips = self._undoes or self._scaled  # the scaler of gradients skips its overflows by itself
        self._stepped: Any = fabric.setup_optimizers(self.optimizer) if self._scaled else self.optimizer
        self._autocast = nullcontext if config.fabric.precision == "32-true" else fabric.autocast  # not free
        self._compiled = None
        if config.compiled and compiler_found(self.weights.device):
            self._compiled = CompiledStep(config.algo, policy, self._loss, self.weights, self.optimizer, group)

    def learning_rate(self, value: float) -> None:
        """Set the learning rate of the steps that follow."""
        self.optimizer.param_groups[0]["lr"] = value
        if self._compiled is not None:
            self._compiled.learning_rate.fill_(value)

    def take(self, batch: Batch, clip_coef: Tensor) -> Tensor:
        """Step once; return the terms of the loss and the gradient norm before clipping, [6] in the order of TERMS.

        With algo.skip_nonfinite_gradients nothing is changed where that norm is not finite; it is equal on all ranks.

        Args:
            batch: the minibatch, advantages not yet normalised.
            clip_coef: the clip range now, [].
        """
        if not self._undoes:
            return self._take(batch, clip_coef)
        state = self.optimizer.state[self.weights]
        before, weights = {name: value.clone() for name, value in state.items()}, self.weights.detach().clone()
        told = self._take(batch, clip_coef)
        self._undo_unless(told[-1].isfinite(), before, weights)
        return told

    @torch.no_grad()
    def _undo_unless(self, wanted: Tensor, before: dict[str, Tensor], weights: Tensor) -> None:
        """Put weights and optimizer state back unless `wanted`, [] bool, without a word between device and CPU."""
        self.weights.copy_(torch.where(wanted, self.weights, weights))
        for name, value in self.optimizer.state[self.weights].items():
            if value.device == self.weights.device:  # rmsprop counts steps elsewhere, and never asks for the count
                # what the step itself has made began with zeros
                value.copy_(torch.where(wanted, value, before[name] if name in before else torch.zeros_like(value)))

    def _take(self, batch: Batch, clip_coef: Tensor) -> Tensor:
        """Step once, whatever the gradient; see `take`."""
        if self._compiled is not None:
            with self._autocast():
                return self._compiled.take(batch, clip_coef)
        self._gradient.zero_()
        with self._autocast():
            result = self._loss(self._policy, batch, clip_coef)
        self._backward(result.loss)
        terms = torch.stack([term.detach() for term in result[1:]])
        return torch.cat([terms, self._descend().view(1)])

    @property
    def _gradient(self) -> Tensor:
        gradient = self.weights.grad
        assert gradient is not None
        return gradient

    def _loss(self, evaluate: Callable[..., Any], batch: Batch, clip_coef: Tensor) -> LossTerms:
        """Return the terms of the loss of the policy that `evaluate` computes."""
        if self._algo.normalize_advantages and batch.advantages.shape[0] > 1:
            advantages = normalized(batch.advantages)
            batch = Batch(batch.obs, batch.actions, batch.log_prob, advantages, batch.returns, batch.values)
        return self._algo.loss(evaluate(batch.obs, batch.actions), batch, clip_coef)

    def _backward(self, loss: Tensor) -> None:
        if self._scaled:
            self._fabric.backward(loss)
        else:
            loss.backward()

    def _descend(self) -> Tensor:
        """Average the gradient over ranks, clip it and step; return its norm before clipping, []."""
        if self._group.size > 1:
            self._group.mean_(self._gradient)
        if self._scaled:  # after the mean, so that all ranks find the same overflow and skip the same step
            self._fabric.strategy.precision.unscale_gradients(self.optimizer)
        norm: Tensor = torch.linalg.vector_norm(self._gradient)
        if self._algo.max_grad_norm > 0:
            self._gradient.mul_((self._algo.max_grad_norm / (norm + 1e-6)).clamp(max=1.0))
        self._stepped.step()
        return norm
