"""Evaluation of a policy, and the command that evaluates a checkpoint.

usage: python -m rlexp.evaluate checkpoint=PATH [episodes=10] [deterministic=true] [capture_video=false] [seed=N]
           [env_id=module:Id]

The experiment comes from the checkpoint, its normaliser frozen. The result is printed as JSON and written beside the
checkpoint as NAME.eval.json; with capture_video=true the first episode is filmed. seed defaults to the experiment's.
env_id must be given where the environment lies in a module, whose code is then run.
"""

from __future__ import annotations

import json
import math
import os
import statistics
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlexp.arguments import asks_version, find_modules_here, read_evaluation
from rlexp.config import Config
from rlexp.faults import Fault
from rlexp.rules import EVAL_SEED_START
from rlexp.settings import ConfigError, check, setting
from rlexp.trust import check_links

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rlexp.envs import VectorEnvironment
    from rlexp.models import ActorCritic

ENVIRONMENTS = 16
"""Episodes that are played side by side."""


@dataclass(frozen=True)
class EvalResult:
    """Returns (undiscounted sums of raw rewards) and lengths (steps) of evaluation episodes, in the order of seeds."""

    returns: list[float] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    video: Path | None = None

    @property
    def mean_return(self) -> float:
        """The mean of the returns."""
        return statistics.fmean(self.returns)

    def as_dict(self) -> dict[str, Any]:
        """Return what summary.json holds; the deviation is that of the population."""
        return {
            "episodes": len(self.returns),
            "mean_return": self.mean_return,
            "std_return": statistics.pstdev(self.returns),
            "mean_length": statistics.fmean(self.lengths),
            "returns": self.returns,
        }


def evaluation_seeds(seed: int, episodes: int) -> list[int]:
    """Return a seed for each episode, all of them in [2^31, 2^32), where no training seed lies."""
    return [EVAL_SEED_START + (seed * 10_007 + episode) % EVAL_SEED_START for episode in range(episodes)]


def evaluate(
    config: Config,
    policy: ActorCritic,
    episodes: int,
    *,
    seed: int,
    deterministic: bool = True,
    video_folder: Path | None = None,
) -> EvalResult:
    """Play episodes with a fixed policy.

    Args:
        config: the experiment whose environment is played.
        policy: any device; it is not changed.
        episodes: how many, at least 1.
        seed: of the experiment; the episodes' own seeds follow from it.
        deterministic: take the most probable action rather than a sample.
        video_folder: where the first episode is filmed; None: nowhere.

    Raises:
        Fault: an observation or a return is not finite.
    """
    import torch

    from rlexp.envs import make_environments, ordinary

    generator = torch.Generator(next(policy.parameters()).device).manual_seed(EVAL_SEED_START + seed)
    returns: list[float] = []
    lengths: list[int] = []
    seeds = evaluation_seeds(seed, episodes)
    for start in range(0, episodes, ENVIRONMENTS):
        part = seeds[start : start + ENVIRONMENTS]
        envs = make_environments(ordinary(config.env), len(part), video_folder if start == 0 else None, "test")
        try:
            played = _play(config, policy, envs, part, None if deterministic else generator)
        finally:
            envs.close()
        bad = next((i for i, (total, _) in enumerate(played) if not math.isfinite(total)), None)
        if bad is not None:
            raise Fault(f"non-finite return ({played[bad][0]}) of evaluation episode {start + bad} (seed {part[bad]})")
        returns += [total for total, _ in played]
        lengths += [length for _, length in played]
    films = sorted(video_folder.glob("test-*.mp4")) if video_folder is not None else []
    return EvalResult(returns, lengths, films[-1] if films else None)


def _play(
    config: Config, policy: ActorCritic, envs: VectorEnvironment, seeds: Sequence[int], generator: Any
) -> list[tuple[float, int]]:
    """Return the return and length of one episode of each environment."""
    import numpy as np
    import torch

    from rlexp.envs.vector import environment_actions

    count = len(seeds)
    rows = np.zeros((count, envs.spec.observation.row_size), envs.row_dtype)
    totals, lengths, done = np.zeros(count), np.zeros(count, np.int64), np.zeros(count, np.bool_)
    envs.reset(seeds, rows)
    device = next(policy.parameters()).device
    distribution = policy.distribution
    squash = config.env.action_bounds == "tanh"
    with torch.inference_mode():
        while not done.all() and lengths.max() < config.eval.max_episode_steps:
            params = policy.act(torch.from_numpy(rows).to(device)).float()
            if generator is None:
                actions = distribution.mode(params)
            else:
                actions = distribution.sample(params, distribution.noise((count,), generator))
            taken = environment_actions(actions.cpu().numpy(), envs.spec, squash)
            result = envs.step(taken, rows)
            if envs.row_dtype != np.uint8 and not np.isfinite(rows).all():
                bad = int((~np.isfinite(rows)).any(1).argmax())
                raise Fault(f"non-finite observation in the evaluation episode with seed {seeds[bad]}")
            totals += np.where(done, 0.0, result.rewards)
            lengths += ~done
            done |= result.terminated | result.truncated
    return list(zip(totals.tolist(), lengths.tolist(), strict=True))


