"""The text of --help."""

from __future__ import annotations

import textwrap

from rlexp.algos import ALGORITHMS
from rlexp.config.places import choices
from rlexp.config.schema import Config
from rlexp.settings import fields_of

WIDTH = 80


def help_text() -> str:
    """Return the text of --help: the groups with their choices, and the keys people change most."""
    groups = [_entry(f"{group}=", 13, ", ".join(names)) for group, names in choices().items()]
    config = Config(algo=ALGORITHMS["ppo"]())
    most = """
        seed total_timesteps capture_video compile env.id env.num_envs env.vectorization env.normalize_observations
        env.normalize_rewards algo.num_steps algo.per_rank_batch_size algo.update_epochs algo.learning_rate algo.gamma
        algo.gae_lambda algo.clip_coef algo.ent_coef algo.hidden_sizes fabric.devices fabric.precision checkpoint.every
        eval.episodes resume
    """.split()  # noqa: SIM905  # a list of strings would take three times the lines
    docs = {key: (value, metadata["doc"]) for key, value, metadata in fields_of(config)}
    keys = [_entry(key, 28, f"{docs[key][1]} [{docs[key][0]}]") for key in most]
    return "\n".join(
        [
            "rlexp: reinforcement-learning experiments on Lightning Fabric",
            "",
            "usage: python -m rlexp.main [--multirun] [group=choice ...] [key=value ...]",
            "",
            "Groups:",
            *groups,
            "",
            "Keys people change most (defaults of algo=ppo in brackets):",
            *keys,
            "",
            "  --cfg job prints the composed config with every key.",
            "  -sc install=bash prints shell completion.",
            "  --multirun seed=1,2,3 runs a sweep; hydra.run.dir=DIR puts the run into DIR.",
            "",
        ]
    ).replace("???", "required")


def _entry(name: str, width: int, text: str) -> str:
    """Return a name in a column of its own beside a text, on lines of a terminal's 80 characters."""
    return textwrap.fill(text, WIDTH, initial_indent=f"  {name:<{width}} ", subsequent_indent=" " * (width + 3))
