"""The policy of a checkpoint as a file for other programs, checked against the original."""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import logging
import operator
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rlexp.config.code import wrappers_of
from rlexp.config.compose import algorithm_name
from rlexp.envs.batches import batch_of, sampled
from rlexp.envs.reading import leaves
from rlexp.errors import MOST_OF_A_REASON, ConfigError, Fault, writing
from rlexp.files.summary import write_json
from rlexp.models.deployed import Deployed, Input, outputs_of
from rlexp.run.policy import Policy, load_policy

SUFFIXES = {"onnx": ".onnx", "torch": ".pt2"}
PACKAGES = ("onnx", "onnxscript", "onnxruntime")
OBSERVATIONS = 1_000
MOST_DIFFERENT = 1e-3
"""Part of the observations on which another choice may be taken: where two are equally likely, rounding decides."""
TOLERANCE = 1e-4
"""By which real actions may differ, relative to 1 and to their size."""


def export(path: Path, kind: str, output: Path | None, env_id: str | None, named: Sequence[str]) -> dict[str, Any]:
    """Write a policy as a file, and a description of it beside that; return the description.

    Args:
        path: of the checkpoint.
        kind: onnx, or torch for an exported program of torch.
        output: where to; None: beside the checkpoint.
        env_id: the environment, where the checkpoint names one in a module of its own; see `rlexp.load`.
        named: modules of code that the checkpoint may import.

    Raises:
        ConfigError: the checkpoint is not usable, or a package is missing.
        Fault: the file does not do what the policy does, or cannot be written.
    """
    missing = [name for name in PACKAGES if kind == "onnx" and importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"format=onnx needs {', '.join(missing)}; install it with: pip install 'rlexp[onnx]', or give format=torch"
        )
    policy = load_policy(path, env_id, named)
    target = output or path.with_suffix(SUFFIXES[kind])
    network = Deployed(policy.actor, policy.spec.action, inputs_of(policy)).eval().requires_grad_(False)
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f"{target.stem}.tmp{SUFFIXES[kind]}")
        try:
            _write(network, temporary, kind)
            agrees = compared(policy, network, temporary, kind)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
        described = description(policy, network, path, kind) | agrees
        write_json(target.with_name(f"{target.name}.json"), described)
    return {"file": str(target), **described}


def inputs_of(policy: Policy) -> list[Input]:
    """Return what an observation of a policy is made of."""
    packer, found = policy.packer, []
    types = {path: str(space.dtype) for path, space in leaves(policy.observation_space)}
    kinds = {"number": packer.numbers, "choice": packer.choices, "real image": packer.real_images}
    for kind, parts in {**kinds, "image": packer.byte_images}.items():
        for part in parts:
            low = 0 if kind == "choice" and part.low is None else part.low
            last = part.channels_last and kind != "number"
            found.append(Input(part.name, kind, part.shape, types[part.path], _list(low), _list(part.scale), last))
    if packer.mask:
        found.append(Input("action_mask", "mask", (packer.mask,), "int8"))
    return found


def _list(value: Any) -> Any:
    """Return an array as a nested tuple, which is hashable; a scalar as a number."""
    if value is None:
        return None
    as_list = np.asarray(value).tolist()
    return _tuple(as_list)


def _tuple(value: Any) -> Any:
    return tuple(map(_tuple, value)) if isinstance(value, list) else value


def _example(network: Deployed) -> tuple[torch.Tensor, ...]:
    arrays = [torch.zeros((2, *each.shape), dtype=getattr(torch, each.dtype)) for each in network.inputs]
    state = network.actor.state_size
    return (*arrays, torch.zeros((2, state))) if state else tuple(arrays)


def _dynamic(network: Deployed) -> dict[str, Any]:
    batch = torch.export.Dim("batch")
    return {"given": tuple({0: batch} for _ in _example(network))}


def _write(network: Deployed, path: Path, kind: str) -> None:
    """Write the file.

    Raises:
        Fault: the network, which may be somebody's own, has what the format does not.
    """
    try:
        (_write_onnx if kind == "onnx" else _write_torch)(network, path)
    except OSError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:MOST_OF_A_REASON]
        raise Fault(f"format={kind}: the network cannot be exported: {type(error).__name__}: {reason}") from error


def _write_torch(network: Deployed, path: Path) -> None:
    program = torch.export.export(network, _example(network), dynamic_shapes=_dynamic(network))
    with path.open("wb") as file:
        torch.export.save(program, file)


def _write_onnx(network: Deployed, path: Path) -> None:
    before, after = (["state"], ["next_state"]) if network.actor.state_size else ([], [])
    said = logging.root.manager.disable
    logging.disable(logging.WARNING)  # of each operator that onnxscript looks at
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                network,
                _example(network),
                str(path),
                input_names=[*(each.name for each in network.inputs), *before],
                output_names=[*(each.name for each in outputs_of(network.action)), *after],
                dynamic_shapes=_dynamic(network),
                dynamo=True,
                external_data=False,
                verbose=False,
            )
    finally:
        logging.disable(said)