@dataclass
class Options:
    """What the command takes."""

    checkpoint: str = setting("???", "Path of the checkpoint.")
    episodes: int = setting(10, "Number of episodes.", ge=1)
    deterministic: bool = setting(True, "Take the most probable action instead of a sample.")
    capture_video: bool = setting(False, "Film the first episode.")
    env_id: str | None = setting(None, "The environment's id; needed where it names a module, whose code is then run.")
    seed: int | None = setting(None, "Seed; null: the experiment's.", ge=0, lt=EVAL_SEED_START)


def parse(arguments: Sequence[str]) -> Options:
    """Turn key=value arguments into options.

    Raises:
        ConfigError: a key is unknown, a value is wrong, or the checkpoint is missing.
    """
    import dataclasses

    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    types = {option.name: option.type for option in dataclasses.fields(Options)}
    keys = ", ".join(types)
    options = OmegaConf.structured(Options)
    for argument in read_evaluation(arguments, {name: kind == "bool" for name, kind in types.items()}):
        key, equals, text = argument.partition("=")
        if not equals:
            raise ConfigError(f"{argument!r} is not of the form key=value; keys: {keys}")
        if key not in types:
            raise ConfigError(f"unknown key {key!r}; allowed: {keys}")
        try:
            options[key] = None if text == "null" else text
        except OmegaConfBaseException:
            raise ConfigError(f"{key}={text} is not allowed; its type is {types[key]}") from None
    if OmegaConf.is_missing(options, "checkpoint"):
        raise ConfigError("checkpoint has no value; give it as checkpoint=PATH")
    values = OmegaConf.to_object(options)
    assert isinstance(values, Options)
    check(values)
    return values


def load_policy(path: Path, env_id: str | None = None) -> tuple[Config, ActorCritic, dict[str, Any]]:
    """Return the experiment of a checkpoint, its policy on the CPU, and the whole checkpoint.

    Args:
        path: of the checkpoint; it may come from a stranger.
        env_id: the environment, where the checkpoint names one in a module of its own; see `trust.stored_config`.

    Raises:
        ConfigError: the checkpoint is missing, damaged or refused, or does not fit the environment that it names.
    """
    import torch

    from rlexp import checkpoint, trust
    from rlexp.envs import check_environment, ordinary
    from rlexp.models import build_policy

    state = checkpoint.load(path)
    if not isinstance(state.get("env_steps"), int):
        raise ConfigError(f"checkpoint={path} does not say after how many env_steps it was written")
    config = trust.stored_config(state, path, env_id)
    trust.check_sizes(config, state.get("policy"), path)
    config.env = ordinary(config.env)
    spec = check_environment(config)
    with torch.device("meta"):  # shapes without memory
        wanted = build_policy(config, spec).state_dict()
    trust.check_tensors(state["policy"], wanted, path)
    policy = build_policy(config, spec)
    policy.load_state_dict(state["policy"])
    return config, policy, state


def main(options: Options) -> dict[str, Any]:
    """Evaluate a checkpoint; write and return the result."""
    path = Path(options.checkpoint)
    config, policy, state = load_policy(path, options.env_id)
    seed = config.seed if options.seed is None else options.seed
    run_dir = path.parent.parent if path.parent.name == "checkpoints" else path.parent
    # in a folder of its own, so that the film of the run itself stays
    folder = run_dir / "videos" / "test" / f"{path.stem}-seed{seed}" if options.capture_video else None
    if folder is not None:
        check_links(folder, run_dir)
    result = evaluate(
        config, policy, options.episodes, seed=seed, deterministic=options.deterministic, video_folder=folder
    )
    values = {
        "checkpoint": str(path),
        "env_id": config.env.id,
        "env_steps": state["env_steps"],
        "seed": seed,
        "deterministic": options.deterministic,
        **result.as_dict(),
        "video": None if result.video is None else str(result.video),
    }
    from rlexp.summary import write_json

    write_json(path.with_name(f"{path.stem}.eval.json"), values)
    return values


def cli() -> None:
    """Run the command and exit: 0, or 1 with one line on the standard error."""
    find_modules_here()
    if asks_version(sys.argv[1:]):
        return
    if {"-h", "--help"} & set(sys.argv[1:]):
        print(__doc__)
        return
    try:
        print(json.dumps(main(parse(sys.argv[1:])), indent=2))
    except (ConfigError, Fault) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:
        os._exit(1)
    except OSError as error:
        print(f"error: {error.filename or 'the system'}: {error.strerror or error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    cli()
