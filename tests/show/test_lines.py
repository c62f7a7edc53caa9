"""What a person reads at the end of runs and sweeps, and the names and files that go with it."""

import csv
import json
import shlex
import sys
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from torch.utils.tensorboard.summary import hparams

from rlexp.command.paths import with_run_directory
from rlexp.command.sweep_jobs import Sweep, SweepJob, job_name, swept_keys
from rlexp.command.sweep_table import compared, outcomes, sweep_lines, table
from rlexp.files.rewind import cut_evaluations
from rlexp.files.summary import write_json
from rlexp.files.tensorboard import given_first, hyperparameters, named
from rlexp.show.lines import evaluate_command, hydra_quoted, program, resume_command, run_lines, shown
from rlexp.show.tables import short_names
from tests.helpers import composed

ODD = [
    "plain", "a b", "it's", 'q"uo', "a=b,c", "[x]{y}(z)", "d$HOME", "i${x}j", "\\${x}", "p%q", "ünï-日本", "n\nl",
    "back\\slash", "end\\", "\\'", "'q'", '"', "~t+@!#:;*?<>|&", " lead ", "-dash", "auto", "null",
]  # fmt: skip
"""Names that a file system allows and that mean something to a shell, to Hydra or to OmegaConf."""


@pytest.mark.parametrize("text", ODD)
def test_hydra_reads_a_quoted_text_as_it_was(text):
    (override,) = OverridesParser.create().parse_overrides([f"key={hydra_quoted(text)}"])
    node = OmegaConf.create({"key": None})
    node.key = override.value()
    assert node.key == text


@pytest.mark.parametrize("text", ODD)
def test_the_command_that_resumes_names_the_same_directory_after_shell_and_hydra(text, tmp_path):
    run_dir = tmp_path / text
    (run_dir / "checkpoints").mkdir(parents=True)
    (run_dir / "checkpoints" / "last.safetensors").touch()
    words = shlex.split(resume_command(run_dir, tmp_path, {"env_id": "CartPole-v1"}, "total_timesteps=7"))
    arguments = words[words.index("rlexp.main") + 1 :]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        read = {
            o.key_or_group: o.value() for o in OverridesParser.create().parse_overrides(with_run_directory(arguments))
        }
    node = OmegaConf.create(read)
    assert (node["resume"], node["hydra.run.dir"], node["total_timesteps"]) == (str(run_dir), str(run_dir), 7)


