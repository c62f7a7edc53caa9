"""What a resumed run takes from its checkpoint, from the command line, and from its directory."""

from dataclasses import replace

import pytest
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from torch.utils.tensorboard import SummaryWriter

from rlexp.data.resuming import ResumePoint
from rlexp.errors import ConfigError
from rlexp.files.checkpoint import load
from rlexp.files.rewind import cut_evaluations, cut_events, cut_metrics, free_name, set_aside
from rlexp.run.resume import checkpoint_times, make_last, merged, resumed
from tests.commands import recorded_run, sealed
from tests.helpers import composed

STORED = ("total_timesteps=1024", "seed=3", "env.num_envs=2", "eval.episodes=4")


def config_of(*overrides):
    return composed(*STORED, *overrides)


@pytest.mark.parametrize(
    ("words", "key", "value"),
    [
        (("total_timesteps=2048",), "total_timesteps", 2048),
        (("eval.episodes=9",), "eval.episodes", 9),
        (("checkpoint.every=7",), "checkpoint.every", 7),
        (("log.every=7",), "log.every", 7),
        (("fabric.timeout_seconds=5",), "fabric.timeout_seconds", 5),
        (("fabric.threads_per_rank=2",), "fabric.threads_per_rank", 2),
        (("video.every=99",), "video.every", 99),
        (("capture_video=true",), "capture_video", True),
    ],
)
def test_what_may_differ_is_taken_from_the_command_line(words, key, value, tmp_path):
    node = merged(config_of(), config_of(*words), {key}, tmp_path)
    for name in key.split("."):
        node = getattr(node, name)
    assert node == value


@pytest.mark.parametrize("word", ["seed=4", "env.num_envs=4", "algo.gamma=0.5", "algo=a2c", "fabric.devices=2"])
def test_what_alters_the_experiment_is_refused_with_what_the_run_has(word, tmp_path):
    key, _, value = word.partition("=")
    wanted = composed(*(one for one in STORED if not one.startswith(f"{key}=")), word)
    for keys in (None, {key}):
        with pytest.raises(ConfigError, match=rf"cannot be resumed with another experiment: .*{key}={value}"):
            merged(config_of(), wanted, keys, tmp_path)


def test_keys_that_were_not_typed_do_not_count_where_a_run_is_named(tmp_path):
    assert merged(config_of(), config_of("algo.gamma=0.5"), {"total_timesteps"}, tmp_path) == config_of()


def test_a_run_does_not_get_shorter(tmp_path):
    shorter = replace(config_of(), total_timesteps=512)
    with pytest.raises(
        ConfigError, match="total_timesteps=512 is less than the run's 1024; on resume it can only grow"
    ):
        merged(config_of(), shorter, {"total_timesteps"}, tmp_path)
    assert merged(config_of(), shorter, {"eval.episodes"}, tmp_path).total_timesteps == 1024


def test_settings_of_a_resumption_are_not_those_of_the_run(tmp_path):
    wanted = replace(config_of(), resume="auto")
    assert merged(config_of(), wanted, None, tmp_path).resume is None


# From a real checkpoint


@pytest.fixture
def run_dir(tmp_path, tmp_path_factory):
    source = recorded_run(tmp_path_factory) / "RUN" / "checkpoints"
    (tmp_path / "RUN" / "checkpoints").mkdir(parents=True)
    for path in source.iterdir():
        (tmp_path / "RUN" / "checkpoints" / path.name).write_bytes(path.read_bytes())
    return tmp_path / "RUN"


def asked(run_dir, *overrides):
    config = load(run_dir / "checkpoints" / "last.safetensors").config
    return replace(composed(f"total_timesteps={config['total_timesteps']}", *overrides), resume=str(run_dir))


def test_a_run_resumes_from_its_last_checkpoint(run_dir):
    found = resumed(asked(run_dir), [f"resume={run_dir}"], run_dir)
    assert found.point.checkpoint.name == "last.safetensors"
    assert (found.point.updates, found.point.env_steps) == (8, 512)
    assert found.point.seconds > 0
    assert not found.completed  # there is no summary that says so
    (run_dir / "summary.json").write_text('{"state": "completed"}')
    assert resumed(asked(run_dir), [f"resume={run_dir}"], run_dir).completed
    longer = asked(run_dir, "total_timesteps=1024")
    assert not resumed(longer, ["total_timesteps=1024"], run_dir).completed


def test_a_run_without_a_checkpoint_or_a_wish_to_resume_begins(run_dir, tmp_path):
    assert resumed(asked(run_dir), [], tmp_path / "other") is None
    assert resumed(replace(asked(run_dir), resume=None), [], run_dir) is None
    assert resumed(replace(asked(run_dir), resume="auto"), [], tmp_path / "other") is None


