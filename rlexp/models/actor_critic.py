"""The agent of on-policy algorithms: an actor, and a critic that estimates values."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rlexp.data.batch import Prediction
from rlexp.data.rollout import Rollout
from rlexp.data.spaces import SpaceSpec
from rlexp.models.actor import Actor
from rlexp.models.agent import Agent
from rlexp.models.chunks import in_chunks
from rlexp.models.mixed import build_distribution
from rlexp.models.preprocessor import Preprocessor, orthogonal
from rlexp.models.recurrent import Sequences, Unrolled, chunk_starts, firsts
from rlexp.models.torso import Torso, TorsoSettings


@dataclass(frozen=True)
class Architecture:
    """What an agent's networks are made of.

    Attributes:
        actor: the actor's torso.
        critic: the critic's; the same where they share one.
        ortho_init: whether the heads begin orthogonal (gain 0.01 of the actor's, 1 of the critic's).
        shared_torso: whether actor and critic share their torso.
        log_std_init: first log standard deviation of Gaussian policies.
        normalize: whether observations are normalised.
        clip: what (normalised) observations are clipped to; None: not clipped.
        bounds: how real actions keep their bounds: clip, or tanh.
        critic_keys: parts of the observation that the critic alone sees.
        sequence_length: steps of the sequences that recurrent layers learn from.
        dtype: of the weights.
    """

    actor: TorsoSettings
    critic: TorsoSettings
    ortho_init: bool
    shared_torso: bool
    log_std_init: float
    normalize: bool
    clip: float | None
    bounds: str
    critic_keys: tuple[str, ...] = ()
    sequence_length: int = 1
    dtype: torch.dtype = torch.float32


class Critic(nn.Module):
    """Values of observations, from the inputs that the actor's preprocessor returns."""

    def __init__(self, torso: Torso, head: nn.Linear) -> None:
        super().__init__()
        self.torso, self.head = torso, head

    def forward(self, vector: Tensor, images: list[Tensor]) -> Tensor:
        """Return the value of each observation, [B] float32, without a recurrent layer."""
        return self.of_features(self.torso(vector, images))

    def of_features(self, features: Tensor) -> Tensor:
        """Return values, [B] float32, of features [B, F] of the torso."""
        values: Tensor = self.head(features)
        return values.squeeze(-1).float()


