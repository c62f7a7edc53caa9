"""Try rlexp on public environments: whether each trains, records a video and resumes exactly.

usage: python -m benchmarks.worlds [NAME ...] [--add] [--seconds N] [--memory GIB] [--jobs N] [--keep FOLDER]

Each environment is run by the command that a user gives, in a folder of its own, for some thousand steps. A run is
resumed from its checkpoint half way, and its last weights are compared bit for bit with those of the run that was not
interrupted. What does not run is kept with the one line that rlexp said. NAME is a part of an id or a group.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.limited import Limits, Outcome, run_limited
from benchmarks.machine import described
from benchmarks.store import ROOT, add_option, load
from benchmarks.worlds_list import WORLDS, World

NAME = "worlds"
PAGE = ROOT / "docs" / "worlds.md"
STEPS, IMAGE_STEPS = 2_048, 512
BLACK = 16
"""Brightest value of a frame that shows nothing: video compression adds some noise to black."""
INEXACT = ("put back", "will not equal")
"""Parts of the warning with which rlexp says that a run does not continue exactly."""


@dataclass(frozen=True)
class Row:
    """What came of one environment; `trains`, `video` and `resumes` are yes, no, or empty where it was not tried."""

    name: str
    group: str
    package: str
    words: str
    trains: str
    video: str
    resumes: str
    remark: str
    made: str


def base_words(world: World) -> list[str]:
    """Return what every command has beside the environment's own words."""
    steps = IMAGE_STEPS if world.images else STEPS
    return [
        *("env.num_envs=2", f"algo.num_steps={steps // 16}", f"total_timesteps={steps}"),
        *(f"checkpoint.every={steps // 2}", "eval.episodes=1", "eval.max_episode_steps=500"),
        *(["algo.update_epochs=1", "algo.per_rank_batch_size=64"] if world.images else []),
    ]


def try_world(world: World, limits: Limits, folder: Path, tree: Path, made: str) -> Row:
    """Run one environment and return what came of it."""

    def run(words: Sequence[str]) -> Outcome:
        return run_limited([sys.executable, "-m", "rlexp.main", *words], folder, tree, limits, world.variables)

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    remarks: list[str] = []
    trains, video, resumes, filmed = "no", "", "", "capture_video=true"
    words = [*world.words, *base_words(world)]
    outcome = run([*words, filmed, "hydra.run.dir=whole"])
    if not outcome.completed(folder / "whole"):
        remarks.append(outcome.reason)
        shutil.rmtree(folder / "whole", ignore_errors=True)
        video, filmed = "no", "capture_video=false"
        outcome = run([*words, filmed, "hydra.run.dir=whole"])
    if outcome.completed(folder / "whole"):
        trains = "yes"
        if not video:
            video, said = seen(folder / "whole" / "videos" / "test")
            remarks += said
        resumes, said = resumed(run, world, folder)
        remarks += said
    elif outcome.reason not in remarks:
        remarks.append(f"without video: {outcome.reason}")
    return Row(
        name=world.name,
        group=world.group,
        package=package_with_version(world.package),
        words=" ".join((*world.variables, *world.words)),
        trains=trains,
        video=video if trains == "yes" else "",
        resumes=resumes,
        remark=re.sub(r"\S*/site-packages/", "", "; ".join(remarks)),
        made=made,
    )


def seen(folder: Path) -> tuple[str, list[str]]:
    """Return whether a folder has a video that shows something, and what to remark."""
    films = sorted(folder.glob("**/*.mp4"))
    if not films:
        return "no", ["no video was written"]
    try:
        frames = list(decoded(films[0]))
    except (OSError, RuntimeError, StopIteration) as error:
        return "no", [f"the video cannot be decoded: {' '.join(str(error).split())[:160]}"]
    if not frames:
        return "no", ["the video has no frame"]
    brightest = max(int(frame.max()) for frame in frames)
    if brightest <= BLACK:
        return "no", [f"the video is black: {len(frames)} frames, none brighter than {brightest}"]
    if all(int(np.ptp(frame.reshape(-1, 3), axis=0).max()) <= BLACK for frame in frames):
        return "no", [f"the video shows one colour: {len(frames)} frames"]
    return "yes", []


