"""Algorithms of other libraries, and ours."""

from __future__ import annotations

from rlexp.algos import ALGORITHMS
from rlexp.config.places import conf_dir

RECURRENT = ("ppo_recurrent", "recurrent_ppo", "recurrentppo", "ppo_lstm", "ppo_recurrent_decoupled", "a2c_recurrent")
MASKED = ("ppo_mask", "maskableppo", "maskable_ppo", "ppo_masked")
ELSEWHERE = (
    "trpo", "qrdqn", "tqc", "ars", "impala", "appo", "apex", "reinforce", "vpg", "sac_ae", "ppg", "iqn", "her",
    "dreamer_v1", "dreamer_v2",
    "dreamer_v3", "dreamer", "dreamerv3", "p2e_dv1", "p2e_dv2", "p2e_dv3", "acktr", "acer", "a3c", "muzero", "cql",
    "rpo", "pqn", "bc", "marwil", "sarsa", "discrete_sac", "discretesac", "npg", *RECURRENT, *MASKED,
)  # fmt: skip
"""Algorithms of other libraries that are not here."""


def algorithms() -> set[str]:
    """Return the algorithms that are here, and those that are settings of one, such as rainbow."""
    return {*ALGORITHMS, *(path.stem for path in (conf_dir() / "algo").glob("*.yaml"))}
