"""What this package brings: names only, so that a start of rlexp waits for nothing heavy."""

import gymnasium

from rlexp.plugins import register, register_config

gymnasium.register("Corridor-v0", entry_point="rlexp_example_plugin.corridor:Corridor", max_episode_steps=50)
register("wrapper", "step_cost", "rlexp_example_plugin.corridor:StepCost", cost=0.01)
register("model", "two_layers", "rlexp_example_plugin.network:TwoLayers")
register("callback", "success_rate", "rlexp_example_plugin.success:SuccessRate")
register("algorithm", "reinforce", "rlexp_example_plugin.reinforce:Reinforce")
register_config("rlexp_example_plugin.conf")
