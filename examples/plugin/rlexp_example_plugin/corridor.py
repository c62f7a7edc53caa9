"""An environment and a wrapper."""

import gymnasium
from gymnasium.spaces import Discrete


class Corridor(gymnasium.Env):
    """Nine places in a row; the goal is at the right end."""

    observation_space, action_space = Discrete(9), Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place = int(self.np_random.integers(8))
        return self.place, {}

    def step(self, action):
        self.place = max(0, self.place + (1 if action == 1 else -1))
        return self.place, float(self.place == 8), self.place == 8, False, {}


class StepCost(gymnasium.RewardWrapper):
    """Takes a little from the reward of each step; returns that are reported stay the raw ones."""

    def __init__(self, env, cost):
        super().__init__(env)
        self.cost = cost

    def reward(self, reward):
        return float(reward) - self.cost
