"""The contract of a run: one command, and what its directory holds afterwards."""

import csv
import io
import itertools
import json
import math
import os
import re
import shlex
import sys

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from rlexp.config.places import conf_dir
from rlexp.data import scalars
from rlexp.files.checkpoint import load
from tests.commands import TINY, command, metrics, only, recorded_run, summary, video

OUTCOME = [scalar.tag for scalar in scalars.OUTCOME]
COLUMNS = [
    "env_steps",
    "seconds",
    "Rewards/rew_avg",
    "Rewards/last_100",
    "Game/ep_len_avg",
    "Time/step_per_second",
    "Time/seconds",
    "Time/collect_seconds",
    "Time/update_seconds",
    "Loss/policy_loss",
    "Loss/value_loss",
    "Loss/entropy_loss",
    "Loss/approx_kl",
    "Loss/clip_fraction",
    "Info/explained_variance",
    "Info/value_mean",
    "Info/grad_norm",
    "Info/skipped_steps",
    "Info/learning_rate",
]


def only_one(values):
    (value,) = values
    return value


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return recorded_run(tmp_path_factory)


@pytest.fixture(scope="module")
def run_dir(folder):
    return folder / "RUN"


@pytest.fixture(scope="module")
def board(run_dir):
    accumulator = EventAccumulator(str(run_dir), {"scalars": 0, "images": 0})
    return accumulator.Reload()


def test_the_run_goes_into_the_directory_that_is_named_and_writes_nowhere_else(folder, run_dir):
    assert sorted(path.name for path in folder.iterdir()) == ["RUN", "made", "stdout"]
    assert sorted(path.name for path in run_dir.iterdir()) == [
        ".hydra",
        "checkpoints",
        "evaluations.csv",
        only(run_dir, "events.out.tfevents.*.rlexp").name,
        "main.log",
        "metrics.csv",
        "summary.json",
        "videos",
    ]
    assert sorted(path.name for path in (run_dir / "checkpoints").iterdir()) == [
        "best.safetensors",
        "last.safetensors",
        "step-000000256.safetensors",
        "step-000000384.safetensors",
    ]


def test_summary_has_every_key_of_the_contract_and_says_that_the_run_is_completed(run_dir):
    values = summary(run_dir)
    assert list(values) == [
        "state",
        "error",
        "seed",
        "env_id",
        "algo",
        "overrides",
        "world_size",
        "env_steps",
        "updates",
        "wall_seconds",
        "steps_per_second",
        "objective",
        "eval",
        "versions",
    ]
    assert (values["state"], values["error"], values["world_size"]) == ("completed", None, 1)
    assert (values["env_steps"], values["updates"]) == (512, 8)
    assert (values["seed"], values["env_id"], values["algo"]) == (42, "CartPole-v1", "ppo")
    assert values["overrides"] == OmegaConf.to_object(OmegaConf.load(run_dir / ".hydra" / "overrides.yaml"))
    assert values["wall_seconds"] > 512 / values["steps_per_second"] > 0
    assert values["versions"]["torch"] == torch.__version__
    assert set(values["versions"]) == {"python", "rlexp", "torch", "lightning", "gymnasium", "hydra-core", "numpy"}


def test_summary_holds_the_statistics_of_the_evaluation_and_its_mean_is_the_objective(run_dir):
    values = summary(run_dir)
    result = values["eval"]
    assert set(result) == {
        *("episodes", "mean_return", "std_return", "mean_length", "returns"),
        *("stream", "seeds", "cut", "max_episode_steps"),
    }
    assert (result["stream"], result["cut"]) == ("final", 0)
    assert result["episodes"] == len(result["returns"]) == 3
    assert result["mean_return"] == pytest.approx(np.mean(result["returns"]))
    assert result["std_return"] == pytest.approx(np.std(result["returns"]))
    assert result["mean_length"] == result["mean_return"]  # CartPole pays 1 a step
    assert values["objective"] == result["mean_return"]


def test_metrics_has_one_row_an_update_with_every_scalar_over_environment_steps(run_dir):
    rows = metrics(run_dir)
    assert list(rows[0]) == COLUMNS
    assert [int(row["env_steps"]) for row in rows] == [64 * update for update in range(1, 9)]
    for name in COLUMNS:
        if not name.startswith(("Rewards/", "Game/")):  # empty where no episode ended
            assert all(math.isfinite(float(row[name])) for row in rows)


def test_the_learning_rate_is_annealed_over_the_updates(run_dir):
    rates = [float(row["Info/learning_rate"]) for row in metrics(run_dir)]
    assert rates == pytest.approx([2.5e-4 * (1 - update / 8) for update in range(8)])


def test_training_returns_are_raw_though_rewards_are_normalised(run_dir):
    for row in metrics(run_dir):
        assert row["Rewards/rew_avg"] == row["Game/ep_len_avg"]  # CartPole pays 1 a step


