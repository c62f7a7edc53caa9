"""The memory of off-policy algorithms: what was collected over many rollouts, drawn at random."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import torch
from torch import Tensor

from rlexp.algos.off_policy import ReplaySettings
from rlexp.data.replay import ReplayBatch, ReplayRows, ReplayState, Segment
from rlexp.data.rollout import Rollout
from rlexp.errors import ConfigError
from rlexp.learn.memory import Keep, Kept
from rlexp.learn.priorities import Priorities
from rlexp.learn.ranks import Ranks
from rlexp.learn.rewards import RewardScaler
from rlexp.learn.ring import Ring
from rlexp.learn.rows import RowSpec

PARTS, LEAST_PART_BYTES, MOST_PART_BYTES = 64, 2**18, 2**26
"""A full memory is written in about so many parts, none of them smaller or larger than these sizes."""


@dataclass(frozen=True)
class ReplayPlace:
    """Where the rows of a replay memory lie.

    Attributes:
        capacity: transitions of each environment, C.
        num_envs: environments of the rollouts, N.
        spec: of a row.
        steps_per_update: environment steps of an update, over all ranks.
        file: where the rows lie instead of in memory; None: in memory.
    """

    capacity: int
    num_envs: int
    spec: RowSpec
    steps_per_update: int
    file: Path | None = None


class Replay:
    """Holds the newest transitions, as raw as they were collected.

    Args:
        settings: of the algorithm.
        place: where the rows lie.
        rewards: normalises and clips rewards, by the statistics of now.
        ranks: the ranks that learn together.
        shared: whether all of them hold the same transitions, so that a batch is split between them.
        generator: draws transitions and noise, on the CPU; equal on all ranks where data are shared.
        device: of the learner.
    """

    minibatches = 1

    def __init__(
        self,
        settings: ReplaySettings,
        place: ReplayPlace,
        rewards: RewardScaler,
        ranks: Ranks,
        shared: bool,
        generator: torch.Generator,
        device: torch.device,
    ) -> None:
        capacity, num_envs, spec = place.capacity, place.num_envs, place.spec
        self._settings, self._rewards, self._generator, self._device = settings, rewards, generator, device
        self._ranks, self._share = ranks, ranks.size if shared else 1
        self._turn = ranks.rank if shared else 0
        self._ring = Ring(capacity, num_envs, spec, place.file)
        self._steps_per_update = place.steps_per_update
        self._ratio = Fraction(settings.replay_ratio).limit_denominator(1_000_000)
        self._priorities: Priorities | None = None
        if settings.alpha > 0:
            self._priorities = Priorities(self._ring.rows * num_envs, settings.alpha)
        self._counted, self._owed = 0, 0
        self._drawn: list[Tensor] = []  # places of the batches under way
        least, most = (size // (num_envs * spec.bytes) for size in (LEAST_PART_BYTES, MOST_PART_BYTES))
        self._part = max(1, least, min(-(-capacity // PARTS), most))  # in steps
        self._written: dict[int, Segment] = {}

    def add(self, rollout: Rollout) -> None:
        """Take a rollout in; batches are owed for its steps once `learning_starts` steps lie in memory."""
        self._rewards.observe(rollout)
        rollout = rollout.to("cpu")
        leaving = self._ring.leaving(rollout.rewards.shape[0])
        places = self._ring.add(rollout)
        if self._priorities is not None:
            self._priorities.set(leaving.numpy(), 0.0)
            valid = rollout.valid.flatten().double().numpy()
            self._priorities.set(places.numpy(), valid * self._priorities.highest)
        self._owed = 0
        if self._ring.steps * self._steps_per_update >= self._settings.learning_starts * len(rollout.rewards):
            counted = self._counted + self._steps_per_update
            self._owed = int(counted * self._ratio) - int(self._counted * self._ratio)
            self._counted = counted

    def batches(self, left: float) -> Iterator[ReplayBatch]:
        """Yield the batches of one update; all of them are drawn at once."""
        if self._owed == 0 or self._ring.transitions == 0:
            return
        size, batches = self._settings.batch * self._share, self._owed
        places, weight = self._draw(batches, size, left)
        noise = torch.empty((batches, size, self._settings.noise)).normal_(generator=self._generator)
        self._drawn = list(places.unbind(0))
        own = slice(self._turn, None, self._share)
        places, noise = places[:, own], noise[:, own]
        found = self._ring.taken(places.flatten(), self._settings.n_step)
        gamma = self._settings.gamma
        rewards = self._rewards.now(found.rewards) @ gamma ** torch.arange(self._settings.n_step)
        whole = ReplayBatch(
            obs=found.obs,
            actions=found.actions,
            rewards=rewards,
            next_obs=found.next_obs,
            discounts=gamma**found.length * ~found.terminated,
            noise=noise.flatten(0, 1),
            weight=None if weight is None else weight[:, own].flatten(),
        )
        yield from whole.to(self._device).split(batches)

    def _draw(self, batches: int, size: int, left: float) -> tuple[Tensor, Tensor | None]:
        """Return places, [K, B] int64, and the weights of importance sampling, [K, B]; None: all the same."""
        if self._priorities is None:
            return self._uniform(batches * size).view(batches, size), None
        uniform = torch.rand((batches, size), dtype=torch.float64, generator=self._generator)
        places = self._priorities.drawn(uniform.numpy())
        chances = torch.from_numpy(self._priorities.of(places) / self._priorities.total)
        beta = 1 - (1 - self._settings.beta) * left
        weight = (chances * self._ring.transitions) ** -beta
        return torch.from_numpy(places), (weight / weight.amax(1, keepdim=True)).float()

    def _uniform(self, count: int) -> Tensor:
        """Return the places of so many transitions, each as likely as every other, [count] int64."""
        ring = self._ring

        def drawn(count: int) -> Tensor:
            offset = torch.randint(ring.count * ring.num_envs, (count,), generator=self._generator)
            return (ring.first * ring.num_envs + offset) % (ring.rows * ring.num_envs)

        places = drawn(count)
        while not ring.all_valid and not bool(ring.valid[places].all()):
            bad = ~ring.valid[places]
            places[bad] = drawn(int(bad.sum()))
        return places

    def learned(self, terms: Tensor, errors: Tensor | None) -> bool:
        """Take note of the errors, [B], of the batch before: they are the priorities of its transitions."""
        if self._priorities is not None and errors is not None:
            own = errors.detach().cpu()
            if self._share > 1:  # rank r has every share-th transition from the r-th on
                own = self._ranks.gather(own).t().flatten()
            self._priorities.set_errors(self._drawn.pop(0).numpy(), own.double().numpy())
        return True

    def report(self) -> Tensor:
        """Return the number of transitions in memory, [1]."""
        return torch.tensor([float(self._ring.transitions)], device=self._device)

    # What a checkpoint holds

    def state(self, keep: Keep) -> ReplayState:
        """Return what this rank needs to continue; full parts are written once, one at a time."""
        ring, parts = self._ring, list[Kept]()
        first = ring.first
        held = ring.count if keep.replay else 0
        for number in range(first // self._part, -(-ring.steps // self._part)) if held else ():
            start, end = number * self._part, (number + 1) * self._part
            part = self._written.get(number)
            if part is None:
                rows = ring.part(max(start, first), min(end, ring.steps))
                kept = keep.part(rows) if end <= ring.steps else rows
                if isinstance(kept, Segment):
                    self._written[number] = kept
                parts.append(kept)
            else:
                parts.append(part)
        self._written = {number: part for number, part in self._written.items() if number >= first // self._part}
        powers = torch.empty((0, ring.num_envs), dtype=torch.float64)
        if self._priorities is not None and held:
            places = ring.places(first, ring.steps)
            powers = torch.from_numpy(self._priorities.of(places.numpy())).view(-1, ring.num_envs)
        highest = 1.0 if self._priorities is None else self._priorities.highest
        discounted = self._rewards.discounted.cpu()
        generator = self._generator.get_state()
        return ReplayState(discounted, generator, ring.steps, self._counted, ring.next_obs, parts, powers, highest)

    def load_state(self, state: ReplayState, read: Callable[[Segment], ReplayRows]) -> None:
        """Continue from what `state` returned.

        Raises:
            ConfigError: the rows are not of this experiment.
        """
        self._rewards.discounted = state.discounted.to(self._rewards.discounted.device)
        self._generator.set_state(state.generator)
        self._counted = state.counted
        ring = self._ring
        for kept in state.parts:
            rows = kept if isinstance(kept, ReplayRows) else read(kept)
            self._check(rows)
            if isinstance(kept, Segment):
                self._written[rows.start // self._part] = kept
            if not ring.count:
                ring.begin(rows.start)
            ring.put(rows, state.next_obs)
        if self._priorities is not None and len(state.priorities):
            places = ring.places(ring.steps - len(state.priorities), ring.steps)
            self._priorities.set(places.numpy(), state.priorities.flatten().numpy())
            self._priorities.highest = state.highest

    def _check(self, rows: ReplayRows) -> None:
        """Check that rows of a checkpoint fit this memory.

        Raises:
            ConfigError: they do not.
        """
        ring = self._ring
        for name, (shape, dtype) in ring.spec.columns.items():
            tensor: Tensor = getattr(rows, name)
            if tensor.dtype != dtype or tensor.shape[1:] != (ring.num_envs, *shape):
                raise ConfigError(
                    f"the checkpoint's replay memory does not fit its experiment: {name} is {list(tensor.shape)} "
                    f"{str(tensor.dtype).removeprefix('torch.')}"
                )
        wanted = (int(rows.truncated.sum()), ring.spec.width)
        lengths = {len(getattr(rows, name)) for name in ring.spec.columns}
        if len(lengths) > 1 or rows.final_obs.shape != wanted or rows.final_obs.dtype != ring.spec.obs_dtype:
            raise ConfigError("the checkpoint's replay memory does not fit its experiment: its rows are incomplete")
