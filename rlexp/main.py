"""The command: compose, check, launch, report.

usage: python -m rlexp.main [--multirun] [group=choice ...] [key=value ...]
       python -m rlexp.main resume=RUN_DIRECTORY
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import hydra
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from rlexp.command import sweep
from rlexp.command.arguments import asks_version, find_modules_here, named_plugins, read
from rlexp.command.check import check_job
from rlexp.command.ending import BROKEN_POOL, Command, farewell, on_stop, said
from rlexp.command.job import run
from rlexp.command.paths import with_run_directory
from rlexp.command.torchrun import torchrun_overrides
from rlexp.config.compose import load_plugins, register
from rlexp.config.explain import explain
from rlexp.config.places import conf_dir
from rlexp.errors import ConfigError, Interrupted
from rlexp.launch import early
from rlexp.launch.stopping import noted_stop
from rlexp.launch.threads import wait_politely

register()


sweep.register(check_job)


def cli() -> None:
    """Run the command and exit: 0; 1 with one line on the standard error; 130 or 143 after SIGINT or SIGTERM."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises its errors instead of printing them, and we explain them
    Command.here, Command.typed = Path.cwd(), tuple(sys.argv[1:])
    early.install(on_stop)
    wait_politely()
    status = 0
    find_modules_here()
    if asks_version(sys.argv[1:]):
        return
    try:
        load_plugins(named_plugins(sys.argv[1:]))
        sys.argv[1:] = read(sys.argv[1:])
        sys.argv[1:] = with_run_directory([*sys.argv[1:], *torchrun_overrides(sys.argv[1:])])
        hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="config")(run)()
    except ConfigError as error:
        Command.errors.append(error)
    except sweep.Refused as refused:
        sys.exit(said("\n".join(f"error: {line}" for line in refused.lines)))
    except (HydraException, OmegaConfBaseException) as error:
        status = said(f"error: {explain(error)}")
    except Interrupted as error:
        status = 128 + error.signum
    except OSError as error:
        status = said(f"error: {error.filename or 'the system'}: {error.strerror or error}")
    except Exception as error:
        if type(error).__name__ not in BROKEN_POOL:
            raise
        status = said("error: a process of the sweep was killed, and joblib has ended the others")
    if noted_stop():
        status = 128 + noted_stop()
    sys.exit(farewell(status))


if __name__ == "__main__":
    # By its real name, so that launchers that pickle the task find it again.
    from rlexp.main import cli as named_cli

    named_cli()
