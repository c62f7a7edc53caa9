"""Environments: from config to a vector environment whose observations are flat rows. The only room with gymnasium."""

from rlexp.envs.build import make_environments, ordinary
from rlexp.envs.check import check_environment, video_note
from rlexp.envs.encoder import VideoSettings
from rlexp.envs.vector import StepResult, VectorEnvironment

__all__ = [
    "StepResult",
    "VectorEnvironment",
    "VideoSettings",
    "check_environment",
    "make_environments",
    "ordinary",
    "video_note",
]
