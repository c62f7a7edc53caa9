"""Whether the numbers of a rollout and of an update are finite; each Fault is one line."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rlexp.data.rollout import Rollout
from rlexp.data.scalars import Scalar
from rlexp.data.spaces import ObservationSpec
from rlexp.errors import Fault

Array = npt.NDArray[np.float32]


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
        raise Fault(_message("reward", value, f"environment {env} of rank {rank}", start + (step + 1) * stride))
    if not bool(obs.isfinite().all()):
        step, env, column = (~obs.isfinite()).nonzero()[0].tolist()
        value = float(obs[step, env, column])
        where = f"environment {env} of rank {rank}"
        raise Fault(_message("observation", value, where, start + step * stride))
    row, column = (~final.isfinite()).nonzero()[0].tolist()
    step, env = rollout.truncated.nonzero()[row].tolist()
    where = f"environment {env} of rank {rank}"
    raise Fault(_message("observation", float(final[row, column]), where, start + (step + 1) * stride))


def _numbers(rows: Tensor, spec: ObservationSpec) -> Tensor:
    """Return the float32 part, [*, floats], of observation rows [*, D]."""
    if spec.floats == 0:
        return rows[..., :0]
    return rows[..., : 4 * spec.floats].view(torch.float32) if spec.images else rows


def _message(what: str, value: float, where: str, step: int) -> str:
    return f"non-finite {what} ({value}) from {where} at step {step:,}; mend the environment"


def check_terms(
    found: Mapping[str, float], scalars: Sequence[Scalar], steps: Array, minibatches: int, number: int
) -> None:
    """Check that what must be finite of an update is; every rank comes to the same result.

    Args:
        found: the scalars of the update, by name.
        scalars: their declarations.
        steps: what each step of this rank reported, [S, K]; minus infinity where it was not due.
        minibatches: steps of an epoch.
        number: of the update, from 1.

    Raises:
        Fault: the first minibatch where one is not, and what to try.
    """
    bad = next((one.name for one in scalars if one.finite and not math.isfinite(found[one.name])), None)
    if bad is None or (found["skipped_steps"] > 0 and math.isnan(found[bad])):
        return
    rows = np.flatnonzero((~np.isfinite(steps) & (steps != -np.inf)).any(1)).tolist()
    epoch, minibatch = divmod(rows[0] if rows else 0, minibatches)
    where = f" in minibatch {minibatch + 1} of epoch {epoch + 1}" if rows else ", on another rank"
    raise Fault(
        f"non-finite {bad.replace('_', ' ').replace('grad', 'gradient')} in update {number}{where}; lower "
        f"algo.learning_rate, scale what is large (env.normalize_rewards=true, env.normalize_observations=true), or "
        f"skip single bad steps with algo.skip_nonfinite_gradients=true"
    )
