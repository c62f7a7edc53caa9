"""An exported policy plays its environment: numpy, gymnasium and onnxruntime, without torch and without rlexp.

python -m rlexp.export checkpoint=RUN/checkpoints/best.safetensors
python examples/play_onnx.py RUN/checkpoints/best.onnx --episodes 10
"""

import argparse
import functools
import importlib
import json
import operator
from pathlib import Path

import gymnasium
import numpy as np
import onnxruntime


def make(environment: dict) -> gymnasium.Env:
    """The environment that the policy was trained in: its wrappers are named as package.module:Class."""
    env = gymnasium.make(environment["id"], **environment["kwargs"])
    for entry in environment["wrappers"]:
        module, _, name = entry.pop("wrapper").partition(":")
        env = getattr(importlib.import_module(module), name)(env, **entry)
    if environment["frame_stack"] > 1:
        env = gymnasium.wrappers.FrameStackObservation(env, environment["frame_stack"])
    return env


def looked_up(observation, path):
    return functools.reduce(operator.getitem, path, observation)


def placed(outputs: list[dict], values: list[np.ndarray]):
    """The action as the environment takes it: one array, or a Dict or Tuple of arrays by their paths."""
    if len(outputs) == 1 and not outputs[0]["path"]:
        return values[0]
    parts = {}
    for key in dict.fromkeys(output["path"][0] for output in outputs):
        inner = [n for n, output in enumerate(outputs) if output["path"][0] == key]
        below = [{**outputs[n], "path": outputs[n]["path"][1:]} for n in inner]
        parts[key] = placed(below, [values[n] for n in inner])
    return tuple(parts.values()) if isinstance(next(iter(parts)), int) else parts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("policy", type=Path)
    parser.add_argument("--episodes", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    about = json.loads(arguments.policy.with_name(f"{arguments.policy.name}.json").read_text())
    session = onnxruntime.InferenceSession(str(arguments.policy), providers=["CPUExecutionProvider"])
    env = make(about["environment"])
    returns = []
    for episode in range(arguments.episodes):
        observation, info = env.reset(seed=arguments.seed + episode)
        total, done = 0.0, False
        state = np.zeros((1, about["state"]["shape"][1]), np.float32) if about["state"] else None
        while not done:
            given = {}
            for wanted in about["inputs"]:
                by_info = wanted["path"] is None
                values = info["action_mask"] if by_info else looked_up(observation, wanted["path"])
                given[wanted["name"]] = np.asarray(values, wanted["dtype"])[None]
            if state is not None:
                given["state"] = state
            found = session.run(None, given)
            state = found.pop() if state is not None else None
            action = placed(about["outputs"], [values[0] for values in found])
            observation, reward, terminated, truncated, info = env.step(action)
            total, done = total + float(reward), terminated or truncated
        returns.append(total)
    print(f"return: {np.mean(returns):.1f} +- {np.std(returns):.1f} ({len(returns)} episodes)")


if __name__ == "__main__":
    main()
