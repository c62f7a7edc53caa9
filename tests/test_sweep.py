"""Sweeps: every job in a directory of its own, a table at the end, and failures that stay where they are."""

import json

import pytest
import torch

from rlexp.config import conf_dir
from tests.commands import (
    TINY,
    command,
    error_line,
    metrics,
    once,
    only,
    summary,
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
    return torch.load(run_dir / "checkpoints" / "last.ckpt", weights_only=True)["policy"]


def rows(run_dir):
    """Return the rows of metrics.csv without what measures time."""
    return [{key: value for key, value in row.items() if not key.startswith("Time/")} for row in metrics(run_dir)]


def test_each_job_has_a_directory_named_after_its_overrides_and_is_completed(good):
    named = [path.name.partition("-") for path in jobs(good)]
    assert [number for number, _, _ in named] == ["0", "1", "2", "3"]
    for (_, _, name), seed in zip(named, "7788", strict=True):
        assert f"seed={seed}" in name
        assert "env.num_envs=2" in name
    assert [summary(path)["state"] for path in jobs(good)] == ["completed"] * 4
    for path in jobs(good):
        assert sorted(file.name for file in path.iterdir()) == [
            ".hydra",
            "checkpoints",
            "main.log",
            "metrics.csv",
            "summary.json",
            "tensorboard",
        ]


def test_a_table_of_all_jobs_is_printed_at_the_end(good):
    table = (good / "stdout").read_text().partition("sweep outputs/sweeps/")[2]
    for path in jobs(good):
        number, _, _ = path.name.partition("-")
        (line,) = [line for line in table.splitlines() if line.startswith(f"│ {number} ")]
        cells = [cell.strip() for cell in line.strip("│").split("│")]
        assert cells[2] == "completed"
        assert cells[3] == f"{summary(path)['objective']:,.1f}"
        assert cells[4] == f"{summary(path)['steps_per_second']:,.0f}"


def test_the_objective_of_a_job_is_its_mean_evaluation_return(good):
    returned = [json.loads(line) for line in (good / "objectives").read_text().splitlines()]
    assert returned == [summary(path)["eval"]["mean_return"] for path in jobs(good)]


def test_the_same_seed_gives_the_same_weights_and_metrics_in_a_sweep_and_alone(good, alone):
    for job in jobs(good)[:2]:
        ours, theirs = weights(job), weights(alone)
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
        assert rows(job) == rows(alone)
        assert summary(job)["eval"] == summary(alone)["eval"]


def test_another_seed_gives_other_weights_and_metrics(good):
    first, other = jobs(good)[0], jobs(good)[2]
    assert any(not torch.equal(weights(first)[name], value) for name, value in weights(other).items())
    assert rows(first) != rows(other)


def test_a_run_alone_goes_into_a_directory_named_after_algorithm_environment_and_seed(alone):
    assert summary(alone)["state"] == "completed"


# A sweep in which jobs fail


@pytest.fixture(scope="module")
def bad(tmp_path_factory):
    def make(folder):
        modules = with_broken_environments(folder / "modules")
        ids = "broken:Raises-v0,broken:Exits-v0,NoSuch-v0,CartPole-v1"
        done = command("--multirun", *TINY, "env=gym", f"env.id={ids}", cwd=folder, modules=modules)
        (folder / "stdout").write_text(done.stdout)
        (folder / "stderr").write_text(done.stderr)
        (folder / "rc").write_text(str(done.returncode))

    return once(tmp_path_factory, "bad-sweep", make)


def test_a_sweep_with_failures_ends_with_exit_code_1_and_one_line_each(bad):
    assert (bad / "rc").read_text() == "1"
    errors = (bad / "stderr").read_text().splitlines()
    assert len(errors) == 3
    assert errors[0] == "error: rank 0: RuntimeError: the rod is made of glass"
    assert errors[1] == "error: rank 0 ended with exit code 7"
    assert errors[2].startswith("error: env.id=NoSuch-v0 is not registered")


def test_the_failed_are_failed_and_the_others_completed(bad):
    summaries = [summary(path) for path in jobs(bad)]
    assert [values["state"] for values in summaries] == ["failed", "failed", "failed", "completed"]
    assert [values["error"] and f"error: {values['error']}" for values in summaries] == [
        *(bad / "stderr").read_text().splitlines(),
        None,
    ]


def test_each_failure_is_told_in_the_log_of_its_own_job(bad):
    logs = [(path / "main.log").read_text() for path in jobs(bad)]
    assert logs[0].count("Traceback (most recent call last)") == 1
    assert 'raise RuntimeError("the rod' in logs[0]
    assert "exit code 7" in logs[1]
    assert "NoSuch-v0 is not registered" in logs[2]
    assert "Traceback" not in logs[3]
    assert all("glass" not in text for text in logs[1:])


def test_the_table_shows_what_failed(bad):
    table = (bad / "stdout").read_text().partition("sweep outputs/sweeps/")[2]
    states = [line.split("│")[3].strip() for line in table.splitlines() if line.startswith("│")]
    assert states == ["failed", "failed", "failed", "completed"]


def test_a_refused_job_still_says_what_it_was(bad):
    for path in jobs(bad):
        assert (path / ".hydra" / "config.yaml").is_file()
        assert (path / ".hydra" / "overrides.yaml").is_file()


def test_a_sweep_of_what_cannot_be_composed_starts_no_job(tmp_path):
    done = command("--multirun", "env=cartpole,foo", cwd=tmp_path)
    assert error_line(done).startswith("error: env=foo is not a choice; allowed: acrobot")
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


@pytest.mark.parametrize(
    "swept",
    [
        {"algo": choices("algo"), "env": [env for env in choices("env") if env != "gym"]},  # gym: see `alone`
        {"experiment": choices("experiment")},
    ],
    ids=["algo and env", "experiment"],
)
def test_every_choice_runs(swept, tmp_path):
    train("--multirun", *FEW, *(f"{group}={','.join(names)}" for group, names in swept.items()), cwd=tmp_path)
    folders = jobs(tmp_path)
    assert len(folders) == torch.tensor([len(names) for names in swept.values()]).prod()
    for folder in folders:
        values = summary(folder)
        assert (values["state"], values["env_steps"], values["updates"]) == ("completed", 32, 2)
        assert values["eval"]["mean_length"] <= 20
