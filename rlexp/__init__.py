"""rlexp: reinforcement-learning experiments, composed by Hydra and run by Lightning Fabric."""

__version__ = "0.1.0"

from rlexp import early

if early.is_command():
    early.install()
