"""What moves between the player, the trainers and rank 0: orders, rollouts, weights, scalars and states."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from rlexp.data.replay import Segment
from rlexp.data.rollout import Rollout, Update
from rlexp.data.state import RankState
from rlexp.files.codec import decode, encode
from rlexp.models.actor import Actor
from rlexp.topology.rollouts import from_bytes, to_bytes

S = TypeVar("S")


Sent = list[tuple[dist.Work, Tensor]]
"""Messages under way, each with its memory, which must stay until it has arrived."""


class Order(enum.IntEnum):
    """What the player tells the trainers to do next."""

    LEARN = 0
    SEND_STATE = 1
    END = 2
    WAIT = 3


def send_order(order: Order, value: int, ranks: list[int]) -> Sent:
    """Send an order to each rank, with a number: updates done before LEARN, the signal that END is for, else 0."""
    message = torch.tensor([order, value])
    return _sent([(message, rank) for rank in ranks])


def receive_order(source: int) -> tuple[Order, int]:
    """Receive what `send_order` sent."""
    message = torch.empty(2, dtype=torch.int64)
    dist.recv(message, source)
    order, value = message.tolist()
    return Order(order), value


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


def _statistics(actor: Actor) -> list[Tensor]:
    """Return the floating-point buffers of an actor that learners change: the statistics of its normaliser."""
    return [buffer for buffer in actor.preprocessor.buffers() if buffer.is_floating_point()]


def send_update(actor: Actor, update: Update, target: int) -> None:
    """Send the results of an update: the actor's weights as one vector, and statistics and scalars as another."""
    values = [torch.tensor([update.seconds, update.learned, *update.scalars.values()], dtype=torch.float64)]
    values += [buffer.detach().double().cpu().flatten() for buffer in _statistics(actor)]
    dist.send(parameters_to_vector(actor.parameters()).detach().cpu(), target)
    dist.send(torch.cat(values), target)


@torch.no_grad()
def receive_update(actor: Actor, names: Sequence[str], source: int) -> Update:
    """Receive what `send_update` sent, weights and statistics into `actor`.

    Args:
        actor: of the shapes of the sender's.
        names: of the scalars, in the order in which they were sent.
        source: rank of the sender.
    """
    weights = torch.empty_like(parameters_to_vector(actor.parameters()), device="cpu")
    dist.recv(weights, source)
    vector_to_parameters(weights.to(actor.device), actor.parameters())
    buffers = _statistics(actor)
    sizes = [2 + len(names), *(buffer.numel() for buffer in buffers)]
    message = torch.empty(sum(sizes), dtype=torch.float64)
    dist.recv(message, source)
    scalars, *statistics = message.split(sizes)
    for buffer, value in zip(buffers, statistics, strict=True):
        buffer.copy_(value.view(buffer.shape))
    seconds, learned, *values = scalars.tolist()
    return Update(dict(zip(names, values, strict=True)), seconds, int(learned))


def send_state(state: object, target: int) -> None:
    """Send a state of `rlexp.data.state`: its length, then its bytes."""
    payload = torch.frombuffer(bytearray(encode(state)), dtype=torch.uint8)
    dist.send(torch.tensor([payload.numel()]), target)
    dist.send(payload, target)


def receive_rank_state(source: int) -> RankState | Segment:
    """Receive a rank's own state, or the segment that it has written it to."""
    state: RankState | Segment = receive_state(RankState | Segment, source)  # type: ignore[arg-type]  # one of two
    return state


def receive_state(kind: type[S], source: int) -> S:
    """Receive what `send_state` sent."""
    size = torch.empty(1, dtype=torch.int64)
    dist.recv(size, source)
    payload = torch.empty(int(size), dtype=torch.uint8)
    dist.recv(payload, source)
    return decode(payload.numpy().tobytes(), kind)
