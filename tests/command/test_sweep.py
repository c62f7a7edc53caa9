"""Sweeps: every job in a directory of its own, a table at the end, and failures that stay where they are."""

import csv
import json

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from rlexp.config.places import conf_dir
from rlexp.files.checkpoint import load
from tests.commands import (
    TINY,
    command,
    error_line,
    once,
    only,
    rows_without_times,
    summary,
    sweep_rows,
    train,
    with_broken_environments,
)

CALLBACK = """
import json
from pathlib import Path
from hydra.experimental.callback import Callback

class Note(Callback):
    def on_job_end(self, config, job_return, **kwargs):
        with Path("objectives").open("a") as file:
            file.write(json.dumps(job_return.return_value) + "\\n")
"""
"""A module whose Hydra callback writes down what each job returned, as a sweeper that searches would see it."""


def choices(group):
    return sorted(path.stem for path in (conf_dir() / group).glob("*.yaml"))


def jobs(folder):
    """Return the directories of the jobs of the only sweep in a folder, in their order."""
    sweep = only(folder, "outputs/sweeps/*")
    folders = [path for path in sweep.iterdir() if path.is_dir()]
    return sorted(folders, key=lambda path: int(path.name.partition("-")[0]))


# A sweep that goes well: two seeds, twice


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    def make(folder):
        (folder / "notes.py").write_text(CALLBACK)
        note = "+hydra.callbacks.note._target_=notes.Note"
        done = train("--multirun", *TINY, "seed=7,8", "strategy=auto,ddp", note, cwd=folder, modules=folder)
        (folder / "stdout").write_text(done.stdout)

    return once(tmp_path_factory, "good-sweep", make)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The run directory of the first job's experiment, run alone."""

    def make(folder):
        train(*TINY, "env=gym", "env.id=CartPole-v1", "seed=7", cwd=folder)

    return only(once(tmp_path_factory, "alone", make), "outputs/runs/ppo-CartPole-v1/*-seed7")


def weights(run_dir):
    return load(run_dir / "checkpoints" / "last.safetensors").learner.agent


def test_each_job_has_a_directory_named_after_its_overrides_and_is_completed(good):
    named = [path.name.partition("-") for path in jobs(good)]
    assert [number for number, _, _ in named] == ["0", "1", "2", "3"]
    assert [name for _, _, name in named] == [
        f"seed={seed},strategy={strategy}" for seed in (7, 8) for strategy in ("auto", "ddp")
    ]
    assert [summary(path)["state"] for path in jobs(good)] == ["completed"] * 4
    for path in jobs(good):
        assert sorted(file.name for file in path.iterdir()) == [
            ".hydra",
            "checkpoints",
            "evaluations.csv",
            only(path, "events.out.tfevents.*.rlexp").name,
            "main.log",
            "metrics.csv",
            "summary.json",
        ]


def test_a_table_of_all_jobs_is_printed_at_the_end(good):
    head, *rows = sweep_rows((good / "stdout").read_text())
    assert head == ["job", "seed", "strategy", "state", "return", "steps/s"]
    swept = [(seed, strategy) for seed in "78" for strategy in ("auto", "ddp")]
    for number, (path, row) in enumerate(zip(jobs(good), rows, strict=True)):
        values = summary(path)
        result, speed = f"{values['objective']:,.1f}", f"{values['steps_per_second']:,.0f}"
        assert row == [str(number), *swept[number], "completed", result, speed]


def test_below_the_table_the_settings_are_compared_over_their_seeds(good):
    text = (good / "stdout").read_text()
    returns = [summary(path)["objective"] for path in jobs(good)]
    for strategy, pair in (("auto", returns[0::2]), ("ddp", returns[1::2])):
        mean, low, high = f"{np.mean(pair):,.1f}", f"{min(pair):,.1f}", f"{max(pair):,.1f}"
        line = f"strategy={strategy} {mean} {mean} {low} to {high} 2 "
        assert any(" ".join(found.split()).startswith(line) for found in text.splitlines())
    assert "sweep: 2 of 4 jobs completed, about " in text
    assert "best so far: " in text