def test_tensorboard_holds_the_scalars_of_metrics_and_the_test_return(run_dir, board):
    rows = metrics(run_dir)
    assert set(board.Tags()["scalars"]) == {*COLUMNS[2:], "Test/cumulative_reward", *OUTCOME}
    for name in COLUMNS[2:]:
        written = [(int(row["env_steps"]), np.float32(row[name])) for row in rows if row[name]]
        assert [(event.step, np.float32(event.value)) for event in board.Scalars(name)] == written
    (test,) = board.Scalars("Test/cumulative_reward")
    assert (test.step, test.value) == (512, pytest.approx(summary(run_dir)["objective"]))


def test_tensorboard_holds_every_hyperparameter_and_the_metric_that_it_is_judged_by(board):
    contents = board.PluginTagToContent("hparams")
    values = HParamsPluginData.FromString(contents["_hparams_/session_start_info"]).session_start_info.hparams
    assert values["algo.gamma"].number_value == 0.99
    assert values["env.id"].string_value == "CartPole-v1"
    assert values["env.normalize_observations"].string_value == "true"
    assert values["algo.target_kl"].string_value == "null"
    assert values["algo.hidden_sizes"].string_value == "[64, 64]"
    assert (values["seed"].number_value, values["total_timesteps"].number_value) == (42, 512)
    assert "env.max_episode_steps" not in values  # neither changed nor of the algorithm
    metrics = HParamsPluginData.FromString(contents["_hparams_/experiment"]).experiment.metric_infos
    assert [metric.name.tag for metric in metrics] == OUTCOME


def test_the_metrics_of_hparams_are_the_final_and_best_return_and_the_speed(run_dir, board):
    values = summary(run_dir)
    written = {name: only_one(board.Scalars(name)).value for name in OUTCOME}
    assert written[OUTCOME[0]] == pytest.approx(values["eval"]["mean_return"])
    saved = [float(row["Rewards/last_100"]) for row in metrics(run_dir) if int(row["env_steps"]) % 128 == 0]
    assert written[OUTCOME[1]] == pytest.approx(max(*saved, values["eval"]["mean_return"]))
    assert written[OUTCOME[2]] == pytest.approx(values["steps_per_second"], rel=1e-5)


