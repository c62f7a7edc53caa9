"""What moves between ranks: rollouts, weights and scalars, as few flat typed tensors."""

from __future__ import annotations

import enum
import io
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from rlexp.data.rollout import Rollout
from rlexp.data.types import Metrics
from rlexp.models import ActorCritic

if TYPE_CHECKING:
    from rlexp.launch.board import Board


class Alone:
    """The group of a learner that learns by itself."""

    rank = 0
    size = 1

    def mean_(self, tensor: Tensor) -> None:
        """Leave `tensor` as it is: the mean over one rank."""

    def gather(self, tensor: Tensor) -> Tensor:
        """Return [1, *]."""
        return tensor.unsqueeze(0)

    def lent(self, tensor: Tensor) -> Tensor:
        """Return [1, numel]."""
        return tensor.view(1, -1)


class Group:
    """Ranks that follow one another in the world, from `first` to the last, and the ways that they talk.

    Means are taken from gathered values in the order of ranks, so that every rank computes the same bits by either
    way; with gloo this is also faster than its all-reduce for the sizes at hand.

    Args:
        first: the first rank of the group.
        group: their torch process group; None is the world.
        board: memory that they share; None where they share none.
    """

    def __init__(self, first: int = 0, group: dist.ProcessGroup | None = None, board: Board | None = None) -> None:
        self._group, self._board = group, board
        self.rank = dist.get_rank(group)
        self.size = dist.get_world_size(group)
        self._members = range(first, first + self.size)

    def mean_(self, tensor: Tensor) -> None:
        """Replace `tensor` by its mean over the ranks."""
        tensor.copy_(self.lent(tensor).mean(0).view(tensor.shape))

    def gather(self, tensor: Tensor) -> Tensor:
        """Return the tensors of all ranks, equal in shape, stacked in the order of ranks: [size, *]."""
        return self.lent(tensor).clone().view(self.size, *tensor.shape)

    def lent(self, tensor: Tensor) -> Tensor:
        """Return the tensors of all ranks, [size, numel]; the next call may overwrite them."""
        if self._board is not None and self._board.fits(tensor):
            return self._board.exchange(tensor, self._members[self.rank], self._members)
        out = tensor.new_empty((self.size, tensor.numel()))
        dist.all_gather(list(out.unbind(0)), tensor.contiguous().view(-1), group=self._group)
        return out


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


# Between the player and the trainers


def blank_rollout(policy: ActorCritic, steps: int, envs: int, width: int, dtype: torch.dtype) -> Rollout:
    """Return a rollout of the shapes and types that a player with this policy sends; its values mean nothing."""
    distribution = policy.distribution
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
        initial_state=torch.empty((envs, 0)),
    )


Sent = list[tuple[dist.Work, Tensor]]
"""Messages under way, each with its memory, which must stay until it has arrived."""


class Order(enum.IntEnum):
    """What the player tells the trainers to do next."""

    LEARN = 0
    SEND_STATE = 1
    END = 2
    WAIT = 3


def send_order(order: Order, signum: int, ranks: list[int]) -> Sent:
    """Send an order, and the signal that it is for, or 0, to each rank."""
    message = torch.tensor([order, signum])
    return _sent([(message, rank) for rank in ranks])


def receive_order(source: int) -> tuple[Order, int]:
    """Receive what `send_order` sent."""
    message = torch.empty(2, dtype=torch.int64)
    dist.recv(message, source)
    order, signum = message.tolist()
    return Order(order), signum


def send_rollouts(rollouts: list[Rollout], ranks: list[int]) -> Sent:
    """Send one rollout to each rank: a message of all fixed fields, and one of final observations if there are any."""
    messages = []
    for rollout, rank in zip(rollouts, ranks, strict=True):
        messages.append((to_bytes(rollout), rank))
        if rollout.final_obs.shape[0] > 0:
            messages.append((rollout.final_obs.contiguous(), rank))
    return _sent(messages)


def _sent(messages: list[tuple[Tensor, int]]) -> Sent:
    """Begin to send messages to ranks."""
    sent = []
    for message, rank in messages:
        work = dist.isend(message, rank)
        assert work is not None
        sent.append((work, message))
    return sent


def wait_for(sent: Sent) -> None:
    """Wait until messages have arrived."""
    for work, _ in sent:
        work.wait()


def receive_rollout(like: Rollout, source: int) -> Rollout:
    """Receive a rollout of the shapes of `like` from rank `source`."""
    flat = torch.empty_like(to_bytes(like))
    dist.recv(flat, source)
    rollout = from_bytes(flat, like, like.final_obs)
    count = int(rollout.truncated.sum())
    if count == 0:
        return rollout
    final = like.final_obs.new_empty((count, like.final_obs.shape[1]))
    dist.recv(final, source)
    return from_bytes(flat, like, final)


def _buffers(module: nn.Module) -> list[Tensor]:
    """Return the floating-point buffers of a module: the statistics of its normaliser."""
    return [buffer for buffer in module.buffers() if buffer.is_floating_point()]


def send_update(policy: ActorCritic, weights: Tensor, metrics: Metrics, seconds: float, target: int) -> None:
    """Send what an update made: the weights as one vector, and statistics, metrics and duration as another."""
    values = [
        torch.tensor([seconds, *(getattr(metrics, field.name) for field in fields(Metrics))], dtype=torch.float64)
    ]
    values += [buffer.detach().double().cpu().flatten() for buffer in _buffers(policy)]
    dist.send(weights.detach().cpu(), target)
    dist.send(torch.cat(values), target)


@torch.no_grad()
def receive_update(policy: ActorCritic, weights: Tensor, source: int) -> tuple[Metrics, float]:
    """Receive what `send_update` sent into `policy` and its flat `weights`; return metrics and seconds of learning."""
    received = torch.empty(weights.shape, dtype=weights.dtype)
    dist.recv(received, source)
    weights.copy_(received)
    buffers = _buffers(policy)
    sizes = [1 + len(fields(Metrics)), *(buffer.numel() for buffer in buffers)]
    message = torch.empty(sum(sizes), dtype=torch.float64)
    dist.recv(message, source)
    scalars, *statistics = message.split(sizes)
    for buffer, value in zip(buffers, statistics, strict=True):
        buffer.copy_(value.view(buffer.shape))
    seconds, *values = scalars.tolist()
    return Metrics(*values), seconds


def send_state(state: dict[str, Any], target: int) -> None:
    """Send a learner's state for a checkpoint: its length, then its bytes."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    payload = torch.frombuffer(bytearray(buffer.getvalue()), dtype=torch.uint8)
    dist.send(torch.tensor([payload.numel()]), target)
    dist.send(payload, target)


def receive_state(source: int) -> dict[str, Any]:
    """Receive what `send_state` sent."""
    size = torch.empty(1, dtype=torch.int64)
    dist.recv(size, source)
    payload = torch.empty(int(size), dtype=torch.uint8)
    dist.recv(payload, source)
    state: dict[str, Any] = torch.load(io.BytesIO(payload.numpy().tobytes()), map_location="cpu", weights_only=True)
    return state
