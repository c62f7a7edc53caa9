"""`logger=`: several at once, one's own, one that fails, and that a resumed run continues as the same run there."""

import pytest

from rlexp.command.arguments import read
from rlexp.config.given import given_keys
from rlexp.errors import ConfigError, RunFailed
from rlexp.files.loggers import _installed, check_loggers
from rlexp.files.trust import stored_config
from tests.commands import TINY, command, error_line, events, metrics, summary, train
from tests.helpers import composed
from tests.topology.ranks import checkpoint, launched, resumed
from tests.topology.test_resume import SAVING, rewound

OWN = "logger.own=[tests.own:Sink]"


def lines(run_dir):
    return (run_dir / "sink.txt").read_text().splitlines()


def test_a_logger_of_ones_own_gets_what_the_csv_file_gets(tmp_path):
    run_dir = tmp_path / "run"
    launched(run_dir, OWN, "log.every=1", "eval.episodes=1", updates=3)
    first, *rest = lines(run_dir)
    assert first == "algo ppo seed 42"
    rows = [line for line in rest if "Loss/policy_loss" in line]
    assert [line.split()[:2] for line in rows] == [["first", row["env_steps"]] for row in metrics(run_dir)]
    assert rest[-3:-1] == [f"first {metrics(run_dir)[-1]['env_steps']} Test/cumulative_reward", rest[-2]]
    assert "hparam/final" in rest[-2] and rest[-1] == "success"
    assert len(events(run_dir)) > 3  # TensorBoard beside it


def test_a_resumed_run_continues_as_the_same_one_there(tmp_path):
    whole = tmp_path / "whole"
    launched(whole, "logger.own=[{logger: 'tests.own:Sink', version: mine}]", *SAVING, updates=4)
    assert checkpoint(whole).recorder.loggers == {"tests.own:Sink": "mine"}
    again = rewound(whole, 2, tmp_path / "again")
    before = len(lines(again))
    resumed(again, OWN, *SAVING, updates=4)
    assert all(line.startswith("mine ") for line in lines(again)[before:-1])
    assert not any(line.startswith("algo") for line in lines(again)[before:])


def test_a_logger_that_fails_later_is_left_out_and_the_run_goes_on(tmp_path):
    launched(tmp_path / "run", "logger.own=[{logger: 'tests.own:Sink', fails_at: 64}]", "log.every=1", updates=3)
    assert summary(tmp_path / "run")["state"] == "completed"
    log = (tmp_path / "run" / "main.log").read_text()
    assert log.count("logger tests.own:Sink is left out from here on: ConnectionError: no network") == 1


def test_a_logger_that_cannot_start_ends_the_run(tmp_path):
    with pytest.raises(RunFailed, match=r"logger tests.own:Sink cannot start: TypeError: .* 'color'"):
        launched(tmp_path / "run", "logger.own=[{logger: 'tests.own:Sink', color: red}]", updates=2)


def test_a_run_without_tensorboard_writes_no_events_and_resumes_with_them(tmp_path):
    run_dir = tmp_path / "run"
    train(*TINY, "total_timesteps=128", "logger=csv", f"hydra.run.dir={run_dir}", cwd=tmp_path)
    assert not list(run_dir.glob("events*")) and metrics(run_dir)
    train(f"resume={run_dir}", "total_timesteps=256", "logger=[csv,tensorboard]", cwd=tmp_path)
    assert {step for step, _ in events(run_dir)} == {192, 256}
    assert "logger.tensorboard" in given_keys(["logger=[csv,wandb]"])


@pytest.mark.parametrize(
    ("typed", "read_as"),
    [
        (["logger=a.b:C"], ["logger=[csv]", "logger.own=[a.b:C]"]),
        (["logger=[csv,tensorboard,a.b:C]"], ["logger=[csv,tensorboard]", "logger.own=[a.b:C]"]),
        (["logger=[wandb]"], ["logger=[wandb]"]),
    ],
)
def test_a_path_among_the_choices_is_a_logger_of_ones_own(typed, read_as):
    assert read(typed) == read_as


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["logger=[csv,wandb]"], "logger=wandb needs the package wandb; install it with: pip install 'rlexp[wandb]'"),
        (["logger=mlflow"], "logger=mlflow needs the package mlflow; install it with: pip install 'rlexp[mlflow]'"),
        (["logger.own=[tests.own:Counts]"], "tests.own:Counts has no method log_metrics(metrics, step)"),
        (["logger.own=[tests.own:Sinks]"], "tests.own has no Sinks; did you mean tests.own:Sink?"),
    ],
)
def test_a_logger_that_is_not_there_is_refused_before_the_launch(words, said, monkeypatch):
    find = "rlexp.files.loggers.importlib.util.find_spec"
    monkeypatch.setattr(find, lambda name: None)
    with pytest.raises(ConfigError) as error:
        check_loggers(composed(*words))
    assert said in str(error.value)


