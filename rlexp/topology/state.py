"""What a checkpoint holds of each rank, how it is gathered, and how it is handed out to ranks that go on from it."""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist

from rlexp.files import checkpoint
from rlexp.topology.transport import receive_state, send_state

if TYPE_CHECKING:
    from rlexp.config.schema import Config
    from rlexp.data.types import Collector
    from rlexp.launch.rank import Rank

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Start:
    """What a rank goes on from.

    Attributes:
        policy: weights and statistics.
        learner: what is equal on all ranks that learn.
        own: this rank's own.
        recorder: see `Recorder.state`.
    """

    policy: dict[str, Any]
    learner: dict[str, Any]
    own: dict[str, Any]
    recorder: dict[str, Any]

    @property
    def updates(self) -> int:
        """Updates done."""
        return int(self.recorder["updates"])

    def updates_left(self, config: Config) -> range:
        """Return the updates to be done; none where an evaluation of these weights had ended training."""
        over = config.eval.enough(self.recorder.get("evaluated"))
        return range(self.updates, self.updates if over else config.updates)


def start_of(rank: Rank) -> Start | None:
    """Return what this rank goes on from; None for a run that begins. Every rank must make this call.

    Rank 0 reads the checkpoint and sends the others their parts, so that all go on from the same one.
    """
    goes_on = torch.tensor([int(rank.origin is not None)])
    if rank.size > 1:
        dist.broadcast(goes_on, 0)
    if not goes_on:
        return None
    if rank.index != 0:
        return Start(**receive_state(0))
    assert rank.origin is not None
    state = checkpoint.load(rank.origin.checkpoint)
    shared = {key: state[key] for key in ("policy", "learner", "recorder")}
    for index in range(1, rank.size):
        send_state({**shared, "own": state["ranks"][index]}, index)
    log.info("going on from %s after %d updates", rank.origin.checkpoint.name, state["updates"])
    return Start(**shared, own=state["ranks"][0])


def gather_own(own: dict[str, Any], rank: Rank) -> list[dict[str, Any]]:
    """Return on rank 0 what is each rank's own, in the order of ranks; on the others send it there."""
    if rank.index != 0:
        send_state(own, 0)
        return []
    return [own, *(receive_state(index) for index in range(1, rank.size))]


def load_player(player: Collector, state: dict[str, Any], rank: Rank) -> None:
    """Let a player go on from its state, and say so where environments do not come back as they were."""
    with rank.watch():
        afresh = player.load_state(state)
    if afresh:
        which = ", ".join(map(str, afresh))
        message = (
            f"environments {which} of rank {rank.index} could not be put back where they were and begin new episodes; "
            "the run continues, but will not equal one without interruption"
        )
        log.warning(message)
        print(f"warning: {message}", file=sys.stderr, flush=True)