def decoded(film: Path) -> Iterator[np.ndarray[Any, Any]]:
    """Yield the frames of a video, uint8 [H, W, 3]."""
    import imageio_ffmpeg

    frames = imageio_ffmpeg.read_frames(str(film))
    width, height = next(frames)["size"]
    for frame in frames:
        yield np.frombuffer(frame, np.uint8).reshape(height, width, 3)


def resumed(run: Callable[[Sequence[str]], Outcome], world: World, folder: Path) -> tuple[str, list[str]]:
    """Resume a copy of the run from its checkpoint half way, and compare the last weights with its own."""
    import torch

    from rlexp.data.state import PlayerState
    from rlexp.files.checkpoint import load

    whole, again = folder / "whole", folder / "again"
    shutil.copytree(whole, again)
    halves = sorted((again / "checkpoints").glob("step-*.safetensors"))
    if not halves:
        return "no", ["no checkpoint was written half way"]
    half = load(halves[-1])
    trusted = [f"env.id={world.id}"] if ":" in world.id else []  # else rlexp imports no module for a checkpoint
    outcome = run([f"resume=again/checkpoints/{halves[-1].name}", *trusted])
    if not outcome.completed(again):
        return "no", [f"resume: {outcome.reason}"]
    ends = [load(path / "checkpoints" / "last.safetensors") for path in (whole, again)]
    first, second = (end.learner.agent for end in ends)
    equal = first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)
    warnings = [line for line in outcome.lines if any(part in line for part in INEXACT)]
    if equal and not warnings:
        finished = list(
            episodes([own.player.environments for own in half.ranks if isinstance(own.player, PlayerState)])
        )
        return "yes", [] if any(finished) else ["no episode had ended before the checkpoint"]
    if warnings:
        return "no", [warnings[0].removeprefix("warning: ")]
    return "no", ["resumed without a warning, but the last weights differ"]


def episodes(state: Any) -> Iterator[int]:
    """Yield how many episodes each environment had ended when a checkpoint was written, from its ranks' state."""
    if isinstance(state, dict):
        if isinstance(state.get("episode"), int):
            yield state["episode"]
        for value in state.values():
            yield from episodes(value)
    elif isinstance(state, list | tuple):
        for value in state:
            yield from episodes(value)


def package_with_version(requirement: str) -> str:
    """Return a requirement with the version that is installed."""
    try:
        return f"{requirement} {importlib.metadata.version(requirement.partition('[')[0])}"
    except importlib.metadata.PackageNotFoundError:
        return f"{requirement}, not installed"


