"""What one rank does between launch and end: the loop of its topology, then the evaluation."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING

from rlexp.errors import writing
from rlexp.files.summary import Summary
from rlexp.run.evaluator import evaluate_watched
from rlexp.run.recorder import Recorder
from rlexp.show.display import Display

if TYPE_CHECKING:
    from rlexp.launch.rank import Rank
    from rlexp.models import ActorCritic

log = logging.getLogger(__name__)


def run_rank(rank: Rank) -> None:
    """Train, and on rank 0 evaluate and write the results down."""
    import torch

    from rlexp.learn.compiled import missing
    from rlexp.topology import coupled, decoupled
    from rlexp.topology.state import start_of

    config = rank.config
    first = rank.index == 0
    display = Display(config.updates * config.steps_per_update) if first else None
    if first and config.compiled and missing(torch.device(config.fabric.accelerator)) is None:
        print(
            "compiling the train step: the first update takes longer (seconds, or a minute the first time)", flush=True
        )
    start = start_of(rank)
    recorder = Recorder(config, rank.run_dir if first else None, display, start.recorder if start else None)
    summary = Summary(rank.run_dir)
    try:
        policy = (decoupled if config.topology.name == "decoupled" else coupled).run(rank, recorder, start)
        if first:
            with writing(summary.path):
                summary.change(**_progress(recorder, rank.size))
            results = _results(rank, recorder, policy)
            with writing(summary.path):
                summary.change(**results)
    except BaseException:
        if first:
            with contextlib.suppress(OSError):  # of a full disk; what was raised says more
                summary.change(**_progress(recorder, rank.size))
        raise
    finally:
        recorder.close()


def _progress(recorder: Recorder, world_size: int) -> dict[str, object]:
    """Return how far the run came; steps per second are those of the loop, start-up and evaluation apart."""
    return {
        "world_size": world_size,
        "env_steps": recorder.env_steps,
        "updates": recorder.updates,
        "steps_per_second": recorder.env_steps / recorder.seconds if recorder.seconds > 0 else None,
        "objective": recorder.mean_return(),
    }


def _results(rank: Rank, recorder: Recorder, policy: ActorCritic) -> dict[str, object]:
    """Evaluate the trained policy; the objective is its mean return (without evaluation: of the last episodes)."""
    config = rank.config
    if config.eval.episodes == 0:
        return {}
    folder = rank.run_dir / "videos" / "test" if config.capture_video else None
    result = evaluate_watched(rank, recorder, policy, "final", folder, rank.beat)
    recorder.test(result)
    if recorder.display is not None:
        recorder.display.close()
    return {"objective": result.mean_return, "eval": result.as_dict()}
