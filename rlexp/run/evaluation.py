"""Evaluation of a policy: episodes that are played with fixed weights."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from rlexp.config.schema import EVAL_SEED_START, STREAMS, Config
from rlexp.data.generators import kept_generators
from rlexp.envs import VideoSettings, make_environments, ordinary
from rlexp.envs.actions import environment_actions
from rlexp.envs.vector import VectorEnvironment
from rlexp.envs.video import recorded
from rlexp.errors import Fault
from rlexp.models.acting import FastActor
from rlexp.models.actor import Actor

Progress = Callable[[int, int], None]
"""Takes the episodes that have ended and the steps that were played."""

ENVIRONMENTS = 16
"""Episodes that are played side by side."""


@dataclass(frozen=True)
class EvalResult:
    """Returns (undiscounted sums of raw rewards) and lengths (steps) of evaluation episodes, in the order of seeds.

    Attributes:
        returns: one an episode.
        lengths: one an episode.
        video: of the first episode, if one was written.
        cut: episodes that reached eval.max_episode_steps.
        limit: eval.max_episode_steps.
        seeds: the first and the last seed.
        stream: where the seeds come from.
    """

    returns: list[float] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    video: Path | None = None
    cut: int = 0
    limit: int = 0
    seeds: tuple[int, int] = (0, 0)
    stream: str = STREAMS[0]

    @property
    def mean_return(self) -> float:
        """The mean of the returns."""
        return statistics.fmean(self.returns)

    def as_dict(self) -> dict[str, Any]:
        """Return what summary.json holds; the standard deviation is that of the population."""
        return {
            "episodes": len(self.returns),
            "mean_return": self.mean_return,
            "std_return": statistics.pstdev(self.returns),
            "mean_length": statistics.fmean(self.lengths),
            "returns": self.returns,
            "cut": self.cut,
            "max_episode_steps": self.limit,
            "seeds": f"{self.seeds[0]}..{self.seeds[1]}",
            "stream": self.stream,
        }


def cut_note(values: Mapping[str, Any]) -> str | None:
    """Return the line on episodes that were cut, from what `EvalResult.as_dict` returned; None if none was."""
    if not values.get("cut"):
        return None
    return (
        f"{values['cut']} of {values['episodes']} episodes were cut at eval.max_episode_steps="
        f"{values['max_episode_steps']}; their returns are of what was played"
    )


def evaluation_seeds(seed: int, episodes: int, stream: str = STREAMS[0]) -> list[int]:
    """Return a seed for each episode, all of them in [2^31, 2^32), where no training seed lies.

    Each stream has a third of that range to itself.
    """
    size = EVAL_SEED_START // len(STREAMS)
    start = EVAL_SEED_START + STREAMS.index(stream) * size
    return [start + (seed * 10_007 + episode) % size for episode in range(episodes)]


def evaluate(
    config: Config,
    actor: Actor,
    episodes: int,
    *,
    seed: int,
    stream: str = STREAMS[0],
    deterministic: bool = True,
    video_folder: Path | None = None,
    env_steps: int = 0,
    progress: Progress = lambda played, steps: None,
) -> EvalResult:
    """Play episodes with a fixed policy; the global random generators are left as they were.

    Args:
        config: the experiment whose environment is played.
        actor: any device; it is not changed.
        episodes: how many, at least 1.
        seed: of the experiment; the episodes' own seeds follow from it.
        stream: one of STREAMS; those of two streams have no seed in common.
        deterministic: take the most probable action rather than a sample.
        video_folder: where a video of the first episode is written; None: nowhere.
        env_steps: after how many steps of training, for the video's name.
        progress: called after each step of the environments.

    Raises:
        Fault: an observation or a return is not finite.
    """
    generator = torch.Generator(actor.device).manual_seed(EVAL_SEED_START + seed)
    results: list[_Played] = []
    played, limit = ordinary(config.env), config.eval.max_episode_steps
    seeds = evaluation_seeds(seed, episodes, stream)
    video = None if video_folder is None else VideoSettings(video_folder, config.video.max_steps, start=env_steps)
    before = {} if video is None else recorded(video.folder)
    with kept_generators(seeds[0]):
        for start in range(0, episodes, ENVIRONMENTS):
            part = seeds[start : start + ENVIRONMENTS]
            first, steps = video if start == 0 else None, sum(each.length for each in results)
            envs = make_environments(played, len(part), first, seeds=part, restorable=False, mask=actor.mask)
            try:
                shown = _after(progress, len(results), steps)
                results += _play(limit, actor, envs, part, None if deterministic else generator, shown)
            finally:
                envs.close()
            _check_returns(results, seeds)
    written = [] if video is None else [item[0] for item in recorded(video.folder).items() - before.items()]
    returns, lengths = [each.total for each in results], [each.length for each in results]
    cut = sum(not each.ended for each in results)
    return EvalResult(returns, lengths, next(iter(written), None), cut, limit, (seeds[0], seeds[-1]), stream)


def _check_returns(results: Sequence[_Played], seeds: Sequence[int]) -> None:
    """Check that every return is finite.

    Raises:
        Fault: one is not.
    """
    for number, (each, seed) in enumerate(zip(results, seeds, strict=False)):
        if not math.isfinite(each.total):
            raise Fault(f"non-finite return ({each.total}) of evaluation episode {number} (seed {seed})")


class _Played(NamedTuple):
    """An episode; `ended` is False where it was cut."""

    total: float
    length: int
    ended: bool


def _after(progress: Progress, played: int, steps: int) -> Progress:
    """Return `progress` with what was played before added."""
    return lambda more, further: progress(played + more, steps + further)


def _play(
    most_steps: int,
    actor: Actor,
    envs: VectorEnvironment,
    seeds: Sequence[int],
    generator: torch.Generator | None,
    progress: Progress,
) -> list[_Played]:
    """Play one episode of each environment, by samples where there is a generator."""
    count = len(seeds)
    rows = np.zeros((count, envs.spec.observation.row_size), envs.row_dtype)
    totals, lengths, done = np.zeros(count), np.zeros(count, np.int64), np.zeros(count, np.bool_)
    envs.reset(seeds, rows)
    acting = FastActor(actor, count)
    with torch.inference_mode():
        while not done.all() and lengths.max() < most_steps:
            if generator is None:
                actions = acting.greedy(rows)
            else:
                actions = acting.sampler(actor.noise((1, count), generator))(0, rows)
            result = envs.step(environment_actions(actions, envs.spec, actor.bounds), rows)
            if envs.row_dtype != np.uint8 and not np.isfinite(rows).all():
                bad = int((~np.isfinite(rows)).any(1).argmax())
                raise Fault(f"non-finite observation in the evaluation episode with seed {seeds[bad]}")
            lengths += ~done
            if result.whole is None:
                totals += np.where(done, 0.0, result.rewards)
                done |= result.terminated | result.truncated
            else:
                ended = ~np.isnan(result.whole)
                totals = np.where(ended & ~done, result.whole, totals)
                done |= ended
            progress(int(done.sum()), int(lengths.sum()))
    if envs.wrapped and not done.all():
        totals = np.where(done, totals, envs.raw_totals())
    return [_Played(*each) for each in zip(totals.tolist(), lengths.tolist(), done.tolist(), strict=True)]