@pytest.mark.parametrize("text", [t for t in ODD if "${" not in t and t not in ("null", "'q'")])  # Hydra's own syntax
def test_a_run_directory_is_taken_as_it_is_typed(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (override,) = OverridesParser.create().parse_overrides(with_run_directory([f"hydra.run.dir={text}"]))
    assert override.value() == text


def test_an_environment_in_a_module_is_named_again(tmp_path):
    assert resume_command(tmp_path / "RUN", tmp_path, {"env_id": "a.b:C-v0"}).endswith("resume=RUN env.id=a.b:C-v0")
    assert evaluate_command(tmp_path / "RUN", tmp_path, {"env_id": "a.b:C-v0"}).endswith(
        "last.safetensors env_id=a.b:C-v0"
    )


def test_a_command_is_called_by_the_name_that_was_typed(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/somewhere/bin/rlexp"])
    monkeypatch.setattr("shutil.which", lambda name: f"/somewhere/bin/{name}")
    assert (program(), program("rlexp.evaluate")) == ("rlexp", "rlexp-evaluate")
    monkeypatch.setattr(sys, "argv", ["/elsewhere/rlexp"])
    assert program("rlexp.evaluate") == "/elsewhere/rlexp-evaluate"
    monkeypatch.setattr(sys, "argv", ["main.py"])
    monkeypatch.setattr(sys, "orig_argv", ["my env/python3"])
    assert program() == "'my env/python3' -m rlexp.main"
    monkeypatch.setattr("shutil.which", lambda name: sys.executable)
    assert program() == "python -m rlexp.main"


def test_the_last_lines_hold_each_path_and_command_alone_and_whole(tmp_path):
    run_dir = tmp_path / ("long " * 40)
    (run_dir / "videos" / "test").mkdir(parents=True)
    (run_dir / "videos" / "test" / "a.mp4").touch()
    result = {"mean_return": 1234.56, "std_return": 7.0, "episodes": 10}
    values = {"eval": result, "steps_per_second": 4512.3, "env_steps": 99_840, "env_id": "CartPole-v1"}
    lines = run_lines(run_dir, values, tmp_path, 100_000)
    assert lines[1:3] == ["return: 1,234.6 +- 7.0 (10 greedy episodes)", "steps/s: 4,512 (99,840 steps)"]
    places = dict(zip(lines[3::2], lines[4::2], strict=True))
    assert places["directory:"] == shown(run_dir, tmp_path)
    assert places["video:"] == f"{shown(run_dir, tmp_path)}/videos/test/a.mp4"
    assert shlex.split(places["see its curves:"]) == ["tensorboard", "--logdir", shown(run_dir, tmp_path)]
    assert shlex.split(places["train it longer:"])[-1] == "total_timesteps=200000"


# Sweeps


@pytest.mark.parametrize(
    ("overrides", "swept", "name"),
    [
        (["seed=1", "env.num_envs=2", "algo.gamma=0.9"], ["seed", "env.num_envs"], "3-seed=1,num_envs=2"),
        (["algo=ppo", "seed=1"], ["algo"], "3-algo=ppo"),
        (["seed=1"], [], "3"),
        (["+env.kwargs.path=/a b/ü"], ["env.kwargs.path"], "3-path=a_b"),
        (["algo.hidden_sizes=[64,64]"], ["algo.hidden_sizes"], "3-hidden_sizes=64_64"),
        (["a.x.name=1", "b.y.name=2"], ["a.x.name", "b.y.name"], "3-x.name=1,y.name=2"),
        ([f"env.id={'x' * 300}"], ["env.id"], f"3-id={'x' * 24}"),
    ],
)
def test_a_job_is_named_by_its_number_and_what_was_swept(overrides, swept, name):
    assert job_name(3, overrides, swept) == name


def test_names_are_as_short_as_they_can_be_told_separately():
    assert short_names(["seed", "algo.gamma", "env.a.seed"]) == {
        "seed": "seed", "algo.gamma": "gamma", "env.a.seed": "a.seed",
    }  # fmt: skip


@pytest.fixture
def sweep(tmp_path):
    """A sweep of two settings over three seeds: one job failed, one was not started."""
    jobs, returns = [], iter([1.0, 2.0, 3.0, 10.0])
    for number in range(6):
        words = (f"algo.gamma={0.9 if number < 3 else 0.99}", f"seed={number % 3}", "total_timesteps=64")
        jobs.append(SweepJob(number, words, tmp_path / str(number)))
        if number == 5:
            continue
        jobs[-1].directory.mkdir()
        values = {"state": "completed", "error": None, "objective": None, "steps_per_second": 1234.5}
        if number == 4:
            values |= {"state": "failed", "error": "rank 0: RuntimeError: " + "the rod is made of glass " * 9}
        else:
            values |= {"objective": next(returns), "eval": {"std_return": 0.5}}
        values |= {"seed": number % 3, "env_id": "CartPole-v1", "algo": "ppo"}
        write_json(jobs[-1].directory / "summary.json", values)
        (jobs[-1].directory / ".hydra").mkdir()
        (jobs[-1].directory / ".hydra" / "config.yaml").write_text(f"algo: {{gamma: {0.9 if number < 3 else 0.99}}}")
    return Sweep(tmp_path, jobs)


def test_the_table_fits_the_width_and_below_it_the_reason_is_whole(sweep):
    lines = table(outcomes(sweep), 80)
    assert swept_keys(sweep.jobs) == ["algo.gamma", "seed"]
    assert lines[0].split() == ["job", "gamma", "seed", "state", "return", "steps/s", "why"]
    assert lines[1].split() == ["0", "0.9", "0", "completed", "1.00", "1,234"]
    assert lines[6].split() == ["5", "0.99", "2", "not", "started", "-", "-"]
    assert all(len(line) <= 80 for line in lines[:7])
    assert lines[5].endswith("...")
    assert lines[7:] == ["", "job 4: rank 0: RuntimeError: " + "the rod is made of glass " * 9]


def test_settings_are_compared_over_the_seeds_that_are_completed(sweep):
    lines = compared(outcomes(sweep), 80)
    assert lines[1].split()[:3] == ["setting", "mean", "IQM"]
    assert lines[2].split() == ["gamma=0.9", "2.00", "2.00", "1.00", "to", "3.00", "3", "1,234"]
    assert lines[3].split() == ["gamma=0.99", "10.0", "10.0", "-", "1", "1,234", "*"]
    assert lines[4] == "warning: not counted: 1 failed"
    assert "fewer than 5 seeds" in lines[5]


def test_the_sweep_is_written_to_csv_and_can_be_continued_by_the_command_shown(sweep, tmp_path):
    lines, good = sweep_lines(sweep, tmp_path.parent, ["-m", "algo.gamma=0.9,0.99", "seed=range(3)"])
    assert not good
    words = shlex.split(lines[-1])
    assert words[words.index("rlexp.main") + 1 :] == [
        "-m", "algo.gamma=0.9,0.99", "seed=range(3)", f"hydra.sweep.dir={tmp_path.name}", "sweep.skip_completed=true",
    ]  # fmt: skip
    with (tmp_path / "sweep.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["state"] for row in rows] == ["completed"] * 4 + ["failed", "not started"]
    assert [row["algo.gamma"] for row in rows] == ["0.9"] * 3 + ["0.99"] * 3
    assert rows[4]["error"].endswith("glass ")
    assert [row["return"] for row in rows] == ["1.0", "2.0", "3.0", "10.0", "", ""]
    assert [Path(row["directory"]) for row in rows] == [job.directory for job in sweep.jobs]


# Files of a run


@pytest.mark.parametrize(
    ("steps", "evaluated", "kept"), [(200, False, 1), (200, True, 2), (150, False, 1), (1000, True, 3)]
)
def test_evaluations_are_cut_back_to_a_checkpoint(steps, evaluated, kept, tmp_path):
    path = tmp_path / "evaluations.csv"
    lines = ["env_steps,seconds\n", "100,1.5\n", "200,2.5\n", "300,3.5\n", "400,4"]  # the last one is cut off
    path.write_text("".join(lines))
    assert cut_evaluations(path, steps, evaluated)
    assert path.read_text() == "".join(lines[: 1 + kept])
    assert not cut_evaluations(tmp_path / "none.csv", steps, evaluated)


def test_hyperparameters_are_numbers_or_text_and_those_given_are_there():
    config = composed("env.normalize_rewards=true", "env.frame_stack=1", "algo.per_rank_batch_size=null")
    values = hyperparameters(config, ["+env.frame_stack=1"])
    assert values["env.normalize_rewards"] == "true"
    assert values["algo.per_rank_batch_size"] == "null"
    assert (values["env.frame_stack"], values["algo"]) == (1, "ppo")
    assert "env.action_repeat" not in values
    assert all(type(value) in (int, float, str) for value in values.values())
    assert json.dumps(values)


def test_the_hparams_tab_shows_what_was_given_first():
    values = hyperparameters(composed("seed=3"), ["seed=3"])
    experiment, _, _ = hparams(values, {})
    given_first(experiment, named(["seed=3", "+algo.gamma=0.9"]))
    data = HParamsPluginData.FromString(experiment.value[0].metadata.plugin_data.content)
    assert {info.name for info in data.experiment.hparam_infos if info.differs} == {"seed", "algo.gamma"}
