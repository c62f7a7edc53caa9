"""Collectives on flat typed tensors between the ranks that learn together."""

from __future__ import annotations

from dataclasses import fields

import torch
import torch.distributed as dist
from torch import Tensor

from rlexp.types import Rollout


class Alone:
    """The group of a learner that learns by itself."""

    rank = 0
    size = 1

    def mean_(self, tensor: Tensor) -> None:
        """Leave `tensor` as it is: the mean over one rank."""

    def gather(self, tensor: Tensor) -> Tensor:
        """Return [1, *]."""
        return tensor.unsqueeze(0)


class Group:
    """The ranks of a torch process group; `group` None is the world.

    Means are taken from gathered values in the order of ranks, so that every rank computes the same bits; with gloo
    this is also faster than its all-reduce for the sizes at hand.
    """

    def __init__(self, group: dist.ProcessGroup | None = None) -> None:
        self._group = group
        self.rank = dist.get_rank(group)
        self.size = dist.get_world_size(group)

    def mean_(self, tensor: Tensor) -> None:
        """Replace `tensor` by its mean over the ranks."""
        tensor.copy_(self.gather(tensor).mean(0))

    def gather(self, tensor: Tensor) -> Tensor:
        """Return the tensors of all ranks, equal in shape, stacked in the order of ranks: [size, *]."""
        out = tensor.new_empty((self.size, tensor.numel()))
        dist.all_gather_into_tensor(out, tensor.contiguous().view(-1), group=self._group)
        return out.view(self.size, *tensor.shape)


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


def gather_rollouts(rollout: Rollout, group: Group) -> Rollout:
    """Gather equally shaped rollouts of all ranks and join them along their environments, in the order of ranks."""
    flats = group.gather(to_bytes(rollout))
    counts = group.gather(torch.tensor([rollout.final_obs.shape[0]])).flatten().tolist()
    most = max(counts)
    padded = rollout.final_obs.new_zeros((most, rollout.final_obs.shape[1]))
    padded[: rollout.final_obs.shape[0]] = rollout.final_obs
    finals = group.gather(padded) if most > 0 else [padded] * group.size
    return join(
        [from_bytes(flat, rollout, final[:count]) for flat, final, count in zip(flats, finals, counts, strict=True)]
    )
