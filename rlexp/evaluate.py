"""Evaluation of a policy, and the command that evaluates a checkpoint.

usage: python -m rlexp.evaluate checkpoint=PATH [episodes=10] [deterministic=true] [capture_video=false] [seed=N]
           [stream=fresh] [env_id=module:Id]

The experiment comes from the checkpoint, its normaliser frozen. The result is printed as JSON and written beside the
checkpoint as NAME.eval.json; with capture_video=true a video of the first episode is written. seed defaults to the
experiment's. By default episodes are played that the run never played; stream=final plays those of the evaluation after
training again, stream=selection those of the evaluations during it. env_id must be given where the environment lies in
a module, whose code is then run.
"""

from __future__ import annotations

import json
import math
import os
import signal
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rlexp.arguments import asks_version, find_modules_here, read_evaluation
from rlexp.config import Config
from rlexp.display import EvaluationDisplay
from rlexp.faults import Fault
from rlexp.launch.stopping import Interrupted, stoppable
from rlexp.launch.threads import wait_politely
from rlexp.rules import EVAL_SEED_START
from rlexp.settings import ConfigError, check, setting
from rlexp.summary import write_json
from rlexp.trust import check_links

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rlexp.envs import VectorEnvironment
    from rlexp.models import ActorCritic

Progress = Callable[[int, int], None]
"""Takes the episodes that have ended and the steps that were played."""
ENVIRONMENTS = 16
"""Episodes that are played side by side."""


STREAMS = ("selection", "final", "fresh")
"""Where the seeds of an evaluation come from: evaluations during training choose `best` and end training, so the one
after it plays other episodes, and the command plays others again."""


@dataclass(frozen=True)
class EvalResult:
    """Returns (undiscounted sums of raw rewards) and lengths (steps) of evaluation episodes, in the order of seeds.

    Attributes:
        returns: one an episode.
        lengths: one an episode.
        video: of the first episode, if one was written.
        cut: episodes that reached eval.max_episode_steps.
        limit: eval.max_episode_steps.
        seeds: the first and the last seed.
        stream: where the seeds come from.
    """

    returns: list[float] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    video: Path | None = None
    cut: int = 0
    limit: int = 0
    seeds: tuple[int, int] = (0, 0)
    stream: str = STREAMS[0]

    @property
    def mean_return(self) -> float:
        """The mean of the returns."""
        return statistics.fmean(self.returns)

    def as_dict(self) -> dict[str, Any]:
        """Return what summary.json holds; the standard deviation is that of the population."""
        return {
            "episodes": len(self.returns),
            "mean_return": self.mean_return,
            "std_return": statistics.pstdev(self.returns),
            "mean_length": statistics.fmean(self.lengths),
            "returns": self.returns,
            "cut": self.cut,
            "max_episode_steps": self.limit,
            "seeds": f"{self.seeds[0]}..{self.seeds[1]}",
            "stream": self.stream,
        }


def cut_note(values: Mapping[str, Any]) -> str | None:
    """Return the line on episodes that were cut, from what `EvalResult.as_dict` returned; None if none was."""
    if not values.get("cut"):
        return None
    return (
        f"{values['cut']} of {values['episodes']} episodes were cut at eval.max_episode_steps="
        f"{values['max_episode_steps']}; their returns are of what was played"
    )


def evaluation_seeds(seed: int, episodes: int, stream: str = STREAMS[0]) -> list[int]:
    """Return a seed for each episode, all of them in [2^31, 2^32), where no training seed lies.

    Each stream has a third of that range to itself.
    """
    size = EVAL_SEED_START // len(STREAMS)
    start = EVAL_SEED_START + STREAMS.index(stream) * size
    return [start + (seed * 10_007 + episode) % size for episode in range(episodes)]


