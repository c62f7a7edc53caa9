"""The pictures of the README and of docs/screens.md, from real runs.

usage: python -m benchmarks.pictures curve SWEEP_DIRECTORY            learning curves of a sweep over seeds
       python -m benchmarks.pictures animation VIDEO.mp4              a short animation of a video
       python -m benchmarks.pictures topologies                       the figure of both topologies
       python -m benchmarks.pictures terminal NAME [--width N] [--height N] [--at TEXT] -- COMMAND
                                                                      a terminal in which a command runs

Each writes into docs/images. `terminal` shows the last screen of the command; with --at the screen as it was when TEXT
was last seen on it.
"""

from __future__ import annotations

import argparse
import csv
import fcntl
import json
import os
import pty
import struct
import subprocess
import sys
import termios
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pyte
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from PIL import Image
from rich.console import Console
from rich.style import Style
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from benchmarks.plots import finish
from benchmarks.store import ROOT
from benchmarks.worlds import decoded

IMAGES = ROOT / "docs" / "images"
THEME = TerminalTheme(
    (255, 255, 255),
    (30, 30, 30),
    [
        *((0, 0, 0), (170, 30, 30), (20, 120, 40), (140, 100, 0)),
        *((30, 80, 170), (130, 40, 130), (0, 115, 125), (90, 90, 90)),
    ],
)


def curve(sweep: Path) -> None:
    """Draw over environment steps: the mean return of the last 100 training episodes, and the evaluations."""
    figure, axes = plt.subplots(figsize=(6.4, 3.2))
    for job in sorted(path for path in sweep.iterdir() if (path / "metrics.csv").is_file()):
        summary = json.loads((job / "summary.json").read_text())
        with (job / "metrics.csv").open(newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["Rewards/last_100"]]
        steps = [int(row["env_steps"]) / 1000 for row in rows]
        (line,) = axes.plot(steps, [float(row["Rewards/last_100"]) for row in rows], label=f"seed {summary['seed']}")
        with (job / "evaluations.csv").open(newline="") as file:
            tests = list(csv.DictReader(file))
        at = [int(row["env_steps"]) / 1000 for row in tests]
        axes.plot(at, [float(row["mean_return"]) for row in tests], "o", color=line.get_color(), markersize=4)
        title = f"{summary['env_id']}, {summary['algo'].upper()}"
    axes.set(xlabel="environment steps, thousands", ylabel="return", title=title)
    axes.grid(alpha=0.3)
    axes.plot([], [], "o", color="grey", markersize=4, label="greedy evaluation")
    axes.legend(frameon=False, fontsize=8)
    finish(figure, IMAGES / "curve.svg")


def animation(video: Path, width: int = 300, every: int = 6, most: int = 60) -> None:
    """Write each sixth frame of a video, smaller, as an animated GIF."""
    frames = [Image.fromarray(np.asarray(frame)) for number, frame in enumerate(decoded(video)) if number % every == 0]
    height = round(frames[0].height * width / frames[0].width)
    small = [frame.resize((width, height)).quantize(32) for frame in frames[:most]]
    path = IMAGES / "video.gif"
    path.parent.mkdir(parents=True, exist_ok=True)
    small[0].save(path, save_all=True, append_images=small[1:], duration=120, loop=0, optimize=True)
    print(f"written: {path}")


