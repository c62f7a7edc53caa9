"""The agent of DQN: an actor whose parameters are action values, and its target network."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from rlexp.data.exploration import NONE, Exploration
from rlexp.data.spaces import SpaceSpec
from rlexp.models.actor import Actor
from rlexp.models.agent import Agent
from rlexp.models.exploring import EpsilonGreedy
from rlexp.models.preprocessor import ACTIVATIONS, Preprocessor
from rlexp.models.torso import Torso, TorsoSettings


@dataclass(frozen=True)
class QSettings:
    """What a network of action values is made of.

    Attributes:
        torso: its encoder and layers; where there are two streams the last layer is theirs.
        dueling: whether a stream for the state's value stands beside one for advantages (arXiv:1511.06581, equation 9).
        noisy: whether the layers after the torso are noisy (arXiv:1706.10295).
        sigma: noise at the start (sigma_0).
        atoms: values of which a distribution is learnt (arXiv:1707.06887); 1: the mean alone.
        low: the lowest of them.
        high: the highest.
        normalize: whether observations are normalised.
        clip: what (normalised) observations are clipped to; None: not clipped.
    """

    torso: TorsoSettings
    dueling: bool
    noisy: bool
    sigma: float
    atoms: int
    low: float
    high: float
    normalize: bool
    clip: float | None


class NoisyLinear(nn.Linear):
    """A linear layer with factorised Gaussian noise on its weights (arXiv:1706.10295, equations 10 and 11)."""

    def __init__(self, inputs: int, outputs: int, sigma: float) -> None:
        super().__init__(inputs, outputs)
        bound = 1 / math.sqrt(inputs)
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)
        self.weight_sigma = nn.Parameter(torch.full_like(self.weight, sigma * bound))
        self.bias_sigma = nn.Parameter(torch.full_like(self.bias, sigma * bound))

    @property
    def noise_size(self) -> int:
        """Normal numbers that one draw of the noise takes."""
        return self.in_features + self.out_features

    def perturbed(self, features: Tensor, noise: Tensor) -> Tensor:
        """Return the outputs, [B, O], of features [B, I] with noise of standard normal numbers, [I + O]."""
        scaled = noise.sign() * noise.abs().sqrt()
        before, after = scaled.split([self.in_features, self.out_features])
        weight = self.weight + self.weight_sigma * after.unsqueeze(1) * before
        return functional.linear(features, weight, self.bias + self.bias_sigma * after)


class QHead(nn.Module):
    """From features to the outputs of every action: one value each, or the logits of Z atoms."""

    def __init__(self, features: int, choices: int, width: int | None, settings: QSettings) -> None:
        super().__init__()
        self.choices, self.atoms, self.dueling = choices, settings.atoms, settings.dueling
        self._activation: Callable[[Tensor], Tensor] = ACTIVATIONS[settings.torso.activation]

        def layer(inputs: int, outputs: int) -> nn.Linear:
            return NoisyLinear(inputs, outputs, settings.sigma) if settings.noisy else nn.Linear(inputs, outputs)

        def stream(outputs: int) -> nn.ModuleList:
            if width is None:
                return nn.ModuleList([layer(features, outputs)])
            return nn.ModuleList([layer(features, width), layer(width, outputs)])

        self.advantage = stream(choices * settings.atoms)
        self.value = stream(settings.atoms) if settings.dueling else nn.ModuleList()

    @property
    def noise_size(self) -> int:
        """Normal numbers that one draw of all noise takes; 0 without noisy layers."""
        layers = [*self.advantage, *self.value]
        return sum(layer.noise_size for layer in layers if isinstance(layer, NoisyLinear))

    def forward(self, features: Tensor, noise: Tensor | None = None) -> Tensor:
        """Return outputs, [B, K, Z] float32, of features [B, F]; with standard normal `noise` [noise_size] in it."""
        parts: Sequence[Tensor | None] = [None] * 4
        layers = [*self.advantage, *self.value]
        if noise is not None:
            parts = noise.split([layer.noise_size for layer in layers if isinstance(layer, NoisyLinear)])
        count = len(self.advantage)
        flat = self._stream(self.advantage, features, parts[:count])
        outputs = flat.view(-1, self.choices, self.atoms)
        if not self.dueling:
            return outputs.float()
        value = self._stream(self.value, features, parts[count:]).unsqueeze(1)
        outputs = value + outputs - outputs.mean(1, keepdim=True)
        return outputs.float()

    def _stream(self, layers: nn.ModuleList, features: Tensor, noise: Sequence[Tensor | None]) -> Tensor:
        for number, layer in enumerate(layers):
            own = noise[number]
            if number:
                features = self._activation(features)
            features = layer.perturbed(features, own) if own is not None else layer(features)  # type: ignore[operator]
        return features


class QActor(Actor):
    """An actor whose parameters are the values of all actions, [B, K]."""

    support: Tensor

    def __init__(
        self, preprocessor: Preprocessor, torso: Torso, head: nn.Module, spec: SpaceSpec, made: QSettings
    ) -> None:
        distribution = EpsilonGreedy(spec.action.sizes[0])
        super().__init__(preprocessor, torso, head, distribution, None, spec.action, "clip")
        support = torch.linspace(made.low, made.high, made.atoms) if made.atoms > 1 else torch.ones(1)
        self.register_buffer("support", support, persistent=False)
        self._noise: Tensor | None = None

    def outputs(self, rows: Tensor, noise: Tensor | None = None) -> Tensor:
        """Return the outputs of the head, [B, K, Z], of rows [B, D]."""
        features = self.torso.connected(self.encoded(rows))
        if isinstance(self.head, QHead):
            outputs: Tensor = self.head(features, noise)
            return outputs
        outputs = self.head(features)
        return outputs.float().unsqueeze(-1)

    def parameters_of(self, features: Tensor) -> Tensor:
        """Return the values of all actions, [B, K], of features [B, F]."""
        outputs: Tensor = self.head(features)
        return self.values_of(outputs) if isinstance(self.head, QHead) else outputs

    def values_of(self, outputs: Tensor) -> Tensor:
        """Return action values, [B, K], of outputs [B, K, Z]: with atoms the mean of their distribution."""
        if outputs.shape[-1] == 1:
            return outputs.squeeze(-1)
        return outputs.softmax(-1) @ self.support

    @property
    def noise_size(self) -> int:
        """Normal numbers that one draw of the noise of its layers takes; 0 without noisy ones."""
        return self.head.noise_size if isinstance(self.head, QHead) else 0

    def noise(self, shape: tuple[int, ...], generator: torch.Generator, exploration: Exploration = NONE) -> Tensor:
        """Draw the noise of actions; of noisy layers too, which is the same for the whole rollout."""
        size = self.noise_size
        self._noise = torch.empty(size, device=generator.device).normal_(generator=generator) if size else None
        return super().noise(shape, generator, exploration)

    def exploring(self, rows: Tensor) -> Tensor:
        """Return action values with the noise of this rollout in them."""
        return self.masked(rows, self.values_of(self.outputs(rows, self._noise)))


class QAgent(Agent):
    """Action values and their target network."""

    actor: QActor

    def __init__(self, spec: SpaceSpec, settings: QSettings) -> None:
        super().__init__()
        made = settings
        preprocessor = Preprocessor(spec.observation, made.normalize, made.clip)
        width, sizes, choices = None, made.torso.hidden_sizes, spec.action.sizes[0]
        if made.dueling:
            width, sizes = sizes[-1], sizes[:-1]
        torso = Torso(spec.observation, preprocessor.vector_features, _with(made.torso, sizes))
        plain = not made.dueling and not made.noisy and made.atoms == 1
        head = nn.Linear(torso.features, choices) if plain else QHead(torso.features, choices, width, made)
        self.actor = QActor(preprocessor, torso, head, spec, made)
        self.target_torso = copy.deepcopy(torso).requires_grad_(False)
        self.target_head = copy.deepcopy(head).requires_grad_(False)

    def parts(self) -> dict[str, nn.Module]:
        """Return one part."""
        return {"q": nn.ModuleList([self.actor.torso, self.actor.head])}

    def targets(self) -> dict[str, nn.Module]:
        """Return the target network."""
        return {"q": nn.ModuleList([self.target_torso, self.target_head])}

    def target_outputs(self, rows: Tensor, noise: Tensor | None = None) -> Tensor:
        """Return the outputs of the target network, [B, K, Z], of rows [B, D]."""
        preprocessor = self.actor.preprocessor
        features = self.target_torso(*preprocessor(rows))
        if isinstance(self.target_head, QHead):
            outputs: Tensor = self.target_head(features, noise)
            return outputs
        outputs = self.target_head(features)
        return outputs.float().unsqueeze(-1)

    def tried(self, rows: Tensor) -> dict[str, Tensor]:
        """Return the highest action values, [B], of rows [B, D]."""
        return {"action values": self.actor(rows).amax(-1)}


def _with(torso: TorsoSettings, sizes: tuple[int, ...]) -> TorsoSettings:
    return TorsoSettings(**{**vars(torso), "hidden_sizes": sizes})
