"""Ranks on GPUs, by the real command: `pytest -m gpu`. What needs more GPUs than there are is skipped."""

import math
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from rlexp.files.checkpoint import load
from tests.commands import command, environment, error_line, is_time, metrics, only, processes_with, summary, wait_for
from tests.launch.forked import children
from tests.launch.test_torchrun import STANDALONE, Torchrun

pytestmark = pytest.mark.gpu
COUNT = torch.cuda.device_count()
one_gpu = pytest.mark.skipif(COUNT < 1, reason="needs a CUDA device")
two_gpus = pytest.mark.skipif(COUNT < 2, reason="needs two CUDA devices")
SHORT = (
    "env.num_envs=4",
    "algo.num_steps=32",
    "algo.per_rank_batch_size=32",
    "total_timesteps=1024",
    "eval.episodes=2",
    "fabric.threads_per_rank=1",
)
PLACEMENTS = {
    "coupled": ("topology=coupled", "fabric.devices=1"),
    "coupled on two": ("topology=coupled", "fabric.devices=2", "strategy=ddp"),
    "coupled on two, shared": ("topology=coupled", "fabric.devices=2", "topology.share_data=true"),
    "player on the CPU": ("topology=decoupled", "fabric.devices=2"),
    "player on the CPU, overlap": ("topology=decoupled", "fabric.devices=2", "topology.overlap=true"),
    "player on the CPU, two trainers": ("topology=decoupled", "fabric.devices=3"),
    "player on a GPU": ("topology=decoupled", "fabric.devices=2", "topology.player_accelerator=cuda"),
}
"""Where ranks are put; collectives among those on GPUs go over NCCL."""


def needed(placement: str) -> int:
    """Return the number of GPUs that a placement takes."""
    words = PLACEMENTS[placement]
    devices = next(int(word.partition("=")[2]) for word in words if word.startswith("fabric.devices"))
    on_cpu = "topology=decoupled" in words and "topology.player_accelerator=cuda" not in words
    return devices - on_cpu


def trained(cwd, *overrides: str, accelerator: str = "cuda") -> tuple[dict, list[dict[str, str]]]:
    """Run the command in the new folder `cwd`; return the summary and the metrics of the run, which it completed."""
    cwd.mkdir()
    done = command(f"accelerator={accelerator}", "hydra.run.dir=RUN", *SHORT, *overrides, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr
    told, rows = summary(cwd / "RUN"), metrics(cwd / "RUN")
    assert told["state"] == "completed"
    assert len(rows) == told["updates"] > 1
    for row in rows:
        for name in ("Loss/policy_loss", "Loss/value_loss", "Loss/entropy_loss", "Info/grad_norm"):
            assert math.isfinite(float(row[name])), (name, row)
    state = load(only(cwd / "RUN" / "checkpoints", "last.safetensors"))
    assert all(value.device.type == "cpu" and value.isfinite().all() for value in state.learner.agent.values())
    return told, rows


@one_gpu
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "16-mixed", "bf16-true"])
@pytest.mark.parametrize("placement", PLACEMENTS)
def test_a_placement_trains_in_a_precision(placement, precision, tmp_path):
    if needed(placement) > COUNT:
        pytest.skip(f"needs {needed(placement)} CUDA devices")
    told, _ = trained(tmp_path / "cwd", *PLACEMENTS[placement], f"fabric.precision={precision}")
    words = PLACEMENTS[placement]
    assert f"fabric.devices={told['world_size']}" in words


@one_gpu
def test_a_player_on_the_cpu_gives_a_gpu_the_rollouts_that_it_gives_a_cpu(tmp_path):
    overrides = ("topology=decoupled", "fabric.devices=2", "algo.update_epochs=1", "torch_deterministic=true")
    _, on_cpu = trained(tmp_path / "cpu", *overrides, accelerator="cpu")
    _, on_gpu = trained(tmp_path / "gpu", *overrides)
    assert on_cpu[0]["Rewards/rew_avg"] == on_gpu[0]["Rewards/rew_avg"]
    for name in ("Loss/policy_loss", "Loss/value_loss", "Loss/entropy_loss", "Info/grad_norm", "Info/value_mean"):
        assert float(on_gpu[0][name]) == pytest.approx(float(on_cpu[0][name]), rel=1e-2, abs=1e-4), name


TENSORS = ("env.backend=torch", "env.num_envs=64", "algo.per_rank_batch_size=512", "total_timesteps=20480")


@one_gpu
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "bf16-true"])
@pytest.mark.parametrize(
    "words", [(), TENSORS, PLACEMENTS["player on the CPU"]], ids=["gymnasium", "tensors", "player"]
)
def test_a_compiled_train_step_trains_in_a_precision(words, precision, tmp_path):
    trained(tmp_path / "cwd", "compile=true", f"fabric.precision={precision}", *words)


