"""Seeds: where the randomness of environments, sampling and minibatches starts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Seeds:
    """The seeds of a run.

    Attributes:
        seed: of the run.
        num_envs: environments of each rank that collects.
        spawn: whether seeds of environments are unrelated; else they are seed + rank * num_envs + i.
    """

    seed: int
    num_envs: int
    spawn: bool

    def environments(self, rank: int) -> list[int]:
        """Return the seed of each environment of a rank."""
        numbers = range(rank * self.num_envs, (rank + 1) * self.num_envs)
        if not self.spawn:
            return [self.seed + number for number in numbers]
        import numpy as np  # not at the start: the command speaks of seeds before it needs numpy

        # below 2^31, where no evaluation seed lies
        return [int(np.random.SeedSequence([self.seed, number]).generate_state(1)[0] >> 1) for number in numbers]

    def generator(self, purpose: str, index: int, device: torch.device) -> torch.Generator:
        """Return a random generator of its own for each purpose and rank."""
        import numpy as np  # not at the start, as above
        import torch

        key = [self.seed, index, *purpose.encode()]
        state = int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> 1)
        return torch.Generator(device).manual_seed(state)