def evaluate(
    config: Config,
    policy: ActorCritic,
    episodes: int,
    *,
    seed: int,
    stream: str = STREAMS[0],
    deterministic: bool = True,
    video_folder: Path | None = None,
    env_steps: int = 0,
    progress: Progress = lambda played, steps: None,
) -> EvalResult:
    """Play episodes with a fixed policy; the global random generators are left as they were.

    Args:
        config: the experiment whose environment is played.
        policy: any device; it is not changed.
        episodes: how many, at least 1.
        seed: of the experiment; the episodes' own seeds follow from it.
        stream: one of STREAMS; those of two streams have no seed in common.
        deterministic: take the most probable action rather than a sample.
        video_folder: where a video of the first episode is written; None: nowhere.
        env_steps: after how many steps of training, for the video's name.
        progress: called after each step of the environments.

    Raises:
        Fault: an observation or a return is not finite.
    """
    import torch

    from rlexp.envs import VideoSettings, make_environments, ordinary
    from rlexp.envs.video import recorded
    from rlexp.generators import kept_generators

    generator = torch.Generator(next(policy.parameters()).device).manual_seed(EVAL_SEED_START + seed)
    results: list[_Played] = []
    seeds = evaluation_seeds(seed, episodes, stream)
    video = None if video_folder is None else VideoSettings(video_folder, config.video.max_steps, start=env_steps)
    before = {} if video is None else recorded(video.folder)
    with kept_generators(seeds[0]):
        for start in range(0, episodes, ENVIRONMENTS):
            part = seeds[start : start + ENVIRONMENTS]
            first, steps = video if start == 0 else None, sum(each.length for each in results)
            envs = make_environments(ordinary(config.env), len(part), first, seeds=part, restorable=False)
            try:
                told = _told(progress, len(results), steps)
                results += _play(config, policy, envs, part, None if deterministic else generator, told)
            finally:
                envs.close()
            bad = next((i for i in range(start, len(results)) if not math.isfinite(results[i].total)), None)
            if bad is not None:
                total = results[bad].total
                raise Fault(f"non-finite return ({total}) of evaluation episode {bad} (seed {seeds[bad]})")
    written = [] if video is None else [item[0] for item in recorded(video.folder).items() - before.items()]
    returns, lengths = [each.total for each in results], [each.length for each in results]
    cut, limit = sum(not each.ended for each in results), config.eval.max_episode_steps
    film = written[0] if written else None
    return EvalResult(returns, lengths, film, cut, limit, (seeds[0], seeds[-1]), stream)


class _Played(NamedTuple):
    """An episode; `ended` is False where it was cut."""

    total: float
    length: int
    ended: bool


def _told(progress: Progress, played: int, steps: int) -> Progress:
    """Return `progress` with what was played before added."""
    return lambda more, further: progress(played + more, steps + further)


def _play(
    config: Config,
    policy: ActorCritic,
    envs: VectorEnvironment,
    seeds: Sequence[int],
    generator: Any,
    progress: Progress,
) -> list[_Played]:
    """Play one episode of each environment."""
    import numpy as np
    import torch

    from rlexp.envs.actions import environment_actions

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
            progress(int(done.sum()), int(lengths.sum()))
    return [_Played(*each) for each in zip(totals.tolist(), lengths.tolist(), done.tolist(), strict=True)]


@dataclass
class Options:
    """What the command takes."""

    checkpoint: str = setting("???", "Path of the checkpoint.")
    episodes: int = setting(10, "Number of episodes.", ge=1)
    deterministic: bool = setting(True, "Take the most probable action instead of a sample.")
    capture_video: bool = setting(False, "Write a video of the first episode.")
    env_id: str | None = setting(None, "The environment's id; needed where it names a module, whose code is then run.")
    seed: int | None = setting(None, "Seed; null: the experiment's.", ge=0, lt=EVAL_SEED_START)
    stream: str = setting(
        "fresh", "Episodes that the run never played, those of its final evaluation, or of its others.", choices=STREAMS
    )


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


def load_policy(
    path: Path, env_id: str | None = None, capture_video: bool = False
) -> tuple[Config, ActorCritic, dict[str, Any]]:
    """Return the experiment of a checkpoint, its policy on the CPU, and the whole checkpoint.

    Args:
        path: of the checkpoint; it may come from a stranger.
        env_id: the environment, where the checkpoint names one in a module of its own; see `trust.stored_config`.
        capture_video: whether the environment must be able to draw.

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
    config.env, config.capture_video = ordinary(config.env), capture_video
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
    config, policy, state = load_policy(path, options.env_id, options.capture_video)
    seed = config.seed if options.seed is None else options.seed
    run_dir = path.parent.parent if path.parent.name == "checkpoints" else path.parent
    # in a folder of its own, so that the video of the run itself stays
    folder = run_dir / "videos" / "test" / f"{path.stem}-seed{seed}" if options.capture_video else None
    if folder is not None:
        check_links(folder, run_dir)
    display = EvaluationDisplay(options.episodes)
    try:
        result = evaluate(
            config,
            policy,
            options.episodes,
            seed=seed,
            stream=options.stream,
            deterministic=options.deterministic,
            video_folder=folder,
            env_steps=state["env_steps"],
            progress=display.update,
        )
    finally:
        display.close()
    values = {
        "checkpoint": str(path),
        "env_id": config.env.id,
        "env_steps": state["env_steps"],
        "seed": seed,
        "deterministic": options.deterministic,
        **result.as_dict(),
        "video": None if result.video is None else str(result.video),
    }
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
    wait_politely()
    try:
        with stoppable():
            values = main(parse(sys.argv[1:]))
        print(json.dumps(values, indent=2))
        note = cut_note(values)
        if note is not None:
            print(note, file=sys.stderr)
    except (ConfigError, Fault) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except Interrupted as error:
        print(f"stopped by {signal.Signals(error.signum).name}", file=sys.stderr)
        sys.exit(128 + error.signum)
    except BrokenPipeError:
        os._exit(1)
    except OSError as error:
        print(f"error: {error.filename or 'the system'}: {error.strerror or error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    cli()
