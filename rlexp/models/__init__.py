"""Networks: torsos, heads, action distributions, and the actor-critic policy made of them."""

from rlexp.models.policy import ActorCritic, build_policy
from rlexp.models.sampling import sampler

__all__ = ["ActorCritic", "build_policy", "sampler"]
