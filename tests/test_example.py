"""The example in plain PyTorch is an independent PPO: from the same seed it computes what the framework computes."""

import subprocess
import sys
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from rlexp.algos import PPO
from tests.commands import environment, metrics, train

EXAMPLE = Path(__file__).parent.parent / "examples" / "ppo_torch.py"
UPDATES = 6
TORCHRUN = ("-m", "torch.distributed.run", "--standalone")


def test_a_loop_of_ones_own_learns(tmp_path):
    script = EXAMPLE.with_name("own_loop.py")
    words = [sys.executable, str(script), "total_timesteps=2048", "algo.num_steps=128", "env.normalize_rewards=true"]
    done = subprocess.run(words, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    *updates, last = done.stdout.splitlines()
    assert len(updates) == 4 and last.startswith("evaluation: ")


def run_example(*options: str, cwd: Path, ranks: int = 1) -> subprocess.CompletedProcess[str]:
    """Run the example, with more than one rank as torchrun does."""
    launcher = (*TORCHRUN, f"--nproc_per_node={ranks}") if ranks > 1 else ()
    words = [sys.executable, *launcher, str(EXAMPLE), *options]
    variables = {**environment(), "OMP_NUM_THREADS": "1"}
    return subprocess.run(words, cwd=cwd, env=variables, capture_output=True, text=True, timeout=300, check=False)


def scalars(folder: Path) -> dict[str, dict[int, float]]:
    """Return what the TensorBoard files in `folder` hold: for each name, values by environment step."""
    events = EventAccumulator(str(folder)).Reload()
    return {name: {event.step: event.value for event in events.Scalars(name)} for name in events.Tags()["scalars"]}


@pytest.mark.parametrize(
    ("ranks", "settings"),
    [
        (1, {}),
        pytest.param(2, {"seed": 7}, marks=pytest.mark.slow),
        # Steps so large that ratios, values and gradients are clipped, and minibatches that differ in size.
        pytest.param(
            1,
            {"algo.learning_rate": 0.003, "algo.clip_coef": 0.1, "algo.per_rank_batch_size": 100},
            marks=pytest.mark.slow,
        ),
        # Episodes end by their time limit alone, after 200 steps.
        pytest.param(
            2,
            {"env.id": "MountainCar-v0", "algo.anneal_lr": False, "algo.clip_vloss": False},
            marks=pytest.mark.slow,
        ),
    ],
    ids=["one_rank", "two_ranks", "clipped", "truncated"],
)
def test_the_framework_and_the_example_compute_the_same_losses(tmp_path, ranks, settings):
    settings = settings | {"total_timesteps": UPDATES * 512 * ranks}
    options = ["--no-video", f"--run-dir={tmp_path / 'example'}"]
    for key, value in settings.items():
        name = key.removeprefix("algo.").replace(".", "-").replace("_", "-")
        options.append(f"--no-{name}" if value is False else f"--{name}={value}")
    done = run_example(*options, cwd=tmp_path, ranks=ranks)
    assert done.returncode == 0, done.stdout + done.stderr
    train(
        *(f"{key}={value}" for key, value in settings.items()),
        f"fabric.devices={ranks}",
        "fabric.threads_per_rank=1",
        "eval.episodes=0",
        "log.every=1",
        f"hydra.run.dir={tmp_path / 'framework'}",
        cwd=tmp_path,
    )

    example, rows = scalars(tmp_path / "example"), metrics(tmp_path / "framework")

    assert len(rows) == UPDATES
    for row in rows:
        step = int(row["env_steps"])
        assert float(row["Info/skipped_steps"]) == 0  # the example has no such switch
        for name in ({scalar.tag for scalar in PPO.all_scalars()} - {"Info/skipped_steps"}) | {
            "Rewards/rew_avg",
            "Game/ep_len_avg",
        }:
            if row[name] == "":  # no episode ended
                assert step not in example.get(name, {}), name
            else:
                assert example[name][step] == pytest.approx(float(row[name]), rel=1e-5, abs=1e-6), (name, step)
    if "algo.clip_coef" in settings:
        assert max(example["Loss/clip_fraction"].values()) > 0.01


def test_the_example_videos_a_test_episode(tmp_path):
    done = run_example("--total-timesteps=512", f"--run-dir={tmp_path / 'run'}", cwd=tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "run" / "videos" / "test-episode-0.mp4").stat().st_size > 0
    assert scalars(tmp_path / "run")["Test/cumulative_reward"][512] >= 8


def test_the_example_refuses_an_environment_that_it_cannot_learn(tmp_path):
    done = run_example("--env-id=Pendulum-v1", cwd=tmp_path)

    assert done.returncode == 1
    assert done.stderr.startswith("--env-id=Pendulum-v1: Box observations and Discrete actions are needed")
    assert len(done.stderr.splitlines()) == 1


def test_the_example_imports_neither_the_framework_nor_what_it_stands_on():
    lines = EXAMPLE.read_text().splitlines()
    imported = {line.split()[1].partition(".")[0] for line in lines if line.startswith(("import ", "from "))}

    assert not imported & {"rlexp", "lightning", "hydra", "omegaconf"}
