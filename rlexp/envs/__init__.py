"""Environments: from config to a vector environment whose observations are flat rows. The only room with gymnasium."""

from rlexp.envs.check import check_environment, video_note
from rlexp.envs.vector import StepResult, VectorEnvironment, make_environments, ordinary
from rlexp.envs.video import VideoSettings

__all__ = [
    "StepResult",
    "VectorEnvironment",
    "VideoSettings",
    "check_environment",
    "make_environments",
    "ordinary",
    "video_note",
]