def test_a_named_checkpoint_becomes_the_last_one_and_later_ones_are_set_aside(run_dir):
    folder = run_dir / "checkpoints"
    middle = sorted(folder.glob("step-*.safetensors"))[-1]
    state, before = load(middle), checkpoint_times(run_dir)
    wanted = replace(asked(run_dir), resume=str(middle))
    found = resumed(wanted, [f"resume={middle}"], run_dir)
    assert (found.point.checkpoint, found.point.env_steps) == (middle, state.env_steps)
    (folder / "last.safetensors.tmp").touch()
    make_last(found.point, run_dir)
    assert load(folder / "last.safetensors").env_steps == state.env_steps
    assert load(run_dir / "checkpoints-1" / "last.safetensors").env_steps == 512
    assert not (folder / "last.safetensors.tmp").exists()
    assert (folder / "best.safetensors").is_file()
    assert checkpoint_times(run_dir) != before


def test_the_last_checkpoint_stays_where_it_is(run_dir):
    last = run_dir / "checkpoints" / "last.safetensors"
    before = checkpoint_times(run_dir)
    make_last(ResumePoint(last, 8, 512, 1.0), run_dir)
    assert checkpoint_times(run_dir) == before
    assert not (run_dir / "checkpoints-1").exists()


def test_a_checkpoint_of_other_versions_is_resumed_with_a_warning(run_dir, capsys):
    last = run_dir / "checkpoints" / "last.safetensors"
    state = load(last)
    sealed(last, replace(state, versions={**state.versions, "torch": "1.0"}))
    resumed(asked(run_dir), [f"resume={run_dir}"], run_dir)
    assert "(was 1.0): the run continues, but will not equal one without interruption" in capsys.readouterr().err


# Files that are cut back


def test_metrics_are_cut_to_so_many_rows(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text("env_steps,a\n16,1\n32,2\n48,3\n")
    cut_metrics(path, 2)
    assert path.read_text() == "env_steps,a\n16,1\n32,2\n"
    cut_metrics(path, 0)
    assert path.read_text() == "env_steps,a\n"
    with pytest.raises(ConfigError, match="has 0 rows, but the checkpoint was written after 1; was it edited"):
        cut_metrics(path, 1)


def test_a_row_that_was_not_written_whole_does_not_count(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text("env_steps,a\n16,1\n32,")
    with pytest.raises(ConfigError, match="has 2 rows, but the checkpoint was written after 2"):
        cut_metrics(path, 2)


@pytest.mark.parametrize(
    ("env_steps", "evaluated", "kept"),
    [(16, False, 0), (16, True, 1), (20, False, 1), (32, True, 2), (32, False, 1), (48, True, 3), (99, True, 4)],
)
def test_evaluations_after_a_checkpoint_are_cut_off(tmp_path, env_steps, evaluated, kept):
    """After training the weights of the last step are evaluated once more: the second row of 48 steps."""
    path = tmp_path / "evaluations.csv"
    rows = ["env_steps,b\n", "16,1\n", "32,2\n", "48,3\n", "48,4\n"]
    path.write_text("".join(rows))
    assert cut_evaluations(path, env_steps, evaluated)
    assert path.read_text() == "".join(rows[: kept + 1])


@pytest.mark.parametrize("broken", ["32,2", "x,2\n"], ids=["not written whole", "no step"])
def test_an_evaluation_that_was_not_written_whole_is_cut_off_with_all_that_follows(tmp_path, broken):
    path = tmp_path / "evaluations.csv"
    path.write_text(f"env_steps,b\n16,1\n{broken}")
    assert cut_evaluations(path, 64, False)
    assert path.read_text() == "env_steps,b\n16,1\n"


def test_a_file_without_its_first_line_is_begun_anew(tmp_path):
    (tmp_path / "evaluations.csv").write_text("env_st")
    assert not cut_evaluations(tmp_path / "evaluations.csv", 16, False)
    assert not cut_evaluations(tmp_path / "missing.csv", 16, False)


def test_folders_of_an_earlier_run_are_set_aside_under_the_first_free_name(tmp_path):
    folder = tmp_path / "videos"
    set_aside(folder)
    folder.mkdir()
    set_aside(folder)  # it is empty
    assert folder.is_dir()
    (folder / "a").touch()
    (tmp_path / "videos-1").mkdir()
    assert free_name(folder).name == "videos-2"
    set_aside(folder)
    assert (tmp_path / "videos-2" / "a").is_file()
    assert not folder.exists()


def test_the_evaluation_at_a_checkpoint_stays_once_in_whichever_file_it_is(tmp_path):
    """Each start of a run has an event file of its own; a kill may come after the evaluation that ends training."""
    for number, tags in enumerate((("Loss/policy_loss", "Test/cumulative_reward"), ("Test/cumulative_reward",))):
        with SummaryWriter(tmp_path, filename_suffix=f".{number}.rlexp") as writer:
            for tag in tags:
                writer.add_scalar(tag, 1.0, 100)
    cut_events(tmp_path, 100, evaluated=True)
    files = sorted(tmp_path.glob("events.out.tfevents.*.rlexp"))
    events = [list(EventFileLoader(str(path)).Load()) for path in files]
    found = [[value.tag for event in each for value in event.summary.value] for each in events]
    assert sorted(found) == [[], ["Loss/policy_loss", "Test/cumulative_reward"]]