def test_evaluations_has_a_row_with_every_return_and_length(run_dir):
    with (run_dir / "evaluations.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    result = summary(run_dir)["eval"]
    assert json.loads(row["returns"]) == json.loads(row["lengths"]) == result["returns"]  # CartPole pays 1 a step
    for name in ("episodes", "mean_return", "std_return", "mean_length"):
        assert float(row[name]) == result[name]
    assert (row["env_steps"], row["seconds"]) == ("512", metrics(run_dir)[-1]["seconds"])


def test_seconds_and_the_mean_of_the_last_100_episodes_are_columns(run_dir):
    rows = metrics(run_dir)
    seconds = [float(row["seconds"]) for row in rows]
    assert seconds == sorted(seconds)
    assert 512 / seconds[-1] == pytest.approx(summary(run_dir)["steps_per_second"])
    steps = [64 / float(row["Time/step_per_second"]) for row in rows]
    assert seconds == pytest.approx(np.cumsum(steps))
    assert all(row["Time/seconds"] == row["seconds"] for row in rows)
    first = next(row for row in rows if row["Rewards/rew_avg"])
    assert first["Rewards/last_100"] == first["Rewards/rew_avg"]


def test_the_log_begins_with_command_versions_machine_and_config(run_dir):
    text = (run_dir / "main.log").read_text()
    places = [text.index(f"rlexp.command.records: {name}: ") for name in ("command", "versions", "machine")]
    assert places == sorted(places)
    assert f"torch {torch.__version__}" in text
    assert f"{os.cpu_count()} cores of " in text
    config = text[text.index("rlexp.command.records: config:\n") + 31 :]
    config = "\n".join(itertools.takewhile(lambda line: not re.match(r"\d{4}-", line), config.splitlines()))
    assert OmegaConf.create(config) == OmegaConf.load(run_dir / ".hydra" / "config.yaml")


def test_tensorboard_shows_the_test_video_as_an_animated_image(run_dir, board):
    (event,) = board.Images("Test/video")
    image = Image.open(io.BytesIO(event.encoded_image_string))
    length = summary(run_dir)["eval"]["returns"][0]
    assert (event.step, image.format, image.size) == (512, "GIF", (event.width, event.height))
    assert min(length, 150) / 2 <= image.n_frames <= 150
    image.seek(image.n_frames - 1)  # the last frame is whole, too


def test_the_greedy_test_episode_is_recorded_from_its_first_to_its_last_step(run_dir):
    frames = video(only(run_dir / "videos" / "test", "*.mp4"))
    assert abs(len(frames) - summary(run_dir)["eval"]["returns"][0]) <= 2
    assert all(frame.max() > 100 for frame in frames)
    assert (frames[0] != frames[-1]).any()


def test_training_episodes_are_recorded_and_the_one_under_way_at_the_end_is_closed(run_dir):
    films = sorted((run_dir / "videos" / "train").glob("*.mp4"))
    names = {path.name for path in films}
    found = [re.fullmatch(r"step-(\d+)-return-\d+(-cut)?\.mp4", name) for name in names]
    steps = sorted(int(match[1]) for match in found)
    assert steps[0] == 0 and len(steps) <= 12, names  # about ten over the run, the first episode among them
    assert any(match[2] for match in found), names  # the last one was under way
    for path in films:
        frames = video(path)
        assert frames
        assert all(frame.max() > 100 for frame in frames)


def test_hydra_folder_holds_the_composed_config_and_the_overrides(run_dir):
    config = OmegaConf.load(run_dir / ".hydra" / "config.yaml")
    assert (config.env.id, config.algo.num_steps, config.algo.gae_lambda) == ("CartPole-v1", 32, 0.95)
    assert "env.num_envs=2" in OmegaConf.load(run_dir / ".hydra" / "overrides.yaml")
    assert OmegaConf.load(run_dir / ".hydra" / "hydra.yaml").hydra.job.name == "main"


def test_log_tells_of_the_evaluation_once_and_has_no_traceback(run_dir):
    text = (run_dir / "main.log").read_text()
    assert text.count("mean return") == 1
    assert "Traceback" not in text


@pytest.mark.parametrize("name", ["last.safetensors", "best.safetensors"])
def test_checkpoints_load_without_running_code(run_dir, name):
    state = load(run_dir / "checkpoints" / name)
    assert state.config["env"]["id"] == "CartPole-v1"
    assert state.algo == "ppo"
    assert all(isinstance(value, torch.Tensor) for value in state.learner.agent.values())
    assert state.env_steps == 64 * state.recorder.updates


def test_last_checkpoint_is_of_the_end_and_best_of_one_of_the_checkpoints(run_dir):
    last, best = (load(run_dir / "checkpoints" / name) for name in ("last.safetensors", "best.safetensors"))
    assert last.env_steps == 512
    assert best.env_steps in (128, 256, 384, 512)


def test_what_a_person_sees_off_a_terminal_are_plain_lines_and_a_table_of_what_is_where(folder):
    text = (folder / "stdout").read_text()
    assert "\x1b" not in text
    assert "\r" not in text
    lines = text.splitlines()
    assert lines[0] == "CartPole-v1: 8 updates of 64 steps = 512 steps, 1 rank, seed 42"
    assert lines[1] == "observation: vector of 4"
    end = lines[lines.index("") :]
    assert all(" steps/s  return " in line for line in lines[2 : lines.index("")])  # one every 5 s, and one at the end
    assert lines[lines.index("") - 1].startswith("      512 / 512 steps")
    assert re.fullmatch(r"return: [\d.]+ \+- [\d.]+ \(3 greedy episodes\)", end[1])
    assert re.fullmatch(r"steps/s: [\d,]+ \(512 steps\)", end[2])
    python = shlex.quote(sys.executable)
    assert end[3:] == [
        "directory:",
        "RUN",
        "video:",
        str(only(folder, "RUN/videos/test/*.mp4").relative_to(folder)),
        "see its curves:",
        "tensorboard --logdir RUN",
        "evaluate it again:",
        f"{python} -m rlexp.evaluate checkpoint=RUN/checkpoints/last.safetensors",
        "train it longer:",
        f"{python} -m rlexp.main resume=RUN total_timesteps=1024",
    ]


def test_help_lists_every_group_with_its_choices_and_the_keys_people_change_most(tmp_path):
    done = command("--help", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    for group in (path for path in conf_dir().iterdir() if path.is_dir()):
        choices = ", ".join(sorted(path.stem for path in group.glob("*.yaml")))
        assert f"{group.name}= " in done.stdout
        assert choices in " ".join(done.stdout.split())
    for key in ("seed", "total_timesteps", "capture_video", "env.num_envs", "algo.learning_rate", "fabric.devices"):
        assert f"  {key} " in done.stdout
    assert not list(tmp_path.iterdir())


def test_cfg_job_prints_the_composed_config_with_every_key(tmp_path):
    done = command("--cfg", "job", "experiment=pendulum", "algo.gamma=0.5", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    printed = OmegaConf.create(done.stdout)
    assert (printed.env.id, printed.algo.gamma, printed.algo.target_kl) == ("Pendulum-v1", 0.5, None)
    assert printed.fabric.precision == "32-true"
    assert "hydra" not in printed
    assert not list(tmp_path.iterdir())


def test_shell_completion_script_is_printed(tmp_path):
    done = command("-sc", "install=bash", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "hydra_bash_completion" in done.stdout
    assert not list(tmp_path.iterdir())


def test_without_evaluation_the_objective_is_the_mean_return_of_the_last_training_episodes(tmp_path):
    done = command(*TINY, "eval.episodes=0", "algo=a2c", "total_timesteps=64", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    values = summary(only(tmp_path, "outputs/runs/a2c-CartPole-v1/*-seed42"))
    assert values["eval"] is None
    (row,) = metrics(only(tmp_path, "outputs/runs/a2c-CartPole-v1/*-seed42"))
    assert values["objective"] == pytest.approx(float(row["Rewards/rew_avg"]))
    assert "(last training episodes)" in done.stdout
    assert json.dumps(values, allow_nan=False)