def compose(store: Path) -> str:
    """Return the page from stored rows."""
    result = load(store, NAME)
    if result is None:
        raise SystemExit(f"error: {store} has no {NAME}.json; run: make worlds")
    rows = [Row(**values) for values in result["rows"]]
    made = list(dict.fromkeys(row.made for row in rows))
    count = {column: sum(getattr(row, column) == "yes" for row in rows) for column in ("trains", "video", "resumes")}
    example = next((world for world in WORLDS if not world.images), WORLDS[0])
    lines = ["| environment | package | own part of the command | trains | video | resumes exactly | remark |"]
    lines += ["|---|---|---|---|---|---|---|"]
    for group in dict.fromkeys(row.group for row in rows):
        for row in (row for row in rows if row.group == group):
            cells = (row.name, row.package, f"`{row.words}`", row.trains, row.video, row.resumes, row.remark)
            lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    parts = [
        "# Public environments",
        f"{len(rows)} environments: {count['trains']} train, {count['video']} record a video, {count['resumes']} "
        "resume exactly. Made by `make worlds`, which installs the packages of `benchmarks/worlds.txt` into an "
        "environment of their own, `.venv-worlds`.",
        *(text if len(made) == 1 else f"{sum(row.made == text for row in rows)} rows: {text}" for text in made),
        f"Each command is `python -m rlexp.main`, the environment's own part, and `{' '.join(base_words(example))} "
        f"capture_video=true` (images: {IMAGE_STEPS} steps, `algo.update_epochs=1 algo.per_rank_batch_size=64`).",
        "- **trains**: the command exits with 0 and `summary.json` says `completed`.\n"
        "- **video**: the test video decodes, and is neither black nor of one colour.\n"
        "- **resumes exactly**: the run was resumed from its checkpoint half way; its last weights equal bit for bit "
        "those of the run that was not interrupted, and no warning says otherwise.\n"
        "- A short time limit (`env.max_episode_steps`) lets episodes end before that checkpoint.",
        "\n".join(lines),
    ]
    return "\n\n".join(parts) + "\n"


def chosen(names: Sequence[str]) -> list[World]:
    """Return the worlds whose id or group has one of these parts; all where there are none."""
    found = [w for w in WORLDS if not names or any(n.lower() in f"{w.name} {w.group}".lower() for n in names)]
    if not found:
        raise SystemExit(f"error: no environment is called {' '.join(names)}; see benchmarks/worlds_list.py")
    return found


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="parts of ids or groups (default: all)")
    parser.add_argument("--add", action="store_true", help="keep stored rows of other environments")
    parser.add_argument("--seconds", type=float, default=120.0, help="time limit of one run (default 120)")
    parser.add_argument("--memory", type=float, default=4.0, help="memory limit of one run in GiB (default 4)")
    parser.add_argument("--jobs", type=int, default=1, help="environments at a time (default 1)")
    parser.add_argument("--keep", type=Path, help="folder in which the runs stay (default: they are removed)")
    parser.add_argument("--tree", type=Path, default=ROOT, help="whose code is tried (default: this checkout's)")
    parser.add_argument("--page", type=Path, default=PAGE, help=f"default {PAGE.relative_to(ROOT)}")
    parser.add_argument("--page-only", action="store_true", help="write the page from stored rows")
    add_option(parser)
    return parser.parse_args()


def measure(options: argparse.Namespace, folder: Path) -> None:
    """Try the worlds that were asked for; store each row as soon as it is there."""
    limits, made = Limits(options.seconds, options.memory), described()
    stored = load(options.store, NAME) if options.add else None
    rows = {values["name"]: values for values in (stored or {"rows": []})["rows"]}
    with ThreadPoolExecutor(options.jobs) as pool:
        tasks = [
            pool.submit(try_world, world, limits, folder / f"{number:02d}", options.tree.resolve(), made)
            for number, world in enumerate(chosen(options.names))
        ]
        for task in as_completed(tasks):
            row = task.result()
            rows[row.name] = asdict(row)
            order = {world.name: number for number, world in enumerate(WORLDS)}
            ordered = sorted(rows.values(), key=lambda values: order.get(values["name"], len(order)))
            options.store.mkdir(parents=True, exist_ok=True)
            (options.store / f"{NAME}.json").write_text(json.dumps({"rows": ordered}, indent=1) + "\n")
            print(f"{row.name}: trains {row.trains}, video {row.video or '-'}, resumes {row.resumes or '-'}; "
                  f"{row.remark or 'no remark'}", flush=True)  # fmt: skip


def main() -> None:
    options = arguments()
    if not options.page_only:
        if options.keep is not None:
            measure(options, options.keep.resolve())
        else:
            with tempfile.TemporaryDirectory() as folder:
                measure(options, Path(folder))
    options.page.write_text(compose(options.store))
    print(f"written: {options.page}")


if __name__ == "__main__":
    main()
