"""The actor: all that a player and an evaluation need of an agent, and all that travels to them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rlexp.data.exploration import NONE, Exploration
from rlexp.data.spaces import ActionSpec
from rlexp.models.chunks import in_chunks
from rlexp.models.distributions import Distribution
from rlexp.models.mixed import masked
from rlexp.models.preprocessor import Preprocessor
from rlexp.models.torso import Torso


class Actor(nn.Module):
    """A stochastic policy over flat observation rows.

    `rlexp.models.acting.FastActor` is its forward pass for few rows.

    Args:
        preprocessor: splits rows; a critic may share it.
        torso: from what `preprocessor` returns to features.
        head: from features to those parameters of the distribution that depend on the observation.
        distribution: of actions.
        log_std: the parameters that do not depend on the observation, [A]; None where there are none.
        action: the action space.
        bounds: how real actions keep their bounds: clip; tanh, which squashes them; scale, which takes [-1, 1] to them.
    """

    low: Tensor
    high: Tensor

    def __init__(
        self,
        preprocessor: Preprocessor,
        torso: Torso,
        head: nn.Module,
        distribution: Distribution,
        log_std: nn.Parameter | None,
        action: ActionSpec,
        bounds: str,
    ) -> None:
        super().__init__()
        self.preprocessor = preprocessor
        self.torso = torso
        self.head = head
        self.log_std = log_std
        self.distribution, self.bounds = distribution, bounds
        low, high = torch.tensor([action.low, action.high]).unbind(0)
        self.register_buffer("low", low, persistent=False)
        self.register_buffer("high", high, persistent=False)

    def forward(self, rows: Tensor) -> Tensor:
        """Return the parameters of the action distribution, [B, P], for rows [B, D], without a recurrent layer."""
        return self.masked(rows, self.parameters_of(self.torso.connected(self.encoded(rows))))

    def encoded(self, rows: Tensor) -> Tensor:
        """Return what the encoder makes of rows [B, D]: [B, F]."""
        return self.torso.encoded(*self.preprocessor.for_actor(*self.preprocessor(rows)))

    def step(self, rows: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Return the parameters, [B, P], and the next state, of rows [B, D] in a recurrent state [B, S]."""
        memory = self.torso.memory
        assert memory is not None
        state = memory.step(memory.inputs(self.encoded(rows)).float(), state)
        return self.masked(rows, self.parameters_of(self.torso.connected(memory.output(state)))), state

    @property
    def state_size(self) -> int:
        """Width of the recurrent state, S; 0 without one."""
        return self.torso.state_size

    @property
    def mask(self) -> int:
        """Elements of the action mask in each row; 0: there is none."""
        return self.preprocessor.spec.mask

    def masked(self, rows: Tensor, params: Tensor) -> Tensor:
        """Return parameters [B, P] in which options that rows [B, D] forbid have probability 0."""
        return masked(params.float(), self.preprocessor.mask(rows)) if self.mask else params

    def parameters_of(self, features: Tensor) -> Tensor:
        """Return the distribution's parameters, [B, P], for features [B, F] of the torso."""
        outputs: Tensor = self.head(features)
        if self.log_std is not None:
            outputs = torch.cat([outputs, self.log_std.expand(*outputs.shape[:-1], -1)], -1)
        return outputs

    def log_prob(self, rows: Tensor, actions: Tensor) -> Tensor:
        """Return the log-probability of each action, [B] float32."""
        return self.distribution.log_prob(self(rows).float(), actions)

    def noise(self, shape: tuple[int, ...], generator: torch.Generator, exploration: Exploration = NONE) -> Tensor:
        """Draw the noise of actions of batch shape `shape`: [*shape, K] float32, on the generator's device."""
        return self.distribution.noise(shape, generator, exploration)

    def exploring(self, rows: Tensor) -> Tensor:
        """Return the parameters that a player samples by; noisy networks have noise in them."""
        parameters: Tensor = self(rows)
        return parameters

    @property
    def plain(self) -> bool:
        """Whether there is nothing but fully connected layers and activations."""
        return self.torso.plain and type(self.head) is nn.Linear

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.head.parameters()).device

    def to_environment(self, actions: Tensor) -> Tensor:
        """Return sampled actions as an environment of tensors takes them: real ones within their bounds.

        `rlexp.envs.actions.environment_actions` does it for environments of numpy arrays.
        """
        if self.low.numel() == 0:
            return actions
        if self.bounds != "clip":
            actions = actions.tanh() if self.bounds == "tanh" else actions
            actions = self.low + (actions + 1) * (0.5 * (self.high - self.low))
        return actions.clamp(self.low, self.high)


def by_sequences(actor: Actor, obs: Tensor, actions: Tensor, state: Tensor, first: Tensor) -> Tensor:
    """Return log-probabilities [T, N] of a recurrent actor's actions [T, N, *] for rows [T, N, D].

    Args:
        actor: on the device of the others.
        obs: observation rows.
        actions: as sampled.
        state: before the first step, [N, S].
        first: where a step is the first of its episode, [T, N] bool.
    """
    memory, rows = actor.torso.memory, obs.flatten(0, 1)
    assert memory is not None
    features = in_chunks(actor.encoded, rows).view(*obs.shape[:2], -1)
    recalled = memory.output(memory.scan(features, state, first)).flatten(0, 1)
    params = actor.masked(rows, actor.parameters_of(actor.torso.connected(recalled)))
    return actor.distribution.log_prob(params.float(), actions.flatten(0, 1)).view(obs.shape[:2])
