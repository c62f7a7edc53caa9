"""What can go wrong with numbers and files in a run, each told in one line."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rlexp.errors import Fault

if TYPE_CHECKING:
    from torch import Tensor

    from rlexp.data.rollout import Rollout
    from rlexp.data.spaces import ObservationSpec
    from rlexp.data.types import Metrics
    from rlexp.learn.learner import Learner

LOSSES = ("policy_loss", "value_loss", "entropy_loss", "grad_norm")
"""The metrics that must be finite; the approximate KL may overflow where the policy has moved far."""


def check_rollout(rollout: Rollout, spec: ObservationSpec, rank: int, start: int, stride: int) -> None:
    """Check that rewards and observations are finite; pixels always are.

    Args:
        rollout: as the player of this rank collected it.
        spec: how its observations lie in rows.
        rank: of the player.
        start: environment steps, over all ranks, before this rollout.
        stride: environment steps, over all ranks, that pass while each environment takes one.

    Raises:
        Fault: the first number that is not finite, with its environment and step.
    """
    obs, final = _numbers(rollout.obs, spec), _numbers(rollout.final_obs, spec)  # [T+1, N, floats], [M, floats]
    good = rollout.rewards.isfinite().all() & obs.isfinite().all() & final.isfinite().all()
    if bool(good):  # one word from the device
        return
    if not bool(rollout.rewards.isfinite().all()):
        step, env = (~rollout.rewards.isfinite()).nonzero()[0].tolist()
        value = float(rollout.rewards[step, env])
        raise Fault(_told("reward", value, f"environment {env} of rank {rank}", start + (step + 1) * stride))
    if not bool(obs.isfinite().all()):
        step, env, column = (~obs.isfinite()).nonzero()[0].tolist()
        value = float(obs[step, env, column])
        where = f"environment {env} of rank {rank}"
        raise Fault(_told("observation", value, where, start + step * stride))
    row, column = (~final.isfinite()).nonzero()[0].tolist()
    step, env = rollout.truncated.nonzero()[row].tolist()
    where = f"environment {env} of rank {rank}"
    raise Fault(_told("observation", float(final[row, column]), where, start + (step + 1) * stride))


def _numbers(rows: Tensor, spec: ObservationSpec) -> Tensor:
    """Return the float32 part, [*, floats], of observation rows [*, D]."""
    import torch

    if spec.floats == 0:
        return rows[..., :0]
    return rows[..., : 4 * spec.floats].view(torch.float32) if spec.images else rows


def _told(what: str, value: float, where: str, step: int) -> str:
    return f"non-finite {what} ({value}) from {where} at step {step:,}; mend the environment"


def check_update(metrics: Metrics, learner: Learner, number: int) -> None:
    """Check that the losses and the gradient norm of an update are finite; every rank comes to the same result.

    Raises:
        Fault: the first minibatch where one is not, and what to try.
    """
    found = next((name for name in LOSSES if not math.isfinite(getattr(metrics, name))), None)
    if found is None or (metrics.skipped_steps > 0 and math.isnan(getattr(metrics, found))):
        return
    bad = (~learner.terms.isfinite()).any(1).nonzero().flatten().tolist()
    epoch, minibatch = divmod(bad[0] if bad else 0, learner.minibatches)
    where = f" in minibatch {minibatch + 1} of epoch {epoch + 1}" if bad else ", on another rank"
    raise Fault(
        f"non-finite {found.replace('_', ' ').replace('grad', 'gradient')} in update {number}{where}; lower "
        f"algo.learning_rate, scale what is large (env.normalize_rewards=true, env.normalize_observations=true), or "
        f"skip single bad steps with algo.skip_nonfinite_gradients=true"
    )