def topologies() -> None:
    """Draw who owns environments, agent and learner in both topologies."""
    figure, axes = plt.subplots(figsize=(7.6, 2.9))
    axes.set(xlim=(0, 15.0), ylim=(0, 5.8))
    axes.axis("off")

    def box(x: float, y: float, width: float, height: float, text: str, colour: str) -> None:
        style = {"boxstyle": "round,pad=0.06", "fc": colour, "ec": "#444444", "lw": 0.8}
        axes.add_patch(FancyBboxPatch((x, y), width, height, **style))
        axes.text(x + width / 2, y + height / 2, text, ha="center", va="center", fontsize=8)

    def arrow(start: tuple[float, float], end: tuple[float, float], both: bool = False, text: str = "") -> None:
        style = "<|-|>" if both else "-|>"
        axes.add_patch(FancyArrowPatch(start, end, arrowstyle=style, mutation_scale=9, color="#444444", lw=0.9))
        if text:
            axes.text((start[0] + end[0]) / 2, (start[1] + end[1]) / 2 + 0.12, text, ha="center", fontsize=7)

    player, learner = "#d6e8fa", "#fbe3c8"
    axes.text(0.05, 5.45, "topology=coupled fabric.devices=2", fontsize=9, weight="bold")
    for rank, y in ((0, 3.3), (1, 0.7)):
        axes.text(0.05, y + 1.5, f"rank {rank}", fontsize=8)
        box(0.1, y, 2.3, 1.3, "environments\nand player", player)
        box(3.7, y, 2.0, 1.3, "learner", learner)
        arrow((2.5, y + 0.85), (3.6, y + 0.85), text="rollout")
        arrow((3.6, y + 0.4), (2.5, y + 0.4))
        axes.text(3.05, y + 0.04, "weights", ha="center", fontsize=7)
    arrow((4.7, 3.2), (4.7, 2.1), both=True)
    axes.text(4.85, 2.5, "gradients, averaged", fontsize=7)
    axes.plot([7.3, 7.3], [0.3, 5.6], color="#bbbbbb", lw=0.8)
    axes.text(7.75, 5.45, "topology=decoupled fabric.devices=3", fontsize=9, weight="bold")
    axes.text(7.75, 3.5, "rank 0", fontsize=8)
    box(7.8, 2.0, 2.3, 1.3, "environments\nand player", player)
    for rank, y in ((1, 3.3), (2, 0.7)):
        axes.text(11.55, y + 1.5, f"rank {rank}", fontsize=8)
        box(11.6, y, 2.0, 1.3, "learner", learner)
    arrow((10.2, 3.0), (11.5, 4.2))
    arrow((10.2, 2.2), (11.5, 1.2))
    axes.text(10.3, 4.05, "half of the\nrollout", ha="center", fontsize=7)
    axes.text(10.3, 1.1, "half of the\nrollout", ha="center", fontsize=7)
    arrow((11.5, 3.6), (10.2, 2.6))
    axes.text(11.2, 2.75, "weights", fontsize=7)
    arrow((13.0, 3.2), (13.0, 2.1), both=True)
    axes.text(13.1, 2.45, "gradients,\naveraged", fontsize=7)
    finish(figure, IMAGES / "topologies.svg")


def terminal(name: str, command: list[str], width: int, height: int, at: str | None) -> None:
    """Run a command in a terminal of this size and write a picture of its screen, as SVG and as text."""
    screen = pyte.Screen(width, height)
    stream = pyte.ByteStream(screen)
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
    variables = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES", "NO_COLOR")}
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env={**variables, "TERM": "xterm"})
    os.close(theirs)
    kept = None
    while True:
        try:
            data = os.read(ours, 4096)
        except OSError:  # Linux raises it where the other side is closed
            break
        if not data:
            break
        stream.feed(data)
        if at is not None and any(at in line for line in screen.display):
            kept = snapshot(screen)
    process.wait()
    text = kept or snapshot(screen)
    console = Console(record=True, width=width, file=open(os.devnull, "w"))  # noqa: SIM115
    console.print(text, no_wrap=True, overflow="crop")
    IMAGES.mkdir(parents=True, exist_ok=True)
    shown = " ".join(["python", *command[1:]]) if "python" in command[0] else " ".join(command)
    path = IMAGES / f"{name}.svg"
    path.write_text(console.export_svg(title=shown, theme=THEME))
    print(f"written: {path}\n{text.plain}")


def snapshot(screen: pyte.Screen) -> Text:
    """Return the lines of a screen, empty ones at its end left out."""
    lines = []
    for y in range(screen.lines):
        line = Text()
        for x in range(screen.columns):
            cell = screen.buffer[y][x]
            colour = None if cell.fg == "default" else cell.fg if not cell.fg.isalnum() else _colour(cell.fg)
            line.append(cell.data, Style(color=colour, bold=cell.bold, reverse=cell.reverse))
        line.rstrip()
        lines.append(line)
    while lines and not lines[-1].plain.strip():
        lines.pop()
    return Text("\n").join(lines)


def _colour(name: str) -> str:
    """Return a colour of pyte as rich names it."""
    if len(name) == 6 and all(digit in "0123456789abcdef" for digit in name):
        return f"#{name}"
    return {"brown": "yellow"}.get(name, name.replace("bright", "bright_"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("curve", "animation", "topologies", "terminal"))
    parser.add_argument("name", nargs="?", help="a directory, a video, or the name of the picture")
    parser.add_argument("--width", type=int, default=80, help="columns (default 80)")
    parser.add_argument("--height", type=int, default=24, help="lines (default 24)")
    parser.add_argument("--at", help="text at whose last appearance the screen is kept (default: at the end)")
    before = sys.argv[1 : sys.argv.index("--")] if "--" in sys.argv else sys.argv[1:]
    command = sys.argv[len(before) + 2 :]
    options = parser.parse_args(before)
    if options.what == "topologies":
        topologies()
    elif options.name is None:
        parser.error(f"{options.what} needs a name")
    elif options.what == "terminal":
        terminal(options.name, command, options.width, options.height, options.at)
    else:
        {"curve": curve, "animation": animation}[options.what](Path(options.name))


if __name__ == "__main__":
    main()
