"""Code of one's own, as users write it and name by its path: wrappers, and what other rooms are tried with."""

import gymnasium
import torch

from rlexp.models.encoders import Encoder


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


class Sums(Encoder):
    """An encoder: sums of the vector in groups, a linear layer of each image, side by side."""

    def __init__(self, spec, vector_features, width=6):
        super().__init__(spec, vector_features)
        self.layers = torch.nn.ModuleList(torch.nn.Linear(image.size, width) for image in spec.images)
        self.first = torch.nn.Linear(vector_features, width) if vector_features else None
        self.features = width * (len(spec.images) + (self.first is not None))

    def forward(self, vector, images):
        maps = [layer(image.flatten(1).float()) for layer, image in zip(self.layers, images, strict=True)]
        return torch.cat([*([self.first(vector)] if self.first is not None else []), *maps], -1).tanh()


class Unfit(Encoder):
    """An encoder that forgets the batch."""

    def __init__(self, spec, vector_features):
        super().__init__(spec, vector_features)
        self.features = 3

    def forward(self, vector, images):
        return vector.new_zeros(3)
