"""Tasks to solve: when they count as solved, the zoo's settings, and those that rlexp chooses."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Task:
    """A task with the settings of rl-baselines3-zoo (hyperparams/ppo.yml), which the peer is given.

    Attributes:
        solved: mean return of an evaluation at which training ends.
        eval_every: environment steps between evaluations, for all alike.
        steps: environment steps after which a run has failed.
        linear: whether learning rate and clip range fall linearly to 0.
        preset: rlexp's own settings. CartPole's were chosen among a dozen by the time to solve on seeds 11 to 21;
            LunarLander's are those of docs/results.md.
    """

    name: str
    env_id: str
    solved: float
    eval_every: int
    steps: int
    num_envs: int
    num_steps: int
    batch_size: int
    epochs: int
    gae_lambda: float
    gamma: float
    learning_rate: float
    ent_coef: float
    linear: bool
    preset: tuple[str, ...]
    clip_coef: float = 0.2

    def zoo(self) -> tuple[str, ...]:
        """Return the zoo's settings as overrides of rlexp; Stable-Baselines3's defaults are said too."""
        linear = str(self.linear).lower()
        return (
            f"env={self.name}",
            "algo=ppo",
            f"total_timesteps={self.steps}",
            f"env.num_envs={self.num_envs}",
            f"algo.num_steps={self.num_steps}",
            f"algo.per_rank_batch_size={self.batch_size}",
            f"algo.update_epochs={self.epochs}",
            f"algo.learning_rate={self.learning_rate}",
            f"algo.anneal_lr={linear}",
            f"algo.gamma={self.gamma}",
            f"algo.gae_lambda={self.gae_lambda}",
            f"algo.ent_coef={self.ent_coef}",
            f"algo.clip_coef={self.clip_coef}",
            f"algo.anneal_clip_coef={linear}",
            "algo.clip_vloss=false",
            "algo.vf_coef=0.5",
            "algo.max_grad_norm=0.5",
            "algo.normalize_advantages=true",
        )


EVAL_EPISODES = 10
TASKS = {
    task.name: task
    for task in (
        Task(
            "cartpole",
            "CartPole-v1",
            solved=475.0,
            eval_every=8_192,
            steps=100_000,
            num_envs=8,
            num_steps=32,
            batch_size=256,
            epochs=20,
            gae_lambda=0.8,
            gamma=0.98,
            learning_rate=1e-3,
            ent_coef=0.0,
            linear=True,
            preset=(
                *("experiment=cartpole", "env.num_envs=16", "algo.per_rank_batch_size=512", "algo.learning_rate=4e-3"),
                *("compile=false", "env.vectorization=vector"),
            ),
        ),
        Task(
            "lunarlander",
            "LunarLander-v3",
            solved=200.0,
            eval_every=16_384,
            steps=1_000_000,
            num_envs=16,
            num_steps=1024,
            batch_size=64,
            epochs=4,
            gae_lambda=0.98,
            gamma=0.999,
            learning_rate=3e-4,
            ent_coef=0.01,
            linear=False,
            preset=("experiment=lunarlander", "compile=true"),
        ),
    )
}
