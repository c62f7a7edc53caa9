"""A file system of a few megabytes, filled up by a run."""

import os
import shutil
import subprocess
import sys

import pytest

from rlexp.files.checkpoint import load
from tests.commands import metrics, summary
from tests.launch.forked import small, start

NAMESPACE = ["unshare", "--map-root-user", "--mount"]
"""What lets anybody mount, on most Linux machines."""


def mounts() -> bool:
    if shutil.which("unshare") is None:
        return False
    mount = [*NAMESPACE, "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return subprocess.run(mount, stderr=subprocess.DEVNULL).returncode == 0


@pytest.mark.torture
@pytest.mark.skipif(not mounts(), reason="this system lets no user mount a file system of their own")
@pytest.mark.parametrize("topology", [("fabric.devices=1",), ("topology=decoupled", "fabric.devices=2")])
def test_a_full_disk_ends_a_run_in_one_line_and_it_resumes_where_there_is_room(topology, tell, tmp_path):
    """Checkpoints take all the room; afterwards the run is copied to a larger disk and goes on there."""
    disk, copy = tmp_path / "disk", tmp_path / "copy"
    disk.mkdir()
    shape = ("algo.hidden_sizes=[192,192]", "checkpoint.every=16", "checkpoint.keep=3")
    words = small(*shape, *topology, "total_timesteps=320", f"hydra.run.dir={disk}/RUN")
    script = f'mount -t tmpfs -o size=4m tmpfs {disk} && "$@"; code=$?; cp -r {disk}/RUN {copy}; exit $code'
    command = [*NAMESPACE, "sh", "-c", script, "sh", sys.executable, "-m", "rlexp.main", *words]
    run = subprocess.run(command, cwd=tmp_path, env=dict(os.environ), capture_output=True, text=True, timeout=120)
    assert run.returncode == 1
    (line,) = run.stderr.splitlines()
    assert line.startswith(f"error: cannot write {disk}/RUN/")
    assert line.endswith(": No space left on device")
    reached = load(copy / "checkpoints" / "last.safetensors").env_steps
    assert 16 <= reached <= int(metrics(copy)[-1]["env_steps"]) < 320
    assert not list(copy.rglob("*.safetensors.tmp"))
    again = start(f"resume={copy}", cwd=tmp_path / "again")
    assert again.wait() == 0, again.stderr
    assert (summary(copy)["state"], summary(copy)["env_steps"]) == ("completed", 320)
    what = line.removeprefix("error: ").replace(f"{disk}/", "")
    tell(f"a file system of 4 MiB, {' '.join(topology)}", f"“{what}”; it was resumed on a larger one")