@one_gpu
@pytest.mark.parametrize("words", [(), TENSORS], ids=["gymnasium", "tensors"])
def test_a_compiled_train_step_computes_what_an_eager_one_does(words, tmp_path):
    eager, compiled = (trained(tmp_path / one, f"compile={one}", *words)[1][0] for one in ("false", "true"))
    for name in ("Loss/policy_loss", "Loss/value_loss", "Loss/entropy_loss", "Info/grad_norm", "Info/value_mean"):
        assert float(compiled[name]) == pytest.approx(float(eager[name]), rel=1e-2, abs=1e-4), name


@one_gpu
@pytest.mark.parametrize("words", [(), TENSORS, ("compile=true", *TENSORS)], ids=["gymnasium", "tensors", "compiled"])
def test_a_run_on_a_gpu_resumes_and_is_evaluated_on_the_cpu(words, tmp_path):
    words = ("algo.anneal_lr=false", *words)
    told, rows = trained(tmp_path / "cwd", *words)
    total = 2 * told["env_steps"]
    done = command("resume=RUN", f"total_timesteps={total}", cwd=tmp_path / "cwd")
    assert done.returncode == 0, done.stderr
    assert summary(tmp_path / "cwd" / "RUN")["env_steps"] == total
    assert metrics(tmp_path / "cwd" / "RUN")[: len(rows)] == rows
    checkpoint = "checkpoint=RUN/checkpoints/last.safetensors"
    done = command(checkpoint, "episodes=2", cwd=tmp_path / "cwd", module="rlexp.evaluate")
    assert done.returncode == 0, done.stderr


@one_gpu
@pytest.mark.parametrize("placement", ["coupled", "player on the CPU"])
def test_the_same_seed_gives_the_same_metrics_on_a_gpu(placement, tmp_path):
    runs = [trained(tmp_path / str(index), *PLACEMENTS[placement])[1] for index in range(2)]
    for one, other in zip(*runs, strict=True):
        assert {k: v for k, v in one.items() if not is_time(k)} == {k: v for k, v in other.items() if not is_time(k)}


@one_gpu
@pytest.mark.parametrize("placement", ["coupled", "player on the CPU"])
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "16-mixed"])
def test_cartpole_is_solved_on_a_gpu(placement, precision, tmp_path):
    words = ("experiment=cartpole", "seed=1", f"fabric.precision={precision}", *PLACEMENTS[placement])
    done = command("accelerator=cuda", "hydra.run.dir=RUN", "eval.episodes=20", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert summary(tmp_path / "RUN")["eval"]["mean_return"] >= 475


@one_gpu
def test_two_ranks_are_not_put_on_one_gpu(tmp_path):
    line = error_line(command("accelerator=cuda", f"fabric.devices={COUNT + 1}", cwd=tmp_path))
    assert re.search(
        rf"fabric\.devices={COUNT + 1} needs {COUNT + 1} CUDA devices, one a rank .*there are {COUNT}", line
    )
    words = ("topology=decoupled", f"fabric.devices={COUNT + 2}", "env.num_envs=32")
    line = error_line(command("accelerator=cuda", *words, cwd=tmp_path))
    assert re.search(rf"give fabric\.devices={COUNT + 1} or less", line)


@one_gpu
def test_a_killed_trainer_ends_the_run_and_is_named(tmp_path):
    words = ("accelerator=cuda", *SHORT, "topology=decoupled", "fabric.devices=2", "compile=false")
    words = (*words, "total_timesteps=100000000")
    process = subprocess.Popen(
        [sys.executable, "-m", "rlexp.main", "hydra.run.dir=RUN", *words],
        cwd=tmp_path, env=environment() | {"RLEXP_TEST": str(tmp_path)}, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    rows = tmp_path / "RUN" / "metrics.csv"
    wait_for(lambda: rows.exists() and rows.read_text().count("\n") > 3, "updates", 120)
    ranks = [pid for pid in children(process.pid) if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    begin = time.monotonic()
    os.kill(ranks[1], signal.SIGKILL)
    assert process.wait(20) == 1
    assert time.monotonic() - begin < 10
    assert summary(tmp_path / "RUN")["error"] == "rank 1 was killed by SIGKILL"
    wait_for(lambda: not processes_with(str(tmp_path)), "the processes to end", 2)


@two_gpus
def test_torchrun_puts_each_rank_on_its_own_gpu(tmp_path):
    run = Torchrun(tmp_path / "cwd", STANDALONE, ["accelerator=cuda", "hydra.run.dir=RUN", *SHORT])
    try:
        assert run.wait(300) == 0, run.printed
    finally:
        run.end()
    assert summary(run.cwd / "RUN")["world_size"] == 2
