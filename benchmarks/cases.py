"""What is measured: settings that rlexp and its peers are given alike, and the ways in which rlexp runs them."""

from __future__ import annotations

import dataclasses
import importlib.util
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Case:
    """PPO on one environment, actor and critic a tanh network of 64-64 each, Adam with eps 1e-5, gradient norm 0.5.

    Attributes:
        needs: modules without which it cannot be measured; such a case is measured where it is named.
        words: what rlexp's command line says beside the settings.
        network: what is different about the networks, in words.
        steps: environment steps of a run unless the command line says otherwise.
        warm_up: updates at the start of a run that count as warm-up.
    """

    name: str
    source: str
    env_id: str
    steps: int
    warm_up: int
    num_envs: int
    num_steps: int
    batch_size: int
    epochs: int
    learning_rate: float
    anneal_lr: bool = False
    gamma: float = 0.99
    gae_lambda: float = 0.95
    clip_coef: float = 0.2
    clip_vloss: bool = False
    ent_coef: float = 0.0
    vf_coef: float = 0.5
    max_grad_norm: float = 0.5
    needs: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    network: str = ""

    @property
    def steps_per_update(self) -> int:
        """Environment steps between two updates."""
        return self.num_envs * self.num_steps

    def whole(self, steps: int | None) -> int:
        """Return `steps`, or the case's own, rounded down to whole updates.

        Raises:
            ValueError: no update is left to measure after the warm-up.
        """
        updates = (steps or self.steps) // self.steps_per_update
        if updates <= self.warm_up:
            least = (self.warm_up + 1) * self.steps_per_update
            raise ValueError(f"--steps={steps} leaves nothing to measure in case {self.name}; give {least} or more")
        return updates * self.steps_per_update

    def described(self) -> str:
        """Return the settings in words."""
        return (
            f"{self.source}: {self.env_id}, {self.num_envs} x {self.num_steps} steps an update, minibatches of "
            f"{self.batch_size}, {self.epochs} epochs, learning rate {self.learning_rate:g}"
            f"{' annealed to 0' * self.anneal_lr}, gamma {self.gamma:g}, lambda {self.gae_lambda:g}, clip range "
            f"{self.clip_coef:g}, value loss {'clipped' if self.clip_vloss else 'not clipped'}, entropy "
            f"{self.ent_coef:g}, value loss weight {self.vf_coef:g}{self.network and ', '}{self.network}; the first "
            f"{self.warm_up} updates are warm-up, the "
            "last is left out"
        )


CASES = {
    case.name: case
    for case in (
        Case(
            "cartpole",
            "CleanRL's settings",
            "CartPole-v1",
            steps=102_400,
            warm_up=10,
            num_envs=4,
            num_steps=128,
            batch_size=128,
            epochs=4,
            learning_rate=2.5e-4,
            anneal_lr=True,
            clip_vloss=True,
            ent_coef=0.01,
        ),
        Case(
            "lunarlander",
            "rl-baselines3-zoo's settings",
            "LunarLander-v3",
            steps=114_688,
            warm_up=2,  # with overlap the second rollout is collected under the first update, which compiles
            num_envs=16,
            num_steps=1024,
            batch_size=64,
            epochs=4,
            learning_rate=3e-4,
            gamma=0.999,
            gae_lambda=0.98,
            ent_coef=0.01,
        ),
        Case(
            "sheeprl",
            "The settings of SheepRL's own benchmark",
            "CartPole-v1",
            steps=65_536,
            warm_up=16,
            num_envs=1,
            num_steps=128,
            batch_size=64,
            epochs=10,
            learning_rate=3e-4,
        ),
        Case(
            "halfcheetah",
            "CleanRL's and Stable-Baselines3's settings of MuJoCo",
            "HalfCheetah-v5",
            steps=20_480,
            warm_up=2,
            num_envs=1,
            num_steps=2048,
            batch_size=64,
            epochs=10,
            learning_rate=3e-4,
            needs=("mujoco",),
        ),
        Case(
            "pong",
            "CleanRL's settings of Atari",
            "ALE/Pong-v5",
            steps=7_168,
            warm_up=2,
            num_envs=8,
            num_steps=128,
            batch_size=256,
            epochs=4,
            learning_rate=2.5e-4,
            clip_coef=0.1,
            ent_coef=0.01,
            needs=("ale_py",),
            words=(
                "env=atari", "model=nature_cnn", "algo.hidden_sizes=[512]", "algo.activation_function=relu",
                "algo.shared_torso=true",
            ),
            network="one nature CNN of 512 units with ReLU for actor and critic",
        ),
        Case(
            "memory",
            "CleanRL's settings with an LSTM",
            "CartPole-v1",
            steps=25_600,
            warm_up=10,
            num_envs=4,
            num_steps=128,
            batch_size=128,
            epochs=4,
            learning_rate=2.5e-4,
            needs=("sb3_contrib",),
            words=("model=lstm", "model.sequence_length=16"),
            network="an LSTM of 64 units before each",
        ),
    )
}  # fmt: skip
ALWAYS = tuple(name for name, case in CASES.items() if not case.needs)
"""The cases that are measured where none is named."""


@dataclass(frozen=True)
class Variant:
    """One way to run a case with rlexp.

    Attributes:
        overrides: what its command line says beside the case.
        settings: fields of the case that it changes; it then does other work than the peers and is not held equal.
        tolerance: share by which its optimizer steps may differ from the peers'.
        needs: the module without which it cannot run.
        only: the cases that it belongs to.
    """

    name: str
    overrides: tuple[str, ...]
    settings: dict[str, Any] = field(default_factory=dict)
    tolerance: float = 0.0
    needs: str | None = None
    only: tuple[str, ...] = tuple(CASES)

    def of(self, case: Case) -> Case:
        """Return the case as this variant runs it."""
        return dataclasses.replace(case, **self.settings)

    def steps(self, case: Case, steps: int | None) -> int:
        """Return the steps of a run: as `Case.whole`, in proportion where the variant has steps of its own."""
        own = self.of(case)
        return own.whole(steps and steps * own.steps // case.steps)

    def missing(self) -> str | None:
        """Return why this variant cannot run here; None if it can."""
        if self.needs is None or importlib.util.find_spec(self.needs):
            return None
        return f"the package {self.needs} is not installed"


OVERLAP = ("topology=decoupled", "fabric.devices=2", "topology.overlap=true")
VARIANTS = {
    variant.name: variant
    for variant in (
        Variant("eager", ("compile=false",)),
        Variant("compiled", ("compile=true",)),
        Variant("overlap", ("compile=true", *OVERLAP)),
        *(
            Variant(
                name,
                ("compile=true", "env.backend=envpool", *topology),
                tolerance=0.02,  # it resets on the next step, and the rows of its resets reach no minibatch
                needs="envpool",
                only=("lunarlander",),
            )
            for name, topology in (("envpool", ()), ("envpool-overlap", OVERLAP))
        ),
        Variant(
            "tensors",
            ("compile=true", "env.backend=torch", "fabric.threads_per_rank=auto"),
            settings={"num_envs": 64, "batch_size": 2048, "steps": 1_638_400},
            only=("cartpole",),
        ),
    )
}
