"""The settings of an environment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from omegaconf import MISSING

from rlexp.settings import setting

CLIP_NORMALIZED = 10.0


BACKENDS = ("gymnasium", "envpool", "torch")


@dataclass
class EnvConfig:
    """The environment and what is done to its observations, actions and rewards."""

    id: str = setting(MISSING, "Gymnasium id, such as CartPole-v1 or module:Id-v0.")
    num_envs: int = setting(4, "Environments of each rank that collects, N.", ge=1)
    vectorization: str = setting(
        "sync",
        "sync: in one process; async: a process each; vector: gymnasium's native vector environment.",
        choices=("sync", "async", "vector"),
    )
    backend: str = setting(
        "gymnasium",
        "What steps environments: gymnasium, envpool, torch (as tensors), or a path package.module:function to what "
        "builds a vector environment.",
    )
    threads: int | None = setting(None, "Threads of envpool in each rank; null: its share of the cores.", ge=1)
    kwargs: dict[str, Any] = setting({}, "Keyword arguments of the environment.")
    wrappers: list[Any] = setting(
        [],
        "Wrappers, the innermost first: names, paths package.module:Class, or {wrapper: NAME, argument: value}; see "
        "docs/own-code.md.",
    )
    max_episode_steps: int | None = setting(
        None,
        "Time limit of an episode, in the environment's own steps: env.action_repeat of them are one of the agent's; "
        "null: the environment's own limit.",
        ge=1,
    )
    normalize_observations: bool = setting(False, "Scale observations by their running mean and standard deviation.")
    normalize_rewards: bool = setting(False, "Scale rewards by the running standard deviation of discounted returns.")
    clip_observations: int | float | str | None = setting(
        "auto",
        "Clip observations to +- this, after normalising; auto: 10 if they are normalised, else off; null: off.",
        gt=0,
    )
    clip_rewards: int | float | str | None = setting(
        "auto",
        "Clip rewards to +- this, after normalising; auto: 10 if they are normalised, else off; null: off.",
        gt=0,
    )
    images: str = setting(
        "auto",
        "How arrays of two or more axes are read: pixels, or symbols without an order; auto: by bounds and size.",
        choices=("auto", "pixels", "symbols"),
    )
    channels: str = setting(
        "auto", "Axis of an image's channels; auto: the shortest.", choices=("auto", "first", "last")
    )
    frame_stack: int = setting(1, "Observations stacked along a new first axis.", ge=1, le=1_000)
    action_repeat: int = setting(1, "Times each action is repeated, rewards summed.", ge=1, le=1_000)
    action_bounds: str = setting(
        "clip", "How Box actions keep their bounds: clip, or tanh squashing.", choices=("clip", "tanh")
    )
    action_masks: bool = setting(
        True,
        "Never take a choice that the environment forbids now: by info[action_mask], a method action_masks(), or the "
        "part action_mask of a Dict observation.",
    )
    seeding: str = setting(
        "offset",
        "Seeds of environments; offset: seed + rank * num_envs + i, so runs with neighbouring seeds share most of "
        "them; spawn: unrelated ones.",
        choices=("offset", "spawn"),
    )
    check: bool = setting(
        True, "Before the start, reset and step the environment and refuse one that breaks its own spaces."
    )

    @property
    def observation_limit(self) -> float | None:
        """What (normalised) observations are clipped to; None: not clipped."""
        return _limit(self.clip_observations, self.normalize_observations)

    @property
    def reward_limit(self) -> float | None:
        """What (normalised) rewards are clipped to; None: not clipped."""
        return _limit(self.clip_rewards, self.normalize_rewards)

    @property
    def resets_on_next_step(self) -> bool:
        """Whether an environment resets in a step of its own, which is no transition, or may do so."""
        return self.vectorization == "vector" or self.backend == "envpool" or self.own_backend

    @property
    def own_backend(self) -> bool:
        """Whether a function of the user's builds the vector environment."""
        return self.backend not in BACKENDS


def _limit(setting: int | float | str | None, normalized: bool) -> float | None:
    """Return the limit of a clip setting; `auto` is Stable-Baselines3's and CleanRL's 10 for normalised numbers."""
    if isinstance(setting, str):
        return CLIP_NORMALIZED if normalized else None
    return None if setting is None else float(setting)
