"""Scalars: what is logged, each declared once. CSV, TensorBoard, reference page, health check and transport read this.

An algorithm declares those of its losses (`Algorithm.scalars`), a memory those of its data (`FRESH`), and the rest of
an update and of a run stands here.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Scalar:
    """One number of an update or a run.

    Attributes:
        name: in the code.
        tag: in metrics.csv and TensorBoard.
        meaning: one line for the reference page.
        finite: whether training ends where it is not finite.
        total: whether it is added up over the updates of one row of metrics.csv; else it is averaged.
    """

    name: str
    tag: str
    meaning: str
    finite: bool = False
    total: bool = False


GRAD_NORM = Scalar(
    "grad_norm", "Info/grad_norm", "Norm of all gradients before they are clipped, averaged over ranks first.", True
)
UPDATE = (
    GRAD_NORM,
    Scalar(
        "skipped_steps",
        "Info/skipped_steps",
        "Optimizer steps left out because their gradient was not finite.",
        total=True,
    ),
    Scalar("learning_rate", "Info/learning_rate", "Learning rate of this update."),
)
"""Of every update, whatever the algorithm."""
FRESH = (
    Scalar(
        "explained_variance", "Info/explained_variance", "1 - variance of the value errors / variance of the returns."
    ),
    Scalar("value_mean", "Info/value_mean", "Mean of the values in the rollout."),
)
"""Of a rollout that a critic has valued."""
REPLAY = (Scalar("replay_size", "Info/replay_size", "Transitions in the replay memory of a rank."),)
"""Of a replay memory."""
PROGRESS = (
    Scalar("return", "Rewards/rew_avg", "Mean return (undiscounted, raw rewards) of the episodes that ended."),
    Scalar("last_100", "Rewards/last_100", "Mean return of the last 100 episodes: what the progress bar shows."),
    Scalar("length", "Game/ep_len_avg", "Mean length of the episodes that ended, in steps."),
    Scalar(
        "speed",
        "Time/step_per_second",
        "Environment steps since the row before by their wall time, logging included, evaluations not.",
    ),
    Scalar("time", "Time/seconds", "The same as `seconds`, for TensorBoard."),
    Scalar("collect", "Time/collect_seconds", "Seconds of a rollout."),
    Scalar("update", "Time/update_seconds", "Seconds of an update."),
)
"""Of every row of metrics.csv."""
SHAPED = Scalar(
    "shaped", "Rewards/shaped_avg", "Mean sum of the rewards that wrappers made of an episode's, with `env.wrappers`."
)
AXES = (
    Scalar(
        "env_steps",
        "env_steps",
        "Environment steps so far, over all environments and ranks: the x axis in TensorBoard.",
    ),
    Scalar(
        "seconds",
        "seconds",
        "Wall time of training so far, earlier parts of a resumed run included; in `metrics.csv` alone.",
    ),
)
TEST = Scalar(
    "test",
    "Test/cumulative_reward",
    "Mean return of the evaluation episodes; in TensorBoard alone, see `evaluations.csv`.",
)
OUTCOME = (
    Scalar(
        "final",
        "hparam/final_return",
        "When the run ends: the return of its last evaluation, else of the last 100 episodes.",
    ),
    Scalar(
        "best",
        "hparam/best_return",
        "When the run ends: the highest mean return, that of `best.safetensors` or the final one.",
    ),
    Scalar(
        "steps_per_second",
        "hparam/steps_per_second",
        "When the run ends: environment steps by wall time of training.",
    ),
)
"""Written once, when a run ends: the metrics of TensorBoard's hparams tab."""


def info_tag(name: str) -> str:
    """Return the tag of a value of the environment's infos that `log.infos` names."""
    return f"Game/{name}"