class ActorCritic(Agent):
    """A stochastic policy and a value function over flat observation rows.

    Players use `actor`; learners call `values` and, for gradients, `forward`.
    """

    def __init__(self, spec: SpaceSpec, architecture: Architecture) -> None:
        super().__init__()
        made = architecture
        distribution = build_distribution(spec.action, made.bounds == "tanh")
        preprocessor = Preprocessor(spec.observation, made.normalize, made.clip, made.dtype, made.critic_keys)
        actor_torso = Torso(preprocessor.actor_spec, preprocessor.actor_features, made.actor)
        critic_torso = actor_torso
        if not made.shared_torso:
            critic_torso = Torso(spec.observation, preprocessor.vector_features, made.critic)
        actor_head = nn.Linear(actor_torso.features, distribution.num_outputs)
        critic_head = nn.Linear(critic_torso.features, 1)
        if made.ortho_init:
            orthogonal(actor_head, 0.01)
            orthogonal(critic_head, 1.0)
        free = distribution.num_params - distribution.num_outputs
        log_std = nn.Parameter(torch.full((free,), made.log_std_init)) if free else None
        self.actor = Actor(preprocessor, actor_torso, actor_head, distribution, log_std, spec.action, made.bounds)
        self.critic = Critic(critic_torso, critic_head)
        self.shared_torso = made.shared_torso
        self.sequence_length = made.sequence_length if self.state_size else 1
        for parameter in self.parameters():  # not self.to(dtype): statistics keep their precision
            parameter.data = parameter.data.to(made.dtype)

    def parts(self) -> dict[str, nn.Module]:
        """Return one part, of actor and critic; equal layers of both lie side by side."""
        actor, critic = self.actor, self.critic
        free = [] if actor.log_std is None else [nn.ParameterList([actor.log_std])]
        return {"policy": nn.ModuleList([*free, actor.torso, critic.torso, actor.head, critic.head])}

    def values(self, rows: Tensor) -> Tensor:
        """Return the value of each observation row, [B] float32."""
        values: Tensor = self.critic(*self.actor.preprocessor(rows))
        return values

    def tried(self, rows: Tensor) -> dict[str, Tensor]:
        """Return values and log-probabilities, each [B], of rows [B, D] with some actions."""
        distribution = self.actor.distribution
        actions = torch.zeros((len(rows), *distribution.action_shape), dtype=distribution.action_dtype)
        found = self(rows, actions)
        return {"values": found.values, "log-probabilities": found.log_prob}

    @property
    def state_size(self) -> int:
        """Width of the recurrent states of actor and critic together; 0 without any."""
        return self.actor.state_size + self.critic_state_size

    @property
    def critic_state_size(self) -> int:
        """Width of the critic's own recurrent state; 0 where it shares the actor's, or has none."""
        return 0 if self.shared_torso else self.critic.torso.state_size

    @torch.no_grad()
    def unrolled(self, rollout: Rollout, critic: Tensor) -> Unrolled:
        """Follow a rollout from its first step on, with the recurrent layers of now.

        Args:
            rollout: on this agent's device.
            critic: the critic's own state before it, [N, *]; it is empty where the actor's is: an episode begins.
        """
        steps = rollout.rewards.shape[0]
        first = firsts(rollout.terminated, rollout.truncated, rollout.valid)
        start = rollout.initial_state
        after = self._scanned(self.actor.torso, rollout.obs, start, first)
        before = [_before(start, after, first)]
        torso = self.actor.torso
        if not self.shared_torso:
            torso = self.critic.torso
            own = critic * start.any(-1, keepdim=True)
            after = self._scanned(torso, rollout.obs, own, first)
            before.append(_before(own, after, first))
        memory = torso.memory
        assert memory is not None
        values = in_chunks(self._valued, memory.output(after).flatten(0, 1)).view(after.shape[:2])
        final = values.new_zeros(0)
        if len(rollout.final_obs):
            features = in_chunks(lambda rows: self._seen(torso, rows), rollout.final_obs)
            state = memory.step(memory.inputs(features).float(), after[:-1][rollout.truncated])
            final = self._valued(memory.output(state))
        states = chunk_starts([each[:steps] for each in before], self.sequence_length)
        return Unrolled(values, final, states, first[:steps], before[-1][-1] if len(before) > 1 else critic)

    def _scanned(self, torso: Torso, obs: Tensor, state: Tensor, first: Tensor) -> Tensor:
        """Return the states of a torso's recurrent layer after each of T + 1 observations, [T + 1, N, S]."""
        assert torso.memory is not None
        features = in_chunks(lambda rows: self._seen(torso, rows), obs.flatten(0, 1))
        return torso.memory.scan(features.view(*obs.shape[:2], -1), state, first)

    def _seen(self, torso: Torso, rows: Tensor) -> Tensor:
        inputs = self.actor.preprocessor(rows)
        return torso.encoded(*(self.actor.preprocessor.for_actor(*inputs) if torso is self.actor.torso else inputs))

    def _valued(self, recalled: Tensor) -> Tensor:
        """Return the values of what the recurrent layer of the critic puts out, [B, H]: [B]."""
        return self.critic.of_features(self.critic.torso.connected(recalled))

    def forward(
        self, rows: Tensor, actions: Tensor, states: Tensor | None = None, first: Tensor | None = None
    ) -> Prediction:
        """Return log-probabilities, entropies and values of B transitions.

        Args:
            rows: observations, [B, D]; of recurrent networks sequences of L steps, one after the other.
            actions: [B] or [B, A].
            states: of recurrent networks, before each sequence, [B / L, S]; None: single steps from an empty state.
            first: where a step is the first of its episode, [B] bool.
        """
        if self.state_size and states is None:
            states = rows.new_zeros((len(rows), self.state_size), dtype=torch.float32)
            first = rows.new_zeros(len(rows), dtype=torch.bool)
        sequences = None if states is None or first is None else Sequences(states, first)
        preprocessor = self.actor.preprocessor
        inputs = preprocessor(rows)
        actor_features = self.actor.torso(*preprocessor.for_actor(*inputs), sequences)
        critic_features = actor_features
        if not self.shared_torso:
            critic_features = self.critic.torso(*inputs, sequences, self.actor.state_size)
        params = self.actor.masked(rows, self.actor.parameters_of(actor_features)).float()
        log_prob, entropy = self.actor.distribution.log_prob_and_entropy(params, actions)
        return Prediction(log_prob=log_prob, entropy=entropy, values=self.critic.of_features(critic_features))


def _before(start: Tensor, after: Tensor, first: Tensor) -> Tensor:
    """Return the states before each of T + 1 steps, [T + 1, N, S], of those after them and the one at the start."""
    return torch.cat([start.unsqueeze(0), after[:-1]]).masked_fill(first.unsqueeze(-1), 0.0)
