"""Environments: from config to a vector environment whose observations are flat rows. The only room with gymnasium."""

from rlexp.envs.check import check_environment, film_note
from rlexp.envs.vector import StepResult, VectorEnvironment, make_environments, ordinary

__all__ = ["StepResult", "VectorEnvironment", "check_environment", "film_note", "make_environments", "ordinary"]
