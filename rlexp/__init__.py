"""rlexp: reinforcement-learning experiments, composed by Hydra and run by Lightning Fabric."""

__version__ = "0.1.0"

from typing import TYPE_CHECKING, Any

from rlexp.launch import early

if TYPE_CHECKING:
    from rlexp.command.api import compose, evaluate, load, train
    from rlexp.command.runs import Run, runs, runs_frame
    from rlexp.learn.callbacks import Callback
    from rlexp.models.encoders import Encoder
    from rlexp.plugins import register, register_config
    from rlexp.run.policy import Policy

if early.is_command():
    early.install()

__all__ = [
    "Callback",
    "Encoder",
    "Policy",
    "Run",
    "compose",
    "evaluate",
    "load",
    "register",
    "register_config",
    "runs",
    "runs_frame",
    "train",
]
_PLACES = {
    "Callback": "rlexp.learn.callbacks",
    "Encoder": "rlexp.models.encoders",
    "Policy": "rlexp.run.policy",
    "Run": "rlexp.command.runs",
    "runs": "rlexp.command.runs",
    "runs_frame": "rlexp.command.runs",
    "register": "rlexp.plugins",
    "register_config": "rlexp.plugins",
}


def __getattr__(name: str) -> Any:
    """Import what the public API has when it is asked for: `import rlexp` waits for nothing heavy."""
    if name not in __all__:
        raise AttributeError(f"module 'rlexp' has no attribute {name!r}; it has: {', '.join(__all__)}")
    import importlib

    return getattr(importlib.import_module(_PLACES.get(name, "rlexp.command.api")), name)
