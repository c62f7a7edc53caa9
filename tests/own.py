"""Code of one's own, as users write it and name by its path: wrappers, and what other rooms are tried with."""

import gymnasium


class Doubled(gymnasium.RewardWrapper):
    """Doubles rewards, and adds a little for each that it has seen: it has a state that outlives episodes."""

    def __init__(self, env, factor=2.0):
        super().__init__(env)
        self.factor, self.seen = factor, 0

    def reward(self, reward):
        self.seen += 1
        return self.factor * float(reward) + 1e-3 * self.seen


class Lives(gymnasium.Wrapper):
    """Ends an episode every `steps` steps, as the loss of a life does; the game itself goes on."""

    def __init__(self, env, steps=7):
        super().__init__(env)
        self.steps, self.taken, self.over, self.last = steps, 0, True, None

    def reset(self, *, seed=None, options=None):
        if self.over or seed is not None:
            self.last, info = self.env.reset(seed=seed, options=options)
            self.taken, self.over = 0, False
            return self.last, info
        return self.last, {}

    def step(self, action):
        self.last, reward, terminated, truncated, info = self.env.step(action)
        self.taken += 1
        self.over = terminated or truncated
        return self.last, reward, terminated or self.taken % self.steps == 0, truncated, info
