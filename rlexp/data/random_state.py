"""The states of the global random generators of this process: python's, numpy's, torch's and CUDA's."""

from __future__ import annotations

import random

import numpy as np
import torch

from rlexp.data.state import GlobalGenerators


def random_state(device: torch.device) -> GlobalGenerators:
    """Return the state of the generators."""
    version, internal, gauss = random.getstate()
    _, keys, position, has_gauss, numpy_gauss = np.random.get_state()
    return GlobalGenerators(
        python=torch.tensor([version, *internal]),
        python_gauss=gauss,
        numpy=torch.from_numpy(np.array(keys, np.int64)),
        numpy_position=int(position),
        numpy_has_gauss=int(has_gauss),
        numpy_gauss=float(numpy_gauss),
        torch=torch.get_rng_state(),
        cuda=torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
    )


def load_random_state(state: GlobalGenerators, device: torch.device) -> None:
    """Put the generators into a state that `random_state` returned."""
    version, *internal = state.python.tolist()
    random.setstate((version, tuple(internal), state.python_gauss))
    keys = state.numpy.numpy().astype(np.uint32)
    np.random.set_state(("MT19937", keys, state.numpy_position, state.numpy_has_gauss, state.numpy_gauss))
    torch.set_rng_state(state.torch)
    if state.cuda is not None and device.type == "cuda":
        torch.cuda.set_rng_state(state.cuda, device)
