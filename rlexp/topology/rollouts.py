"""Rollouts as bytes, joined and split along their environments."""

from __future__ import annotations

from dataclasses import fields

import torch
from torch import Tensor

from rlexp.data.rollout import Rollout
from rlexp.learn.ranks import Ranks
from rlexp.models.actor import Actor


def to_bytes(rollout: Rollout) -> Tensor:
    """Return every field of a rollout but its final observations, one after the other, as uint8, [bytes]."""
    parts = [getattr(rollout, name).contiguous().view(-1) for name in _fixed_fields()]
    return torch.cat([part.view(torch.uint8) for part in parts])


def from_bytes(flat: Tensor, like: Rollout, final_obs: Tensor) -> Rollout:
    """Rebuild a rollout from `to_bytes`, in the shapes and types of `like`."""
    values, start = {}, 0
    for name in _fixed_fields():
        template = getattr(like, name)
        size = template.numel() * template.element_size()
        # a clone starts at an aligned address, as a view of another type needs
        values[name] = flat[start : start + size].clone().view(template.dtype).view(template.shape)
        start += size
    return Rollout(**values, final_obs=final_obs)


def _fixed_fields() -> list[str]:
    return [field.name for field in fields(Rollout) if field.name != "final_obs"]


def join(rollouts: list[Rollout]) -> Rollout:
    """Join rollouts along their environments; the final observations keep the order of truncated.nonzero()."""
    truncated = torch.cat([rollout.truncated for rollout in rollouts], 1)
    width = truncated.shape[1]
    keys, offset = [], 0
    for rollout in rollouts:
        step, env = rollout.truncated.nonzero(as_tuple=True)
        keys.append(step * width + env + offset)
        offset += rollout.truncated.shape[1]
    final = torch.cat([rollout.final_obs for rollout in rollouts])[torch.cat(keys).argsort()]
    values = {
        name: torch.cat([getattr(rollout, name) for rollout in rollouts], 0 if name == "initial_state" else 1)
        for name in _fixed_fields()
    }
    return Rollout(**values, final_obs=final)


def part(rollout: Rollout, first: int, last: int) -> Rollout:
    """Return environments first to last - 1 of a rollout."""
    env = rollout.truncated.nonzero(as_tuple=True)[1]
    values = {
        name: getattr(rollout, name)[first:last] if name == "initial_state" else getattr(rollout, name)[:, first:last]
        for name in _fixed_fields()
    }
    return Rollout(**values, final_obs=rollout.final_obs[(env >= first) & (env < last)])


def gather_rollouts(rollout: Rollout, ranks: Ranks) -> Rollout:
    """Gather equally shaped rollouts of all ranks and join them along their environments, in the order of ranks."""
    flats = ranks.gather(to_bytes(rollout))
    counts = ranks.gather(torch.tensor([rollout.final_obs.shape[0]])).flatten().tolist()
    most = max(counts)
    padded = rollout.final_obs.new_zeros((most, rollout.final_obs.shape[1]))
    padded[: rollout.final_obs.shape[0]] = rollout.final_obs
    finals = ranks.gather(padded) if most > 0 else [padded] * ranks.size
    return join(
        [from_bytes(flat, rollout, final[:count]) for flat, final, count in zip(flats, finals, counts, strict=True)]
    )


def blank_rollout(actor: Actor, steps: int, envs: int, width: int, dtype: torch.dtype) -> Rollout:
    """Return a rollout of the shapes and types that a player with this actor sends; its values mean nothing."""
    distribution = actor.distribution
    flags = torch.zeros((steps, envs), dtype=torch.bool)
    return Rollout(
        obs=torch.empty((steps + 1, envs, width), dtype=dtype),
        actions=torch.empty((steps, envs, *distribution.action_shape), dtype=distribution.action_dtype),
        rewards=torch.empty((steps, envs)),
        terminated=flags,
        truncated=flags,
        log_prob=torch.empty((steps, envs)),
        final_obs=torch.empty((0, width), dtype=dtype),
        valid=flags,
        initial_state=torch.empty((envs, actor.state_size)),
    )
