"""The command that writes a policy as a file for other programs.

usage: python -m rlexp.export checkpoint=PATH [format=onnx] [output=FILE] [env_id=module:Id] [plugins=[module]]

format=onnx (pip install 'rlexp[onnx]') writes NAME.onnx, format=torch a program of torch.export, NAME.pt2, beside the
checkpoint or where output says. Raw observations of the environment go in, by name, and greedy actions as it takes them
come out: normalisation, squashing, bounds and action masks are inside. The file is checked against the policy on 1,000
random observations, and NAME.onnx.json says names, shapes and meaning of what goes in and out. examples/play_onnx.py
plays it without torch. env_id must be given where the environment lies in a module, whose code is then run; plugins
names modules with other code of yours, such as wrappers.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from rlexp.command.arguments import asks_version, find_modules_here
from rlexp.command.options import parsed
from rlexp.config.compose import load_plugins
from rlexp.errors import ConfigError, Fault
from rlexp.settings import setting


@dataclass
class Options:
    """What the command takes."""

    checkpoint: str = setting("???", "Path of the checkpoint.")
    format: str = setting("onnx", "What the file is.", choices=("onnx", "torch"))
    output: str | None = setting(None, "The file to write; null: beside the checkpoint.")
    env_id: str | None = setting(None, "The environment's id; needed where it names a module, whose code is then run.")
    plugins: list[str] = setting([], "Modules with own code that the checkpoint's experiment uses; they are run.")


def cli() -> None:
    """Run the command and exit: 0, or 1 with one line on the standard error."""
    find_modules_here()
    if asks_version(sys.argv[1:]):
        return
    if {"-h", "--help"} & set(sys.argv[1:]):
        print(__doc__)
        return
    try:
        options = parsed(sys.argv[1:], Options)
        load_plugins(options.plugins)
        from rlexp.run.exporting import export  # torch and gymnasium, which an error in the words need not wait for

        output = None if options.output is None else Path(options.output)
        written = export(Path(options.checkpoint), options.format, output, options.env_id, options.plugins)
        print(json.dumps(written, indent=2))
    except (ConfigError, Fault) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    cli()