def test_a_folder_that_is_called_wandb_is_no_package(tmp_path, monkeypatch):
    (tmp_path / "a_folder").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    assert not _installed("a_folder") and not _installed("no_such_package") and _installed("torch")


def test_settings_of_a_logger_that_is_not_chosen_are_refused(tmp_path):
    done = command("logger.wandb.project=mine", cwd=tmp_path)
    assert error_line(done) == (
        "error: logger.wandb.project=mine is for logger=wandb, which is not chosen; add logger=wandb"
    )


def test_a_checkpoint_imports_no_logger_that_the_user_did_not_name(tmp_path):
    launched(tmp_path / "run", OWN, updates=2)
    saved = checkpoint(tmp_path / "run")
    saved.config["logger"]["own"] = ["elsewhere.mine:Sink"]
    with pytest.raises(ConfigError, match=r"wants to import the module elsewhere.mine for its logger.own"):
        stored_config(saved, tmp_path)


@pytest.mark.extras
def test_wandb_offline_and_its_resume_as_the_same_run(tmp_path):
    run_dir = tmp_path / "run"
    words = ("logger=[csv,wandb]", "logger.wandb.offline=true", "capture_video=true", f"hydra.run.dir={run_dir}")
    done = train(*TINY, "total_timesteps=128", *words, cwd=tmp_path)
    assert "(offline: wandb sync uploads it)" in done.stdout
    train(f"resume={run_dir}", "total_timesteps=256", cwd=tmp_path)
    first, second = sorted((run_dir / "wandb").glob("offline-run-*"))
    assert (
        first.name.rpartition("-")[2] == second.name.rpartition("-")[2] == checkpoint(run_dir).recorder.loggers["wandb"]
    )
    steps = [
        [item["env_steps"] for item in history(folder) if "Loss/policy_loss" in item] for folder in (first, second)
    ]
    assert steps == [[64, 128], [192, 256]]
    assert list(first.glob("files/media/videos/Test/*.mp4"))


def history(folder):
    """Return what was logged: wandb's own file of an offline run is a log of records as LevelDB writes it."""
    import json

    from wandb.proto import wandb_internal_pb2

    (path,) = folder.glob("*.wandb")
    content, place, data, found = path.read_bytes(), 7, b"", []
    while place + 7 <= len(content):
        if 32768 - place % 32768 < 7:  # the end of a block has no room for a header
            place += 32768 - place % 32768
        length, kind = int.from_bytes(content[place + 4 : place + 6], "little"), content[place + 6]
        data += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last part
            record = wandb_internal_pb2.Record()
            record.ParseFromString(data)
            items = record.history.item
            found += (
                [{one.key or ".".join(one.nested_key): json.loads(one.value_json) for one in items}] if items else []
            )
            data = b""
    return found


@pytest.mark.extras
def test_mlflow_and_its_resume_as_the_same_run(tmp_path):
    from mlflow.tracking import MlflowClient

    run_dir = tmp_path / "run"
    words = ("logger=[csv,mlflow]", "capture_video=true", f"hydra.run.dir={run_dir}")
    train(*TINY, "total_timesteps=128", *words, cwd=tmp_path)
    train(f"resume={run_dir}", "total_timesteps=256", cwd=tmp_path)
    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    (experiment,) = client.search_experiments(filter_string="name = 'rlexp'")
    (run,) = client.search_runs([experiment.experiment_id])
    assert (run.info.status, run.info.run_name) == ("FINISHED", "run")
    assert [item.step for item in client.get_metric_history(run.info.run_id, "Loss/policy_loss")] == [64, 128, 192, 256]
    assert run.data.params["algo.gamma"] == "0.99"
    assert len(client.list_artifacts(run.info.run_id, "Test/video")) == 2