def test_sweep_csv_holds_full_values_and_the_directory_of_each_job(good):
    with only(good, "outputs/sweeps/*/sweep.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["directory"] for row in rows] == [str(path) for path in jobs(good)]
    for row, path in zip(rows, jobs(good), strict=True):
        values = summary(path)
        assert float(row["return"]) == values["objective"]
        assert float(row["return_std"]) == values["eval"]["std_return"]
        assert (row["state"], row["error"], row["env_steps"]) == ("completed", "", "512")
        assert row["seed"] == str(values["seed"])


def test_the_objective_of_a_job_is_its_mean_evaluation_return(good):
    returned = [json.loads(line) for line in (good / "objectives").read_text().splitlines()]
    assert returned == [summary(path)["eval"]["mean_return"] for path in jobs(good)]


def test_the_same_seed_gives_the_same_weights_and_metrics_in_a_sweep_and_alone(good, alone):
    for job in jobs(good)[:2]:
        ours, theirs = weights(job), weights(alone)
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
        assert rows_without_times(job) == rows_without_times(alone)
        assert summary(job)["eval"] == summary(alone)["eval"]


def test_another_seed_gives_other_weights_and_metrics(good):
    first, other = jobs(good)[0], jobs(good)[2]
    assert any(not torch.equal(weights(first)[name], value) for name, value in weights(other).items())
    assert rows_without_times(first) != rows_without_times(other)


def test_a_run_alone_goes_into_a_directory_named_after_algorithm_environment_and_seed(alone):
    assert summary(alone)["state"] == "completed"


# A sweep in which jobs fail


@pytest.fixture(scope="module")
def bad(tmp_path_factory):
    def make(folder):
        modules = with_broken_environments(folder / "modules")
        ids = "broken:Raises-v0,broken:Exits-v0,CartPole-v1"
        done = command("--multirun", *TINY, "env=gym", f"env.id={ids}", cwd=folder, modules=modules)
        (folder / "stdout").write_text(done.stdout)
        (folder / "stderr").write_text(done.stderr)
        (folder / "rc").write_text(str(done.returncode))

    return once(tmp_path_factory, "bad-sweep", make)


def test_a_sweep_with_failures_ends_with_exit_code_1_and_one_line_each(bad):
    assert (bad / "rc").read_text() == "1"
    errors = (bad / "stderr").read_text().splitlines()
    assert len(errors) == 2
    assert "RuntimeError: the rod is made of glass" in errors[0]
    assert errors[1] == "error: rank 0 ended with exit code 7"


def test_the_failed_are_failed_and_the_others_completed(bad):
    summaries = [summary(path) for path in jobs(bad)]
    assert [values["state"] for values in summaries] == ["failed", "failed", "completed"]
    assert [values["error"] and f"error: {values['error']}" for values in summaries] == [
        *(bad / "stderr").read_text().splitlines(),
        None,
    ]


def test_each_failure_is_reported_in_the_log_of_its_own_job(bad):
    logs = [(path / "main.log").read_text() for path in jobs(bad)]
    assert "Traceback (most recent call last)" in logs[0]
    assert 'raise RuntimeError("the rod' in logs[0]
    assert "exit code 7" in logs[1]
    assert "Traceback" not in logs[2]
    assert all("glass" not in text for text in logs[1:])


def test_the_table_shows_what_failed(bad):
    rows = sweep_rows((bad / "stdout").read_text())[1:]
    assert [row[2] for row in rows] == ["failed", "failed", "completed"]
    assert "RuntimeError: the rod" in rows[0][-1]
    assert rows[1][-1] == "rank 0 ended with exit code 7"


def test_jobs_that_cannot_run_are_named_before_the_first_one_starts(tmp_path):
    words = ("seed=1,2", "env=gym", "env.id=CartPole-v1,NoSuch-v0", "algo.gamma=0.9,7")
    done = command("--multirun", *TINY, *words, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    lines = done.stderr.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["error"] * 6
    assert lines[0].startswith("error: job 1 (seed=1 env.id=CartPole-v1 algo.gamma=7): algo.gamma=7")
    assert lines[1].startswith("error: job 2 (seed=1 env.id=NoSuch-v0 algo.gamma=0.9): env.id=NoSuch-v0 is not")
    assert not list(tmp_path.iterdir())


def test_a_sweep_of_what_cannot_be_composed_starts_no_job(tmp_path):
    done = command("--multirun", "env=cartpole,foo", cwd=tmp_path)
    assert error_line(done).startswith("error: job 1 (env=foo): env=foo is not a choice; allowed: acrobot")
    assert not list(tmp_path.rglob("summary.json"))


# Every choice, run for a few steps

FEW = (
    "fabric.threads_per_rank=1",
    "env.num_envs=2",
    "algo.num_steps=8",
    "algo.per_rank_batch_size=8",
    "algo.update_epochs=1",
    "total_timesteps=32",
    "eval.episodes=1",
    "eval.max_episode_steps=20",
)


OTHERS = ("gym", "atari", "minigrid", "mujoco", "dmc", "robotics", "bsuite")
PRESETS = ("acrobot", "bipedalwalker", "cartpole", "lunarlander", "mountaincar", "pendulum", "seed_example")
"""Choices that need an id (see `alone`), or packages that the tests do not install."""


def test_settings_that_the_default_algorithm_lacks_reach_the_jobs_of_a_sweep_over_algorithms(tmp_path):
    few = [word for word in FEW if "epochs" not in word]
    words = ("algo=dqn,c51", "algo.learning_starts=8", "algo.hidden_sizes=[8,8]", "compile=false")
    train("--multirun", *few, *words, cwd=tmp_path)
    assert [folder.name for folder in jobs(tmp_path)] == ["0-algo=dqn", "1-algo=c51"]
    for folder in jobs(tmp_path):
        config = OmegaConf.load(folder / ".hydra" / "config.yaml")
        assert (config.algo.learning_starts, list(config.algo.hidden_sizes)) == (8, [8, 8])


@pytest.mark.parametrize(
    "swept",
    [
        {"algo": ("a2c", "ppo"), "env": [env for env in choices("env") if env not in OTHERS]},
        pytest.param({"algo": ("dqn", "c51", "rainbow", "sac"), "env": ("cartpole",)}, marks=pytest.mark.slow),
        pytest.param(
            {"algo": ("sac", "td3", "ddpg", "droq", "redq", "crossq"), "env": ("pendulum",)}, marks=pytest.mark.slow
        ),
        pytest.param({"experiment": PRESETS}, marks=pytest.mark.slow),  # the others: tests/test_extras.py
    ],
    ids=["algo and env", "choices from memory", "numbers from memory", "experiment"],
)
def test_every_choice_runs(swept, tmp_path):
    few = FEW
    if "dqn" in swept.get("algo", ()) or "td3" in swept.get("algo", ()):
        few = (*(word for word in FEW if "epochs" not in word), "algo.learning_starts=8")
        few = tuple(word.replace("batch_size=8", "batch_size=16") for word in few)
    train("--multirun", *few, *(f"{group}={','.join(names)}" for group, names in swept.items()), cwd=tmp_path)
    folders = jobs(tmp_path)
    assert len(folders) == torch.tensor([len(names) for names in swept.values()]).prod()
    for folder in folders:
        values = summary(folder)
        assert (values["state"], values["env_steps"], values["updates"]) == ("completed", 32, 2)
        assert values["eval"]["mean_length"] <= 20