def _run(network: Deployed, path: Path, kind: str, given: dict[str, Any]) -> list[Any]:
    """Return what the file makes of a batch."""
    if kind == "torch":
        made = torch.export.load(path).module()(*(torch.from_numpy(values) for values in given.values()))
        return [each.numpy() for each in made]
    import onnxruntime  # an extra

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    return list(session.run(None, given))


def compared(policy: Policy, network: Deployed, path: Path, kind: str) -> dict[str, Any]:
    """Return on how many random observations the file takes the action of the policy.

    Raises:
        Fault: on too few.
    """
    observations = batch_of(policy.observation_space, sampled(policy.observation_space, OBSERVATIONS))
    given = {each.name: np.ascontiguousarray(_found(observations, each, policy)) for each in network.inputs}
    width, state = network.actor.state_size, None
    if width:
        state = torch.rand((OBSERVATIONS, width), generator=torch.Generator().manual_seed(0)) * 2 - 1
        given["state"] = state.numpy()
    expected, _ = policy.act(observations, state)
    same, worst = np.ones(OBSERVATIONS, np.bool_), 0.0
    found = _run(network, path, kind, given)
    for output, values in zip(outputs_of(network.action), found[: len(found) - (width > 0)], strict=True):
        wanted = functools.reduce(operator.getitem, output.path, expected)
        if output.spec.sizes:
            same &= (values == wanted).reshape(OBSERVATIONS, -1).all(1)
        else:
            difference = np.abs(values - wanted) / np.maximum(1, np.abs(wanted))
            worst = max(worst, float(difference.max()))
            same &= (difference <= TOLERANCE).reshape(OBSERVATIONS, -1).all(1)
    if same.mean() < 1 - MOST_DIFFERENT:
        raise Fault(f"the exported network takes another action on {(~same).sum()} of {OBSERVATIONS} observations")
    return {"checked": {"observations": OBSERVATIONS, "same_actions": int(same.sum()), "largest_difference": worst}}


def _found(observations: Any, each: Input, policy: Policy) -> Any:
    named = {".".join(map(str, path)) or "obs": path for path, _ in leaves(policy.observation_space)}
    return functools.reduce(operator.getitem, named.get(each.name, ()), observations).astype(each.dtype)


def description(policy: Policy, network: Deployed, checkpoint: Path, kind: str) -> dict[str, Any]:
    """Return what a person, or a program, must know to use the file."""
    config, observation = policy.config, policy.unmasked_space()
    paths = {(".".join(map(str, path)) or "obs"): list(path) for path, _ in leaves(observation)}
    return {
        "format": kind,
        "checkpoint": str(checkpoint),
        "algo": algorithm_name(config),
        "env_steps": policy.env_steps,
        "environment": {
            "id": config.env.id,
            "kwargs": config.env.kwargs,
            "wrappers": [{"wrapper": entry.path, **entry.kwargs} for entry in wrappers_of(config.env)],
            "frame_stack": config.env.frame_stack,
            "action_repeat": config.env.action_repeat,
        },
        "observation": policy.spec.observation.description,
        "inputs": [
            {"name": each.name, "path": paths.get(each.name), "shape": ["batch", *each.shape], "dtype": each.dtype}
            for each in network.inputs  # path null: of info["action_mask"] or the method action_masks()
        ],
        "outputs": [
            {
                "name": each.name,
                "path": list(each.path),
                "shape": ["batch", *each.spec.shape],
                "dtype": each.spec.dtype or "int64",
                "meaning": _meaning(each.spec),
            }
            for each in outputs_of(network.action)
        ],
        "state": _of_state(network.actor.state_size),
        "note": "raw observations of the environment in these wrappers go in, greedy actions as it takes them come "
        "out; normalisation, squashing, bounds and action masks are inside",
        "versions": {name: importlib.metadata.version(name) for name in ("rlexp", "torch")},
    }


def _of_state(width: int) -> dict[str, Any] | None:
    """Return what to know of a recurrent state; None without one."""
    if not width:
        return None
    return {"input": "state", "output": "next_state", "shape": ["batch", width], "dtype": "float32",
            "meaning": "0 at the start of an episode, then what the step before returned"}  # fmt: skip


def _meaning(action: Any) -> str:
    if not action.sizes:
        low, high = (f"{min(action.low):g}", f"{max(action.high):g}")
        return f"real numbers within their bounds, {low} to {high}"
    options = str(action.sizes[0]) if len(set(action.sizes)) == 1 else f"{min(action.sizes)} to {max(action.sizes)}"
    return f"{len(action.sizes)} choice{'s' * (len(action.sizes) > 1)} of {options}, from {min(action.start)} on"
