"""The global random generators of this process: python's, numpy's, torch's and CUDA's."""

from __future__ import annotations

import contextlib
import random
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    pass


@contextlib.contextmanager
def kept_generators(seed: int | None = None) -> Iterator[None]:
    """Leave the global generators afterwards as they were before, whatever is drawn from them within.

    Args:
        seed: what they start from within; None: from where they are.
    """
    python, numpy_state, torch = random.getstate(), np.random.get_state(), sys.modules.get("torch")
    torch_state = None if torch is None else torch.get_rng_state()
    cuda = torch.cuda.get_rng_state_all() if torch is not None and torch.cuda.is_initialized() else None
    if seed is not None:
        random.seed(seed)
        np.random.seed(seed % 2**32)
        if torch is not None:
            torch.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy_state)
        if torch is not None:
            torch.set_rng_state(torch_state)
            if cuda is not None:
                torch.cuda.set_rng_state_all(cuda)
