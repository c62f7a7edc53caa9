"""The machine gone wrong: a full disk, a directory that is read-only, removed or in use."""

import contextlib
import ctypes
import os
import resource
import shutil
import signal
import subprocess
import sys

import pytest

import rlexp.envs
from rlexp.errors import Fault, RunFailed
from rlexp.files.checkpoint import load, write
from rlexp.files.lock import locked
from tests.commands import metrics, summary, wait_for
from tests.launch.forked import done, gone, small, start

TOO_LARGE = "File too large"


def limit(size: int) -> None:
    """Let no file grow beyond `size` bytes, in this process and those it starts: as a full disk, without one."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


@contextlib.contextmanager
def limited(size: int):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    limit(size)
    try:
        yield
    finally:
        limit(before)


def without_privileges() -> None:
    """Give up what lets root write where it may not."""
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # version 3 of the interface, this process
    assert ctypes.CDLL(None).capset(header, (ctypes.c_uint32 * 6)()) == 0


# A full disk


def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(tmp_path):
    path = tmp_path / "checkpoints" / "last.safetensors"
    write(path, b"small")
    with limited(50_000), pytest.raises(Fault, match=f"cannot write {path}: {TOO_LARGE}"):
        write(path, bytes(100_000))
    assert path.read_bytes() == b"small"
    assert [file.name for file in path.parent.iterdir()] == ["last.safetensors"]


LONG = ("total_timesteps=100000", "checkpoint.every=16", "algo.update_epochs=1", "algo.per_rank_batch_size=16")


@pytest.mark.slow
@pytest.mark.parametrize("topology", [("fabric.devices=1",), ("topology=decoupled", "fabric.devices=2")])
def test_a_run_whose_logs_find_no_room_says_so_and_keeps_its_last_checkpoint(topology, tmp_path):
    words = (*LONG, "checkpoint.every=160", *topology)
    code, command = done(*words, cwd=tmp_path / "cwd", before=lambda: limit(80_000))
    run_dir = command.cwd / "RUN"
    line = summary(run_dir)["error"]
    assert line in [f"cannot write {run_dir / name}: {TOO_LARGE}" for name in ("events.out.tfevents", "metrics.csv")]
    assert (code, command.stderr) == (1, f"error: {line}\n")
    assert summary(run_dir)["state"] == "failed"
    assert 160 < load(run_dir / "checkpoints" / "last.safetensors").env_steps <= int(metrics(run_dir)[-1]["env_steps"])
    assert not list(run_dir.rglob("*.tmp"))
    assert gone(command.cwd, 1)


def test_a_run_whose_checkpoints_find_no_room_says_so(tmp_path):
    code, command = done(*LONG, "algo.hidden_sizes=[64,64]", cwd=tmp_path / "cwd", before=lambda: limit(40_000))
    run_dir = command.cwd / "RUN"
    line = f"cannot write {run_dir}/checkpoints/best.safetensors: {TOO_LARGE}"
    assert (code, command.stderr, summary(run_dir)["error"]) == (1, f"error: {line}\n", line)
    assert not list((run_dir / "checkpoints").iterdir())


def test_a_run_that_is_stopped_and_finds_no_room_for_its_checkpoint_says_both(tmp_path):
    shape = (
        "algo.num_steps=256",
        "algo.per_rank_batch_size=512",
        "algo.update_epochs=1",
        "algo.hidden_sizes=[128,128]",
    )
    words = small(*shape, "total_timesteps=100000000", "checkpoint.every=0", "compile=false")
    command = start(*words, cwd=tmp_path / "cwd", before=lambda: limit(200_000))
    run_dir = command.cwd / "RUN"
    wait_for(lambda: (run_dir / "metrics.csv").exists() and len(metrics(run_dir)) > 2, "updates")
    os.kill(command.pid, signal.SIGTERM)
    assert command.wait(20) == 143
    line = f"cannot write {run_dir}/checkpoints/best.safetensors: {TOO_LARGE}"
    assert command.stderr == f"warning: {line}\nstopped by SIGTERM\n"
    assert line in (run_dir / "main.log").read_text()
    assert summary(run_dir)["state"] == "interrupted"
    assert not list((run_dir / "checkpoints").iterdir())


@pytest.mark.slow
def test_a_run_whose_video_finds_no_room_says_so(tmp_path):
    words = ("env=gym", "env.id=tests.environments:Picture-v0", "+env.kwargs.length=400", "capture_video=true")
    shape = ("algo.num_steps=64", "algo.update_epochs=1", "total_timesteps=10000", "checkpoint.every=0")
    code, command = done(*words, *shape, cwd=tmp_path / "cwd", before=lambda: limit(15_000))
    line = summary(command.cwd / "RUN")["error"]
    assert (code, command.stderr) == (1, f"error: {line}\n")
    assert line.startswith(f"cannot write {command.cwd}/RUN/videos/train/train-episode-0.mp4: ")
    assert gone(command.cwd, 1)


def test_a_run_that_finds_no_room_at_all_says_so(tmp_path):
    """Not even for its config: the summary cannot say it then, but the command does."""
    code, command = done(cwd=tmp_path / "cwd", before=lambda: limit(1000))
    assert code == 1  # what follows its first line is of the test's own files, which find no room either
    assert command.stderr.splitlines()[0] == f"error: cannot write {command.cwd}/RUN/.hydra: {TOO_LARGE}"


# A directory that is not to be had


def test_a_read_only_directory_is_named(tmp_path):
    (tmp_path / "locked").mkdir(mode=0o555)
    words = f"hydra.run.dir={tmp_path}/locked/RUN"
    code, command = done(words, cwd=tmp_path / "cwd", before=without_privileges)
    assert (code, command.stderr) == (1, f"error: {tmp_path}/locked/RUN: Permission denied\n")
    assert not list((tmp_path / "locked").iterdir())


def test_a_run_directory_that_is_read_only_is_named(tmp_path):
    (tmp_path / "RUN").mkdir(mode=0o555)
    code, command = done(f"hydra.run.dir={tmp_path}/RUN", cwd=tmp_path / "cwd", before=without_privileges)
    assert (code, command.stderr) == (1, f"error: cannot write {tmp_path}/RUN/.hydra/lock: Permission denied\n")
    assert not list((tmp_path / "RUN").iterdir())


@pytest.mark.parametrize(
    "topology", [("fabric.devices=1",), pytest.param(("fabric.devices=2",), marks=pytest.mark.slow)]
)
def test_a_run_whose_directory_is_removed_ends_and_does_not_make_it_again(topology, tmp_path):
    command = start(*small("total_timesteps=100000000", *topology), cwd=tmp_path / "cwd")
    run_dir = command.cwd / "RUN"
    wait_for(lambda: (run_dir / "metrics.csv").exists() and len(metrics(run_dir)) > 2, "updates")
    while run_dir.exists():  # the run may write into it meanwhile
        shutil.rmtree(run_dir, ignore_errors=True)
    assert command.wait(20) == 1
    assert command.stderr in [  # whichever is noticed first
        f"error: cannot write {run_dir}/metrics.csv: it was removed\n",
        f"error: cannot write {run_dir}/events.out.tfevents: No such file or directory\n",
    ]
    assert not run_dir.exists()
    assert gone(command.cwd, 1)


@pytest.mark.slow
def test_a_summary_that_cannot_be_written_is_named(tmp_path):
    command = start(*small("total_timesteps=16000"), cwd=tmp_path / "cwd")
    path = command.cwd / "RUN" / "summary.json"
    wait_for(lambda: (path.parent / "metrics.csv").exists() and len(metrics(path.parent)) > 2, "updates")
    path.unlink()
    path.mkdir()
    assert command.wait(60) == 1
    assert command.stderr == f"error: cannot write {path}: Is a directory\n"
    assert [file.name for file in path.parent.glob("summary*")] == ["summary.json"]


# Two runs in one directory


def test_a_second_run_in_a_directory_is_refused_and_the_first_resumes(tmp_path):
    first = start(*small("total_timesteps=100000000", "checkpoint.every=0"), cwd=tmp_path / "first")
    run_dir = first.cwd / "RUN"
    wait_for(lambda: (run_dir / "metrics.csv").exists() and len(metrics(run_dir)) > 2, "updates")
    before = (run_dir / ".hydra" / "overrides.yaml").read_text()
    code, second = done(f"hydra.run.dir={run_dir}", "seed=1", cwd=tmp_path / "second")
    line = f"{run_dir} is in use by another run (process {first.pid}); wait for it, or give another hydra.run.dir"
    assert (code, second.stderr) == (1, f"error: {line}\n")
    assert (run_dir / ".hydra" / "overrides.yaml").read_text() == before
    assert summary(run_dir)["state"] == "running"
    rows = len(metrics(run_dir))
    wait_for(lambda: len(metrics(run_dir)) > rows, "further updates")
    os.kill(first.pid, signal.SIGKILL)
    assert first.wait(5) == -signal.SIGKILL
    code, third = done(f"hydra.run.dir={run_dir}", cwd=tmp_path / "third")  # the kernel has released the lock
    assert code == 0, third.stderr


@pytest.mark.parametrize("words", [(), pytest.param(("resume=auto",), marks=pytest.mark.slow)])
def test_a_run_that_another_one_overtook_while_it_was_starting_is_refused(words, tmp_path):
    """The other run begins and ends between a look at the checkpoints and the lock."""
    mine = small(f"hydra.run.dir={tmp_path / 'RUN'}", *words)

    def overtake() -> None:
        check = rlexp.envs.check_environment

        def slow(config):
            rlexp.envs.check_environment = check
            subprocess.run([sys.executable, "-m", "rlexp.main", *mine], check=True, stdout=subprocess.DEVNULL)
            return check(config)

        rlexp.envs.check_environment = slow

    code, command = done(*mine, cwd=tmp_path / "cwd", before=overtake)
    line = f"another run has written checkpoints in {tmp_path / 'RUN'} meanwhile; give the command again"
    assert (code, command.stderr) == (1, f"error: {line}\n")
    assert summary(tmp_path / "RUN")["state"] == "completed"


def test_a_job_of_a_sweep_is_refused_without_a_trace_in_the_other_run(tmp_path):
    with locked(tmp_path / "SWEEP" / "0"):
        words = ("hydra.mode=MULTIRUN", f"hydra.sweep.dir={tmp_path}/SWEEP", "hydra.sweep.subdir=0", "seed=1")
        code, command = done(*words, cwd=tmp_path / "cwd")
    assert code == 1
    assert f"error: {tmp_path}/SWEEP/0 is in use by another run (process {os.getpid()})" in command.stderr
    assert [path.name for path in (tmp_path / "SWEEP" / "0").rglob("*")] == [".hydra", "lock"]


def test_rank_0_of_torchrun_is_refused_too(tmp_path):
    variables = {"RANK": "0", "LOCAL_RANK": "0", "GROUP_RANK": "0", "WORLD_SIZE": "1", "LOCAL_WORLD_SIZE": "1",
                 "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29400", "TORCHELASTIC_RUN_ID": "test"}  # fmt: skip
    with locked(tmp_path / "RUN"):
        code, command = done(f"hydra.run.dir={tmp_path}/RUN", cwd=tmp_path / "cwd", variables=variables)
    assert code == 1
    assert command.stderr.splitlines() == [
        f"error: {tmp_path}/RUN is in use by another run (process {os.getpid()}); wait for it, or give another "
        "hydra.run.dir"
    ]


def test_a_lock_ends_with_its_block(tmp_path):
    with locked(tmp_path):
        with pytest.raises(RunFailed, match="is in use"), locked(tmp_path):
            pass
        with pytest.raises(RunFailed, match="is in use"), locked(tmp_path):
            pass
    with locked(tmp_path):
        pass


def test_a_lock_ends_with_its_process_though_others_forked_from_it_live_on(tmp_path):
    reader, writer = os.pipe()
    holder = os.fork()
    if holder == 0:
        with locked(tmp_path):
            os.fork()
            os.write(writer, b"%d\n" % os.getpid())
            while True:
                signal.pause()
    pids: list[int] = []
    while len(pids) < 2:
        pids += [int(line) for line in os.read(reader, 100).split()]
    try:
        with pytest.raises(RunFailed, match=f"process {holder}"), locked(tmp_path):
            pass
        os.kill(holder, signal.SIGKILL)
        os.waitpid(holder, 0)
        with locked(tmp_path):
            pass
    finally:
        for pid in set(pids) - {holder}:
            os.kill(pid, signal.SIGKILL)
        os.close(reader)
        os.close(writer)
