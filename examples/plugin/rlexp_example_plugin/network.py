"""An encoder: from a preprocessed observation to features."""

import torch

from rlexp.models.encoders import Encoder


class TwoLayers(Encoder):
    """Two fully connected layers with SiLU."""

    def __init__(self, spec, vector_features, width=32):
        super().__init__(spec, vector_features)
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(vector_features, width), torch.nn.SiLU(), torch.nn.Linear(width, width), torch.nn.SiLU()
        )
        self.features = width

    def forward(self, vector, images):
        return self.layers(vector)
