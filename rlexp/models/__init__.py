"""Networks: torsos, heads, action distributions, and the actor-critic policy made of them."""

from rlexp.models.actor_critic import ActorCritic, build_policy
from rlexp.models.acting import sampler

__all__ = ["ActorCritic", "build_policy", "sampler"]
