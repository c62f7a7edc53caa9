"""Evaluation of a policy, and the command that evaluates a checkpoint.

usage: python -m rlexp.evaluate checkpoint=PATH [episodes=10] [deterministic=true] [capture_video=false] [seed=N]
           [stream=fresh] [env_id=module:Id] [plugins=[module]]

The experiment comes from the checkpoint, its normaliser frozen. The result is printed as JSON and written beside the
checkpoint as NAME.eval.json; with capture_video=true a video of the first episode is written. seed defaults to the
experiment's. By default episodes are played that the run never played; stream=final plays those of the evaluation after
training again, stream=selection those of the evaluations during it. env_id must be given where the environment lies in
a module, whose code is then run; plugins names modules with other code of yours, such as wrappers.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import types
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlexp.command.arguments import asks_version, find_modules_here
from rlexp.command.options import parsed
from rlexp.config.compose import load_plugins
from rlexp.config.schema import EVAL_SEED_START, STREAMS
from rlexp.errors import ConfigError, Fault, Interrupted
from rlexp.files.summary import write_json
from rlexp.files.trust import check_links
from rlexp.launch.stopping import stoppable
from rlexp.launch.threads import wait_politely
from rlexp.settings import setting
from rlexp.show.display import EvaluationDisplay

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass
class Options:
    """What the command takes."""

    checkpoint: str = setting("???", "Path of the checkpoint.")
    episodes: int = setting(10, "Number of episodes.", ge=1)
    deterministic: bool = setting(True, "Take the most probable action instead of a sample.")
    capture_video: bool = setting(False, "Write a video of the first episode.")
    env_id: str | None = setting(None, "The environment's id; needed where it names a module, whose code is then run.")
    plugins: list[str] = setting([], "Modules with own code that the checkpoint's experiment uses; they are run.")
    seed: int | None = setting(None, "Seed; null: the experiment's.", ge=0, lt=EVAL_SEED_START)
    stream: str = setting(
        "fresh", "Episodes that the run never played, those of its final evaluation, or of its others.", choices=STREAMS
    )


def parse(arguments: Sequence[str]) -> Options:
    """Turn key=value arguments into options.

    Raises:
        ConfigError: a key is unknown, a value is wrong, or the checkpoint is missing.
    """
    return parsed(arguments, Options)


def main(options: Options) -> dict[str, Any]:
    """Evaluate a checkpoint; write and return the result."""
    from rlexp.run.evaluation import evaluate  # torch and gymnasium, which an error in the words need not wait for
    from rlexp.run.loading import load_actor

    load_plugins(options.plugins)
    path = Path(options.checkpoint)
    config, actor, state = load_actor(path, options.env_id, options.capture_video, options.plugins)
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
            actor,
            options.episodes,
            seed=seed,
            stream=options.stream,
            deterministic=options.deterministic,
            video_folder=folder,
            env_steps=state.env_steps,
            progress=display.update,
        )
    finally:
        display.close()
    values = {
        "checkpoint": str(path),
        "env_id": config.env.id,
        "env_steps": state.env_steps,
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
        from rlexp.run.evaluation import cut_note  # imported by now

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


class _Function(types.ModuleType):
    """This module, which is also the function `rlexp.evaluate` of the Python API: both have that name."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Evaluate a policy; see `rlexp.command.api.evaluate`."""
        from rlexp.command import api  # Hydra, which the command need not wait for

        return api.evaluate(*arguments, **options)


sys.modules[__name__].__class__ = _Function

if __name__ == "__main__":
    cli()
