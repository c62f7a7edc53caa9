"""The typed schema of an experiment and its registration with Hydra.

YAML in conf/ holds only what differs from the defaults here. `resolve` turns what Hydra composed into these
dataclasses; nothing below the entry points sees a DictConfig, and config is not written after that.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

from rlexp.algos.base import Algorithm, Inputs, Sizes
from rlexp.config.environment import EnvConfig
from rlexp.config.loggers import LoggerConfig
from rlexp.config.model import ModelConfig
from rlexp.settings import setting

PRECISIONS = ("32-true", "16-mixed", "bf16-mixed", "bf16-true")
COMPILE_FROM = 20_000
"""Optimizer steps from which `compile=auto` compiles. Compiling took 13 to 27 s (once done on a machine 4 s),
and then saved 1.8 ms a step of a 64-64 network: it pays from some 2,000 steps on, and the first time from 15,000."""

LEAST_STEPS_PER_ROW = 1_000
EVAL_SEED_START = 2**31
"""Training seeds lie below, evaluation seeds at and above this number."""
STREAMS = ("selection", "final", "fresh")
"""Where the seeds of an evaluation come from: evaluations during training choose `best` and end training, so the one
after it plays other episodes, and the command plays others again."""


@dataclass
class TopologyConfig:
    """Who owns environments and who learns."""

    name: str = setting("coupled", "Which loop runs.", choices=("coupled", "decoupled"))
    share_data: bool = setting(False, "Every trainer sees all data, minibatches split between them.")
    overlap: bool = setting(False, "Decoupled: collect with the weights of one update ago while trainers learn.")
    player_accelerator: str = setting("cpu", "Decoupled: device kind of the player.", choices=("cpu", "cuda"))


@dataclass
class FabricConfig:
    """What is handed to Lightning Fabric."""

    accelerator: str = setting("cpu", "Device kind.", choices=("cpu", "cuda"))
    strategy: str = setting("auto", "How ranks train together.", choices=("auto", "ddp"))
    devices: int = setting(1, "Ranks on this node.", ge=1)
    num_nodes: int = setting(1, "Nodes.", ge=1)
    precision: str = setting("32-true", "Precision of the networks.", choices=PRECISIONS)
    threads_per_rank: int | str = setting("auto", "CPU threads of each rank; auto: see docs/distributed.md.", ge=1)
    timeout_seconds: float = setting(
        600.0, "Longest time of one rollout or update, in seconds, before it is a hang.", gt=0
    )


@dataclass
class MemoryConfig:
    """The replay memory of off-policy algorithms."""

    size: int = setting(1_000_000, "Transitions that the replay memory of each rank holds at most.", ge=1)
    on_disk: bool = setting(False, "Keep them in a file of the run directory that is mapped into memory.")


@dataclass
class CheckpointConfig:
    """When checkpoints are written."""

    every: int = setting(
        100_000, "Environment steps between checkpoints; 0: only at the end, and after evaluations.", ge=0
    )
    keep: int = setting(2, "Earlier checkpoints that stay beside last.safetensors.", ge=0)
    replay: bool = setting(
        True, "Save the replay memory too; without it a resumed run fills it anew before it learns on."
    )


@dataclass
class EvalConfig:
    """The evaluation after training, and during it."""

    episodes: int = setting(10, "Greedy episodes after training, on other seeds than training; 0: none.", ge=0)
    every: int = setting(0, "Environment steps between evaluations in training; 0: only after it.", ge=0)
    stop_at: float | None = setting(None, "Mean return of an evaluation at which training ends; null: never.")
    max_episode_steps: int = setting(100_000, "Steps after which an evaluation episode is cut.", ge=1)

    def reached(self, mean_return: float | None) -> bool:
        """Return whether training ends after an evaluation with this mean return; None: there was none."""
        return self.stop_at is not None and mean_return is not None and mean_return >= self.stop_at


@dataclass
class LogConfig:
    """How often scalars are logged, and what is logged beside those of training."""

    every: int | None = setting(
        None, "Environment steps between rows of scalars; null: those of an update, at least 1,000.", ge=1
    )
    infos: list[str] = setting(
        [],
        "Values of the environment's info, such as [is_success]: mean over episodes of the last step's, as Game/NAME.",
    )


@dataclass
class VideoConfig:
    """Which episodes capture_video=true records."""

    every: int | None = setting(
        None, "Environment steps between videos of training; null: about ten over the run; 0: none.", ge=0
    )
    max_steps: int = setting(5_000, "Steps of an episode after which its video is cut.", ge=1)


@dataclass
class SweepConfig:
    """What a sweep does in a directory that it has been in before."""

    skip_completed: bool = setting(False, "Leave out jobs that are completed, resume interrupted and failed ones.")
    report_to: str | None = setting(None, "Set by hydra/sweeper=optuna: the trial that evaluations are reported to.")


@dataclass
class Config:
    """A whole experiment."""

    seed: int = setting(42, "Seed of weights, sampling and environments.", ge=0, lt=EVAL_SEED_START)
    total_timesteps: int = setting(100_000, "Environment steps over all ranks.", ge=1)
    torch_deterministic: bool = setting(True, "Only deterministic torch operations.")
    capture_video: bool = setting(False, "Record videos of environment 0 in training and of the final test episode.")
    compile: bool | str = setting(
        "auto",
        "Compile the train step: slower to start, then faster; auto: from 20,000 optimizer steps on.",
        choices=(True, False, "auto"),
    )
    env: EnvConfig = field(default_factory=EnvConfig)
    algo: Algorithm = MISSING
    model: ModelConfig = field(default_factory=ModelConfig)
    memory: MemoryConfig = field(default_factory=MemoryConfig)
    topology: TopologyConfig = field(default_factory=TopologyConfig)
    fabric: FabricConfig = field(default_factory=FabricConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    eval: EvalConfig = field(default_factory=EvalConfig)
    log: LogConfig = field(default_factory=LogConfig)
    logger: LoggerConfig = field(default_factory=LoggerConfig)
    video: VideoConfig = field(default_factory=VideoConfig)
    callbacks: list[Any] = setting(
        [], "Callbacks: names, paths package.module:Class, or {callback: NAME, argument: value}; see docs/own-code.md."
    )
    plugins: list[str] = setting([], "Modules with own code to import before anything else; see docs/own-code.md.")
    resume: str | None = setting(None, "Run directory or checkpoint to resume; auto: hydra.run.dir, if it has one.")
    sweep: SweepConfig = field(default_factory=SweepConfig)

    @property
    def world_size(self) -> int:
        """Number of ranks on all nodes."""
        return self.fabric.devices * self.fabric.num_nodes

    @property
    def players(self) -> int:
        """Number of ranks that own environments."""
        return 1 if self.topology.name == "decoupled" else self.world_size

    @property
    def trainers(self) -> int:
        """Number of ranks that learn."""
        return self.world_size - 1 if self.topology.name == "decoupled" else self.world_size

    @property
    def steps_per_update(self) -> int:
        """Environment steps between two updates, over all ranks."""
        return self.algo.num_steps * self.env.num_envs * self.players

    @property
    def updates(self) -> int:
        """Number of updates of the run."""
        return self.total_timesteps // self.steps_per_update

    @property
    def steps_per_row(self) -> int:
        """Environment steps between two rows of scalars."""
        return self.log.every or max(LEAST_STEPS_PER_ROW, self.steps_per_update)

    @property
    def inputs(self) -> Inputs:
        """What the agent's networks are given."""
        return Inputs(
            normalize=self.env.normalize_observations,
            clip=self.env.observation_limit,
            bounds=self.env.action_bounds,
            network=self.model.network(self.algo.num_steps),
            bfloat16=self.fabric.precision == "bf16-true",
        )

    @property
    def sizes(self) -> Sizes:
        """What the rest of the experiment makes of the algorithm's sizes."""
        return Sizes(
            steps_per_update=self.steps_per_update,
            least_rows=self.rows_per_trainer,
            most_rows=self.most_rows_per_trainer,
            num_envs=self.env.num_envs,
            ranks=self.trainers,
            updates=self.updates,
        )

    @property
    def compiled(self) -> bool:
        """Whether the train step is compiled."""
        if self.compile == "auto":
            return self.fabric.precision != "16-mixed" and self.algo.optimizer_steps(self.sizes) >= COMPILE_FROM
        return bool(self.compile)

    @property
    def memory_envs(self) -> int:
        """Environments whose transitions lie in the memory of the trainer with the most of them."""
        if self.topology.name == "coupled":
            return self.env.num_envs * (self.players if self.topology.share_data else 1)
        return self.env.num_envs if self.topology.share_data else -(-self.env.num_envs // self.trainers)

    @property
    def rows_per_trainer(self) -> int:
        """Transitions that the trainer with the fewest of them learns from in one update."""
        if self.topology.name == "coupled":
            return self.algo.num_steps * self.env.num_envs
        if self.topology.share_data:
            return self.steps_per_update // self.trainers
        return self.algo.num_steps * (self.env.num_envs // self.trainers)

    @property
    def most_rows_per_trainer(self) -> int:
        """Transitions that the trainer with the most of them learns from in one update."""
        if self.topology.share_data:
            return -(-self.steps_per_update // self.trainers)
        if self.topology.name == "coupled":
            return self.rows_per_trainer
        return self.algo.num_steps * -(-self.env.num_envs // self.trainers)
