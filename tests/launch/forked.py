"""The real command in a process of its own, forked from this one: as `python -m rlexp.main`, but for its imports."""

import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import lightning.fabric  # noqa: F401  # once, for all commands

import rlexp.files.tensorboard  # noqa: F401
from rlexp.main import cli
from tests.commands import wait_for
from tests.topology.ranks import SMALL

SMALLER = (*SMALL, "env.num_envs=2", "algo.num_steps=8", "total_timesteps=64", "hydra.run.dir=RUN")
LAUNCHER_VARIABLES = (
    "RANK", "LOCAL_RANK", "GROUP_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "NODE_RANK",
    "TORCHELASTIC_RUN_ID", "PL_GLOBAL_SEED",
)  # fmt: skip


@dataclass(frozen=True)
class Command:
    """A command under way, or done; it runs in `cwd` and leaves beside it what it printed."""

    pid: int
    cwd: Path

    @property
    def stdout(self) -> str:
        return Path(f"{self.cwd}.out").read_text()

    @property
    def stderr(self) -> str:
        return Path(f"{self.cwd}.err").read_text()

    @property
    def variables(self) -> tuple[dict[str, str], dict[str, str]]:
        """Return the environment variables before and after it."""
        before, after = json.loads(Path(f"{self.cwd}.environ").read_text())
        return before, after

    def wait(self, seconds: float = 120) -> int:
        """Return its exit code; minus the signal that killed it."""
        deadline = time.monotonic() + seconds
        while True:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
            if time.monotonic() > deadline:
                self.kill()
                raise AssertionError(f"still running after {seconds} s; it said:\n{self.stdout}\n{self.stderr}")
            time.sleep(0.01)

    def kill(self) -> None:
        """Kill it and all that it started."""
        for pid in {self.pid, *processes_in(self.cwd)}:
            os.kill(pid, signal.SIGKILL)

    def ranks(self) -> list[int]:
        """Return the processes of its ranks, in order."""
        return children(self.pid)


def start(
    *arguments: str, cwd: Path, variables: Mapping[str, str] | None = None, before: Callable[[], None] | None = None
) -> Command:
    """Start the command with `arguments` in the new folder `cwd`; its process calls `before` first."""
    cwd.mkdir(parents=True)
    for name in ("out", "err"):
        Path(f"{cwd}.{name}").touch()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return Command(pid, cwd)
    code = 70
    try:
        os.setsid()
        os.chdir(cwd)
        for name, number in (("out", 1), ("err", 2)):
            os.dup2(os.open(f"{cwd}.{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for name in LAUNCHER_VARIABLES:
            os.environ.pop(name, None)
        os.environ.update(variables or {})
        if before is not None:
            before()
        os.environ["HYDRA_FULL_ERROR"] = "1"  # as the command itself sets it
        environ = dict(os.environ)
        sys.argv = ["main.py", *arguments]
        try:
            cli()
        except SystemExit as error:
            code = int(str(error.code or 0))
        Path(f"{cwd}.environ").write_text(json.dumps([environ, dict(os.environ)]))
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def small(*overrides: str) -> list[str]:
    """Return the overrides of a run of a few small updates into RUN; of two words for one key the later holds."""
    words = {word.lstrip("+").partition("=")[0]: word for word in (*SMALLER, *overrides)}
    if words.get("algo") in ("algo=dqn", "algo=rainbow", "algo=sac", "algo=td3"):
        words.pop("algo.update_epochs", None)
    return list(words.values())


def done(
    *overrides: str, cwd: Path, variables: Mapping[str, str] | None = None, before: Callable[[], None] | None = None
) -> tuple[int, Command]:
    """Run a small command to its end; return its exit code and itself."""
    command = start(*small(*overrides), cwd=cwd, variables=variables, before=before)
    return command.wait(), command


def children(pid: int) -> list[int]:
    """Return the processes that a process has started and that still run, in the order of their start."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                state, parent, *rest = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(parent) == pid and state != "Z":
                found.append((int(rest[17]), int(folder.name)))
    return [process for _, process in sorted(found)]


def processes_in(folder: Path) -> list[int]:
    """Return the processes that work in a folder, which those that they start inherit."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if (entry / "cwd").readlink() == folder:
                    found.append(int(entry.name))
            except OSError:
                continue
    return sorted(found)


def gone(folder: Path, seconds: float = 5.0) -> bool:
    """Return whether nothing works in a folder any more, or stops doing so in time."""
    wait_for(lambda: not processes_in(folder), f"the processes {processes_in(folder)} to end", seconds)
    return True
