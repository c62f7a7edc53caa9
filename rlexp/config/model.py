"""The settings of the networks' torsos: the group `model`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rlexp import plugins
from rlexp.data.network import Network
from rlexp.settings import setting

MODELS = ("mlp", "nature_cnn", "impala_cnn", "symbols")
"""The names of `rlexp.models.encoders.ENCODERS`, without an import of torch."""

LONGEST = 16
"""Steps of a sequence where nobody says how many."""


@dataclass
class ModelConfig:
    """What makes features of an observation, before the fully connected layers of `algo.hidden_sizes`."""

    name: str = setting(
        "mlp",
        "Encoder: mlp (images through a few convolutions), nature_cnn, impala_cnn, symbols, custom, a plugin's.",
    )
    path: str | None = setting(None, "With model=custom: package.module:Class, derived from rlexp's Encoder.")
    kwargs: dict[str, Any] = setting({}, "Arguments of the encoder.")
    layer_norm: bool = setting(False, "Normalise each fully connected layer before its activation (arXiv:1607.06450).")
    actor_hidden_sizes: list[int] | None = setting(
        None, "Widths of the actor's fully connected layers; null: algo.hidden_sizes.", ge=1
    )
    critic_hidden_sizes: list[int] | None = setting(
        None, "Widths of the critic's fully connected layers; null: algo.hidden_sizes.", ge=1
    )
    critic_keys: list[str] = setting([], "Parts of a Dict observation that the critic alone sees.")
    memory: str = setting(
        "none",
        "A recurrent layer between encoder and fully connected layers; one each for actor and critic, or one with "
        "algo.shared_torso=true.",
        choices=("none", "gru", "lstm"),
    )
    memory_size: int = setting(64, "Width of the recurrent layer.", ge=1)
    sequence_length: int | None = setting(
        None,
        "Steps through which a recurrent layer is trained, a divisor of algo.num_steps; null: the largest up to 16.",
        ge=1,
    )

    @property
    def encoder(self) -> str:
        """A name of `rlexp.models.encoders.ENCODERS`, or a path package.module:Class."""
        known = plugins.names("model").get(self.name)
        return self.path or (known.path if known else self.name)

    def network(self, num_steps: int) -> Network:
        """Return what the torsos are made of, for rollouts of so many steps."""
        known = plugins.names("model").get(self.name)
        defaults = dict(known.kwargs) if known else {}
        actor, critic = self.actor_hidden_sizes, self.critic_hidden_sizes
        return Network(
            encoder=self.encoder,
            kwargs={**defaults, **self.kwargs},
            layer_norm=self.layer_norm,
            actor_hidden_sizes=None if actor is None else tuple(actor),
            critic_hidden_sizes=None if critic is None else tuple(critic),
            critic_keys=tuple(self.critic_keys),
            memory=self.memory,
            memory_size=self.memory_size,
            sequence_length=self.sequence_length or longest_sequence(num_steps),
        )


def longest_sequence(num_steps: int) -> int:
    """Return the largest divisor of a number of steps up to 16."""
    return max(length for length in range(1, min(LONGEST, num_steps) + 1) if num_steps % length == 0)
