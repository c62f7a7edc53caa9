"""Ranks that torchrun started compute what ranks started plainly do, write one directory, and end as well."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands import environment, metrics, rows_without_times, summary, wait_for
from tests.launch.forked import children, gone, processes_in, small, start
from tests.launch.test_stopping import ENDLESS, LONG_UPDATE, trouble
from tests.topology.ranks import policy_of

ROOT = Path(__file__).parent.parent.parent
TORCHRUN = (sys.executable, "-m", "torch.distributed.run")
STANDALONE = ("--standalone", "--nproc-per-node", "2")
RANK_1 = {
    "TORCHELASTIC_RUN_ID": "none", "RANK": "1", "LOCAL_RANK": "1", "GROUP_RANK": "0", "WORLD_SIZE": "2",
    "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1",
}  # fmt: skip
RANK_0 = RANK_1 | {"RANK": "0", "LOCAL_RANK": "0"}


class Torchrun:
    """A real torchrun under way in `cwd`; what it and its ranks print goes into a file beside it."""

    def __init__(self, cwd: Path, options: tuple[str, ...], overrides: list[str]) -> None:
        cwd.mkdir(parents=True, exist_ok=True)
        self.cwd, self._printed = cwd, Path(f"{cwd}.printed-{time.monotonic_ns()}")
        words = [*TORCHRUN, *options, "-m", "rlexp.main", *overrides]
        with self._printed.open("w") as file:
            self.process = subprocess.Popen(words, cwd=cwd, env=environment(ROOT), stdout=file, stderr=file)

    @property
    def printed(self) -> str:
        return self._printed.read_text()

    def wait(self, seconds: float = 120) -> int:
        return self.process.wait(seconds)

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        for pid in processes_in(self.cwd):
            os.kill(pid, signal.SIGKILL)


@pytest.fixture
def torchrun(tmp_path) -> Iterator:
    """Start torchrun with options and small overrides in a folder, and leave nothing of it running."""
    started: list[Torchrun] = []

    def begin(*options: str, overrides: tuple[str, ...], folder: str = "cwd") -> Torchrun:
        started.append(Torchrun(tmp_path / folder, options, small(*overrides)))
        return started[-1]

    yield begin
    for process in started:
        process.end()


@pytest.mark.parametrize("topology", ["coupled", pytest.param("decoupled", marks=pytest.mark.slow)])
def test_torchrun_learns_what_the_same_ranks_started_plainly_learn(topology, torchrun, tmp_path):
    overrides = (f"topology={topology}", "capture_video=true", "eval.episodes=2")
    run = torchrun(*STANDALONE, overrides=overrides)
    plain = start(*small(*overrides, "fabric.devices=2"), cwd=tmp_path / "plain")
    assert plain.wait() == 0, plain.stderr
    assert run.wait() == 0, run.printed
    first, second = policy_of(plain.cwd / "RUN"), policy_of(run.cwd / "RUN")
    assert all(first[name].equal(second[name]) for name in first)
    assert rows_without_times(plain.cwd / "RUN") == rows_without_times(run.cwd / "RUN")
    told, expected = summary(run.cwd / "RUN"), summary(plain.cwd / "RUN")
    assert told["state"] == "completed"
    for key in ("world_size", "env_steps", "updates", "objective", "eval", "error"):
        assert told[key] == expected[key], key
    assert told["world_size"] == 2
    one_directory_as_plain = sorted(str(path.relative_to(plain.cwd)) for path in plain.cwd.rglob("*"))
    written = sorted(str(path.relative_to(run.cwd)) for path in run.cwd.rglob("*"))
    events = "events.out"
    assert [name for name in written if events not in name] == [
        name for name in one_directory_as_plain if events not in name
    ]
    assert sum(events in name for name in written) == sum(events in name for name in one_directory_as_plain)
    assert "mean return" in (run.cwd / "RUN" / "main.log").read_text()
    assert gone(run.cwd, 2)


@pytest.mark.slow
def test_two_nodes_on_loopback_are_one_run_in_one_directory(torchrun, tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    nodes = []
    for node in range(2):
        options = ("--nnodes", "2", "--nproc-per-node", "1", "--node-rank", str(node))
        address = ("--master-addr", "127.0.0.1", "--master-port", str(port))
        nodes.append(torchrun(*options, *address, overrides=("topology=coupled",), folder=f"node{node}"))
    for node in nodes:
        assert node.wait() == 0, node.printed
    assert summary(nodes[0].cwd / "RUN")["world_size"] == 2
    assert summary(nodes[0].cwd / "RUN")["state"] == "completed"
    assert not list(nodes[1].cwd.iterdir())
    plain = start(*small("topology=coupled", "fabric.devices=2"), cwd=tmp_path / "plain")
    assert plain.wait() == 0, plain.stderr
    first, second = policy_of(plain.cwd / "RUN"), policy_of(nodes[0].cwd / "RUN")
    assert all(first[name].equal(second[name]) for name in first)


# Refused


@pytest.mark.parametrize("variables", [RANK_0, RANK_1], ids=["rank 0", "rank 1"])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fabric.devices=3"], "error: fabric.devices=3, but torchrun started fabric.devices=2; leave .* out"),
        (["fabric.num_nodes=2"], "error: fabric.num_nodes=2, but torchrun started fabric.num_nodes=1; leave .* out"),
        (["--multirun", "seed=1,2"], "error: a sweep starts its own processes; run --multirun with python instead of"),
        (["-m", "seed=1,2"], "error: a sweep starts its own processes"),
    ],
    ids=["devices", "nodes", "multirun", "-m"],
)  # fmt: skip
def test_what_torchrun_decides_is_not_for_overrides_to_say(arguments, message, variables, tmp_path):
    """With the variables that torchrun sets; nothing is launched, so there need be no other rank."""
    command = start(*arguments, cwd=tmp_path / "cwd", variables=variables)
    assert command.wait() == 1
    assert re.match(message, command.stderr), command.stderr
    assert len(command.stderr.splitlines()) == 1
    assert not list(command.cwd.iterdir())


# Ends


def under_way(torchrun, tmp_path: Path, phase: str, *overrides: str) -> tuple[Torchrun, list[int]]:
    """Start an endless run of two ranks; return it and their processes when a rollout or an update is going on."""
    begun = tmp_path / "begun"
    begun.mkdir()
    words = [*trouble("slow", folder=begun), "algo.num_steps=1000"]
    if phase == "update":
        words = [*trouble("note", at=16, folder=begun), *LONG_UPDATE]
    run = torchrun(*STANDALONE, overrides=(*words, *ENDLESS, *overrides))
    players = 1 if "topology=decoupled" in overrides else 2
    wait_for(lambda: len(list(begun.iterdir())) == players, "the ranks", 100)
    time.sleep(0.5)
    return run, children(run.process.pid)


def assert_failed(run: Torchrun, message: str, begin: float) -> None:
    assert run.wait(15) != 0
    assert gone(run.cwd, 1)
    assert time.monotonic() - begin < 10
    values = summary(run.cwd / "RUN")
    assert (values["state"], values["error"]) == ("failed", message)
    assert message in (run.cwd / "RUN" / "main.log").read_text()


slow = pytest.mark.slow


@slow
@pytest.mark.parametrize(
    ("topology", "phase", "rank"),
    [
        (topology, phase, rank)
        for topology in ("coupled", "decoupled")
        for phase in ("collect", "update")
        for rank in (0, 1)
    ],
)
def test_a_killed_rank_ends_the_run_and_is_named(topology, phase, rank, torchrun, tmp_path):
    run, ranks = under_way(torchrun, tmp_path, phase, f"topology={topology}")
    begin = time.monotonic()
    os.kill(ranks[rank], signal.SIGKILL)
    assert_failed(run, f"rank {rank} died", begin)


@slow
@pytest.mark.parametrize("how", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("phase", ["collect", "update"])
@pytest.mark.parametrize("topology", ["coupled", "decoupled"])
def test_a_run_that_is_stopped_is_interrupted(topology, phase, how, torchrun, tmp_path):
    run, _ = under_way(torchrun, tmp_path, phase, f"topology={topology}")
    run.process.send_signal(getattr(signal, how))
    assert run.wait(8) != 0
    assert gone(run.cwd, 1)
    values = summary(run.cwd / "RUN")
    assert (values["state"], values["error"]) == ("interrupted", f"stopped by {how}")


@slow
def test_a_run_that_is_stopped_while_rank_0_evaluates_is_interrupted(torchrun, tmp_path):
    run = torchrun(*STANDALONE, overrides=("eval.episodes=1000000",))
    wait_for(lambda: (run.cwd / "RUN" / "summary.json").exists(), "the summary", 100)
    wait_for(lambda: summary(run.cwd / "RUN")["updates"] == 2, "the evaluation", 100)
    time.sleep(2)
    run.process.send_signal(signal.SIGTERM)
    run.wait(8)
    values = summary(run.cwd / "RUN")
    assert (values["state"], values["error"]) == ("interrupted", "stopped by SIGTERM")
    assert len(metrics(run.cwd / "RUN")) == 2
    assert gone(run.cwd, 1)


@slow
@pytest.mark.parametrize("rank", [0, 1])
def test_an_environment_that_raises_is_reported_with_its_rank_and_traceback(rank, torchrun):
    run = torchrun(*STANDALONE, overrides=tuple(trouble("raise", at=20, rank=rank)))
    assert run.wait() != 0
    values = summary(run.cwd / "RUN")
    assert values["state"] == "failed"
    assert values["error"] == f"rank {rank}: RuntimeError: the pole is made of glass"
    assert "in _befall" in (run.cwd / "RUN" / "main.log").read_text()
    assert gone(run.cwd, 1)


@slow
@pytest.mark.parametrize("rank", [0, 1])
def test_an_environment_that_hangs_is_reported_with_its_rank(rank, torchrun):
    run = torchrun(*STANDALONE, overrides=(*trouble("hang", at=20, rank=rank), "fabric.timeout_seconds=3"))
    assert run.wait() != 0
    values = summary(run.cwd / "RUN")
    assert values["state"] == "failed"
    assert values["error"].startswith(f"rank {rank} hung for fabric.timeout_seconds=3")
    assert "in _befall" in (run.cwd / "RUN" / "main.log").read_text()
    assert gone(run.cwd, 1)
