"""CartPole that notes when it is first stepped, in the file that the environment variable NOTE names."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import gymnasium
from gymnasium.envs.classic_control import CartPoleEnv

NOTE = "RLEXP_FIRST_STEP"


class FirstStep(CartPoleEnv):
    """CartPole; the note holds seconds since the epoch."""

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        note = Path(os.environ[NOTE])
        if not note.exists():
            note.write_text(str(time.time()))
        return super().step(action)


gymnasium.register("FirstStep-v0", entry_point=FirstStep, max_episode_steps=500)
