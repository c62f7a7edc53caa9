"""docs/reference.md: every key and every scalar, from where they are declared.

usage: python -m rlexp.config.reference > docs/reference.md    (make reference)
"""

from __future__ import annotations

from typing import Any

from rlexp.algos import ALGORITHMS
from rlexp.config.schema import Config
from rlexp.settings import as_yaml, fields_of, range_of

SCALARS = {
    "env_steps": "Environment steps so far, over all environments and ranks: the x axis in TensorBoard.",
    "seconds": "Wall time of training so far, earlier parts of a resumed run included; in `metrics.csv` alone.",
    "Rewards/rew_avg": "Mean return (undiscounted, raw rewards) of the episodes that ended in this rollout.",
    "Rewards/last_100": "Mean return of the last 100 episodes: what the progress bar shows.",
    "Game/ep_len_avg": "Mean length of the episodes that ended in this rollout, in steps.",
    "Time/step_per_second": "Environment steps of this update by its wall time, logging included, evaluations not.",
    "Time/seconds": "The same as `seconds`, for TensorBoard.",
    "Time/collect_seconds": "Seconds of the rollout.",
    "Time/update_seconds": "Seconds of the update.",
    "Loss/policy_loss": "Policy loss.",
    "Loss/value_loss": "Value loss, before `algo.vf_coef`.",
    "Loss/entropy_loss": "Minus the mean entropy of the policy, before `algo.ent_coef`.",
    "Loss/approx_kl": "Approximate KL divergence from the policy that acted.",
    "Loss/clip_fraction": "Share of transitions whose probability ratio lies outside the clip range; 0 for A2C.",
    "Info/explained_variance": "1 - variance of the value errors / variance of the returns.",
    "Info/value_mean": "Mean of the values in the rollout.",
    "Info/grad_norm": "Norm of all gradients before they are clipped, averaged over ranks first.",
    "Info/skipped_steps": "Optimizer steps left out because their gradient was not finite.",
    "Info/learning_rate": "Learning rate of this update.",
    "Test/cumulative_reward": "Mean return of the evaluation episodes; in TensorBoard alone, see `evaluations.csv`.",
    "hparam/final_return": "When the run ends: the return of its last evaluation, else of the last 100 episodes.",
    "hparam/best_return": "When the run ends: the highest mean return, that of `best.ckpt` or the final one.",
    "hparam/steps_per_second": "When the run ends: environment steps by wall time of training.",
}


def code(value: Any) -> str:
    """Return a value as it is written on the command line, as code."""
    if value == "???":  # how OmegaConf says that it must be given
        return "required"
    return f"`{as_yaml(value).replace(', ', ',')}`"


def row(key: str, defaults: list[str], metadata: Any) -> str:
    """Return a key's line of a table."""
    bounded = any(metadata[bound] is not None for bound in ("ge", "gt", "le", "lt"))
    if metadata["choices"]:
        values = ", ".join(code(choice) for choice in metadata["choices"])
    else:
        values = range_of(metadata).replace("value", "x") if bounded else ""
    return f"| {' | '.join([f'`{key}`', *defaults, values, metadata['doc']])} |"


def general() -> str:
    """Return the table of all keys but the algorithms'."""
    keys = [field for field in fields_of(Config(algo=ALGORITHMS["ppo"]())) if not field[0].startswith("algo.")]
    rows = [row(key, [code(default)], metadata) for key, default, metadata in keys]
    return "\n".join(["| key | default | allowed | meaning |", "|---|---|---|---|", *rows])


def algorithms() -> str:
    """Return the table of the algorithms' keys, with each one's default."""
    settings = {name: {key: rest for key, *rest in fields_of(kind())} for name, kind in ALGORITHMS.items()}
    rows = []
    for key in dict.fromkeys(key for own in settings.values() for key in own):
        defaults = [code(own[key][0]) if key in own else "" for own in settings.values()]
        metadata = [own[key][1] for own in settings.values() if key in own][-1]
        rows.append(row(f"algo.{key}", defaults, metadata))
    heads = " | ".join(f"`algo={name}`" for name in settings)
    return "\n".join([f"| key | {heads} | allowed | meaning |", "|---" * (3 + len(settings)) + "|", *rows])


def page() -> str:
    """Return the whole page."""
    scalars = "\n".join(f"| `{name}` | {meaning} |" for name, meaning in SCALARS.items())
    return f"""# Every key and every scalar

Written by `make reference`. Groups and presets (`env=`, `algo=`, `experiment=`) set some of these keys; `--cfg job`
prints what a command comes to. x stands for the value.

{general()}

`eval.every` needs `eval.episodes`, and `eval.stop_at` needs `eval.every`. The precision `16-mixed` needs CUDA, and is
not compiled.

## Algorithms

{algorithms()}

## Scalars

In `metrics.csv` one row an update, in TensorBoard the same names. Losses are means over the minibatches of an update
and over ranks. An empty cell has no value: no episode ended in this rollout, or every step was skipped.

| scalar | meaning |
|---|---|
{scalars}
"""


if __name__ == "__main__":
    print(page(), end="")
