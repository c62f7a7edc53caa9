"""The command that compares runs, on files as runs write them."""

import csv
import io
import json
import os
import subprocess
import sys

import pytest

from rlexp.compare import main, parse
from rlexp.errors import ConfigError
from rlexp.report.groups import grouped
from rlexp.report.read import read_runs
from rlexp.report.table import as_csv, as_json, as_latex, table, warnings
from tests.report.files import write_run


def groups_of(*paths):
    return grouped(read_runs(paths))


@pytest.fixture
def sweep(tmp_path):
    """Two rates over six seeds each, the second better."""
    for number in range(12):
        rate, seed = (1e-3, 1e-2)[number // 6], number % 6
        write_run(tmp_path / f"{number}-job", (10.0, 50.0)[number // 6] + seed, seed, algo__learning_rate=rate)
    return tmp_path


def test_runs_that_differ_in_their_seed_alone_are_one_line(sweep):
    first, second = groups_of(sweep)
    assert (first.label, second.label) == ("learning_rate=0.001", "learning_rate=0.01")
    assert first.settings == {"algo.learning_rate": 0.001}
    assert len(first.counted) == len(second.counted) == 6
    assert (first.mean, first.interquartile_mean) == (12.5, 12.5)
    assert 10 <= first.interval.low < 12.5 < first.interval.high <= 15
    lines = table([first, second], 80)
    assert lines[0].split() == ["setting", "mean", "IQM", "95", "%", "interval", "seeds", "steps/s"]
    assert lines[1].split()[:3] == ["learning_rate=0.001", "12.5", "12.5"]
    assert lines[2].split()[-3:] == ["6", "500", "*"]
    assert "*" not in lines[1]
    assert warnings([first, second]) == []


def test_what_follows_from_the_environment_or_the_algorithm_distinguishes_nothing_more(tmp_path):
    write_run(tmp_path / "a", 1.0, env_id="CartPole-v1", algo__gamma=0.9)
    write_run(tmp_path / "b", 2.0, env_id="Pendulum-v1", algo__gamma=0.99)
    write_run(tmp_path / "c", 3.0, env_id="Pendulum-v1", algo="sac", algo__gamma=0.95)
    assert [group.label for group in groups_of(tmp_path)] == [
        "env=CartPole-v1 algo=ppo", "env=Pendulum-v1 algo=ppo", "env=Pendulum-v1 algo=sac",
    ]  # fmt: skip
    write_run(tmp_path / "d", 4.0, env_id="Pendulum-v1", algo="sac", algo__gamma=0.5)
    labels = [group.label for group in groups_of(tmp_path)]
    assert labels[0] == "env=CartPole-v1 algo=ppo"
    assert labels[2:] == ["env=Pendulum-v1 algo=sac gamma=0.95", "env=Pendulum-v1 algo=sac gamma=0.5"]


def test_what_changes_no_result_distinguishes_nothing(tmp_path):
    write_run(tmp_path / "a", 1.0, 1, capture_video=True, eval__every=100, checkpoint__keep=0, logger__csv=True)
    write_run(tmp_path / "b", 2.0, 2, capture_video=False, eval__every=0, checkpoint__keep=2, logger__csv=False)
    (group,) = groups_of(tmp_path)
    assert group.label == "ppo CartPole-v1"
    assert len(group.counted) == 2


def test_a_setting_that_a_run_did_not_have_yet_has_its_default(tmp_path):
    write_run(tmp_path / "a", 1.0, 1)
    write_run(tmp_path / "b", 2.0, 2, model__memory="none")
    write_run(tmp_path / "c", 2.0, 3, model__memory="gru")
    assert [(group.label, len(group.counted)) for group in groups_of(tmp_path)] == [
        ("memory=none", 2),
        ("memory=gru", 1),
    ]


def test_what_weakens_a_conclusion_is_said(tmp_path):
    for seed in range(3):
        write_run(tmp_path / f"a{seed}", 10.0 + seed, seed, env__num_envs=1)
        write_run(tmp_path / f"b{seed}", 11.0 + seed, seed, env__num_envs=2, steps=2000)
    write_run(tmp_path / "b3", 5.0, 1, env__num_envs=2, steps=2000, evaluated=False)
    write_run(tmp_path / "c1", None, 1, env__num_envs=4, state="running")
    write_run(tmp_path / "c2", None, 1, env__num_envs=4, state="failed")
    found = groups_of(tmp_path)
    said = "\n".join(warnings(found))
    assert "not counted: 1 running, 1 failed" in said
    assert "1 runs repeat a seed of their setting; the last of each counts" in said
    assert "every setting has fewer than 5 seeds (the fewest: 3)" in said
    assert "which is better is open" in said
    assert "CartPole-v1: budgets differ, from 1,000 to 2,000 environment steps" in said
    assert "some scores are of evaluations, some of the last training episodes" in said
    assert [run.score for run in found[1].counted] == [11.0, 5.0, 13.0]
    assert table(found, 80)[3].split() == ["total_timesteps=1000", "num_envs=4", "-", "-", "-", "0", "-"]


def test_the_table_fits_a_narrow_terminal(tmp_path):
    for number in range(4):
        env_id = f"a/Very-Long-Name-Of-An-Environment-v{number // 2}"
        algo, gamma = "ppo" if number % 2 else "a2c", 0.9 + number / 100
        write_run(tmp_path / str(number), float(number), number % 2, env_id=env_id, algo=algo, algo__gamma=gamma)
    lines = table(groups_of(tmp_path), 80)
    assert all(len(line) <= 80 for line in lines)
    assert any(line.startswith("  ") for line in lines)


def test_csv_json_and_latex_hold_the_same_numbers(sweep):
    found = groups_of(sweep)
    rows = list(csv.DictReader(io.StringIO(as_csv(found))))
    assert [(row["algo.learning_rate"], row["seeds"], row["best"]) for row in rows] == [
        ("0.001", "6", "False"), ("0.01", "6", "True"),
    ]  # fmt: skip
    plain = json.loads(as_json(found))
    assert [group["mean"] for group in plain["groups"]] == [12.5, 52.5] == [float(row["mean"]) for row in rows]
    assert plain["groups"][0]["scores"] == [10, 11, 12, 13, 14, 15]
    assert plain["warnings"] == []
    lines = as_latex(found).splitlines()
    assert lines[0] == r"\begin{tabular}{lrrrrr}"
    assert r"learning\_rate=0.001 & 12.5 & 12.5 &" in lines[4]
    assert r"& \textbf{52.5} &" in lines[5]
    assert r"95 \% interval" in lines[2]


def test_damaged_and_foreign_files_are_named_not_counted(tmp_path):
    write_run(tmp_path / "a", 1.0, 1)
    write_run(tmp_path / "b", 2.0, 2)
    (tmp_path / "b" / "summary.json").write_text('{"state": "compl')
    write_run(tmp_path / "c", 3.0, 3)
    (tmp_path / "c" / ".hydra" / "config.yaml").write_text("a: [")
    runs = read_runs([tmp_path])
    assert [(run.state, run.error) for run in runs] == [
        ("completed", ""),
        ("unreadable", "summary.json cannot be read"),
        ("completed", ".hydra/config.yaml cannot be read"),
    ]  # fmt: skip
    assert "some runs have no .hydra/config.yaml" in "\n".join(warnings(grouped(runs)))


def test_each_run_counts_once_in_the_order_of_its_number(tmp_path):
    for number in (10, 2, 1):
        write_run(tmp_path / f"{number}-seed={number}", 1.0, number)
    runs = read_runs([tmp_path, tmp_path / "2-seed=2", tmp_path / "1-seed=1" / "summary.json"])
    assert [run.seed for run in runs] == [1, 2, 10]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "no directory is given; write: python -m rlexp.compare outputs/runs"),
        (["--cvs", "DIR"], "--cvs is no option; allowed: --csv, --json, --latex"),
        (["--csv", "--json", "DIR"], "--csv --json: give one of them"),
        (["/no/where"], "/no/where does not exist; give the directory of a run or of a sweep"),
        (["EMPTY"], "holds no run"),
    ],
)
def test_bad_input_is_one_line(words, said, tmp_path):
    paths = [str(tmp_path) if word in ("EMPTY", "DIR") else word for word in words]
    with pytest.raises(ConfigError, match=said):
        main(*parse(paths), 80)


def test_the_command(sweep):
    def run(*words):
        command = [sys.executable, "-m", "rlexp.compare", *words]
        return subprocess.run(
            command, capture_output=True, text=True, cwd=sweep, env={**os.environ, "PYTHONPATH": os.getcwd()}
        )

    done = run(".")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("learning_rate=") == 2
    failed = run("nothing")
    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr.startswith("error: nothing does not exist")
    assert len(failed.stderr.splitlines()) == 1
    assert run("--help").stdout.startswith("The command that compares runs")
