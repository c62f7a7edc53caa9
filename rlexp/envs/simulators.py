"""The state functions of simulators, for environments that do not come back by replay alone.

A simulator may carry over more from one episode to the next than its random generator. Where it can copy its whole
state, the copy from before a reset is put back before the reset is played again.
"""

from __future__ import annotations

from typing import Any

import numpy as np

BIPEDAL_WALKER = "gymnasium.envs.box2d.bipedal_walker"


def has_simulator(env: Any) -> bool:
    """Return whether the simulator below an unwrapped environment can copy its state."""
    return _ale(env) is not None or _mujoco(env) is not None


def simulator_state(env: Any) -> dict[str, Any]:
    """Return the state of the simulator below an unwrapped environment as arrays; empty where it has none we know."""
    ale = _ale(env)
    if ale is not None:
        return {"ale": np.frombuffer(ale.cloneState(include_rng=True).serialize(), np.uint8)}
    physics = _mujoco(env)
    if physics is not None:
        import mujoco  # only where the environment has imported it

        model, data = physics
        kind = mujoco.mjtState.mjSTATE_INTEGRATION
        state = np.empty(mujoco.mj_stateSize(model, kind))
        mujoco.mj_getState(model, data, state, kind)
        return {"mujoco": state}
    return {}


def load_simulator_state(env: Any, state: dict[str, Any]) -> bool:
    """Put the simulator into what `simulator_state` returned; return whether it could take it."""
    if "ale" in state:
        ale = _ale(env)
        if ale is not None:
            from ale_py import ALEState  # only where the environment has imported it

            ale.restoreState(ALEState(state["ale"].tobytes()))
        return ale is not None
    if "mujoco" in state:
        physics = _mujoco(env)
        if physics is not None:
            import mujoco

            mujoco.mj_setState(*physics, state["mujoco"], mujoco.mjtState.mjSTATE_INTEGRATION)
        return physics is not None
    return True


def renew(env: Any) -> None:
    """Give an unwrapped BipedalWalker a new Box2D world before a reset, as LunarLander gives itself one.

    Its world lives over all its episodes and keeps traces of them, which no replay of one episode brings back.
    """
    if type(env).__module__ == BIPEDAL_WALKER and env.terrain:
        env._destroy()
        env.world = type(env.world)()


def _ale(env: Any) -> Any:
    """Return the Arcade Learning Environment of an Atari game; None if it is none."""
    ale = getattr(env, "ale", None)
    return ale if hasattr(ale, "cloneState") and hasattr(ale, "restoreState") else None


def _mujoco(env: Any) -> tuple[Any, Any] | None:
    """Return MuJoCo's model and data, of gymnasium's environments, of robotics' and of dm_control's; None without."""
    physics: Any = getattr(getattr(env, "_env", None), "physics", None)  # dm_control through shimmy
    if hasattr(physics, "model") and hasattr(getattr(physics, "data", None), "ptr"):
        return physics.model.ptr, physics.data.ptr
    model, data = getattr(env, "model", None), getattr(env, "data", None)
    if type(model).__module__.startswith("mujoco") and type(data).__module__.startswith("mujoco"):
        return model, data
    return None
