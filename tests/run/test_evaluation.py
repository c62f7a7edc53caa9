"""The evaluation command: a checkpoint played again."""

import json
import shutil

import pytest

from rlexp.config.schema import EVAL_SEED_START
from rlexp.errors import ConfigError
from rlexp.evaluate import main, parse
from rlexp.run.evaluation import evaluation_seeds
from tests.commands import command, error_line, evaluate, recorded_run, summary, video


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    """A copy of the filmed run, to which evaluations add files."""
    copy = tmp_path_factory.mktemp("evaluated") / "RUN"
    shutil.copytree(recorded_run(tmp_path_factory) / "RUN", copy)
    return copy


@pytest.fixture(scope="module")
def last(run_dir):
    return run_dir / "checkpoints" / "last.safetensors"


def played(*arguments):
    """Return what the command prints, without starting a process."""
    return main(parse(arguments))


def test_the_command_gives_the_numbers_of_the_run_and_writes_them_beside_the_checkpoint(run_dir, last):
    printed = evaluate("checkpoint=checkpoints/last.safetensors", "episodes=3", "stream=final", cwd=run_dir)
    expected = summary(run_dir)["eval"]
    assert {key: printed[key] for key in expected} == expected
    assert json.loads(last.with_name("last.eval.json").read_text()) == printed
    assert (printed["env_id"], printed["env_steps"], printed["seed"]) == ("CartPole-v1", 512, 42)
    assert (printed["deterministic"], printed["video"]) == (True, None)


def test_more_episodes_begin_with_the_same_ones_and_the_normaliser_stays_as_it_is(last):
    three = played(f"checkpoint={last}", "episodes=3")
    many = played(f"checkpoint={last}", "episodes=20")
    assert many["episodes"] == len(many["returns"]) == 20
    assert many["returns"][:3] == three["returns"]
    assert played(f"checkpoint={last}", "episodes=20") == many


def test_ten_episodes_are_played_unless_told_otherwise(last):
    assert played(f"checkpoint={last}")["episodes"] == 10


def test_sampled_actions_differ_from_greedy_ones_and_repeat_with_the_seed(last):
    greedy = played(f"checkpoint={last}")
    sampled = played(f"checkpoint={last}", "deterministic=false")
    assert sampled["deterministic"] is False
    assert sampled["returns"] != greedy["returns"]
    assert played(f"checkpoint={last}", "deterministic=false") == sampled


def test_another_seed_plays_other_episodes(last):
    other = played(f"checkpoint={last}", "seed=7")
    assert other["seed"] == 7
    assert other["returns"] != played(f"checkpoint={last}", "seed=null")["returns"]


def test_best_checkpoint_has_a_file_of_its_own(last):
    played(f"checkpoint={last.with_name('best.safetensors')}", "episodes=1")
    assert json.loads(last.with_name("best.eval.json").read_text())["episodes"] == 1


def test_the_first_episode_is_recorded_and_the_video_of_the_run_stays(run_dir, last):
    (before,) = (run_dir / "videos" / "test").glob("*.mp4")
    content = before.read_bytes()
    printed = played(f"checkpoint={last}", "episodes=2", "seed=5", "capture_video=true")
    frames = video(printed["video"])
    assert abs(len(frames) - printed["returns"][0]) <= 2
    assert frames[0].max() > 100
    assert before.read_bytes() == content


def test_a_checkpoint_that_lies_alone_is_evaluated_too(last, tmp_path):
    shutil.copy(last, tmp_path / "mine.safetensors")
    played(f"checkpoint={tmp_path / 'mine.safetensors'}", "episodes=1")
    assert (tmp_path / "mine.eval.json").is_file()


def test_seeds_of_evaluation_lie_separately_from_those_of_training_and_fit_into_32_bits():
    for seed in (0, 42, EVAL_SEED_START - 1):
        seeds = evaluation_seeds(seed, 1000)
        assert len(set(seeds)) == 1000
        assert all(EVAL_SEED_START <= value < 2**32 for value in seeds)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "checkpoint has no value; give it as checkpoint=PATH"),
        (["checkpoint"], "cannot read the override 'checkpoint': write checkpoint=VALUE"),
        (["checkpoint=x", "episode=3"], "unknown key 'episode'; allowed: checkpoint, episodes, deterministic"),
        (["checkpoint=x", "episodes=0"], "episodes=0 is out of range; allowed: 1 <= value"),
        (["checkpoint=x", "episodes=many"], "episodes=many is not allowed; its type is int"),
        (["checkpoint=x", "episodes=[1"], r"episodes=\[1 is not allowed; its type is int"),
        (["checkpoint=x", "episodes=null"], "episodes=null is not allowed"),
        (["checkpoint=x", "deterministic=perhaps"], "deterministic=perhaps is not allowed; its type is bool"),
        (["checkpoint=x", "seed=-1"], "seed=-1 is out of range"),
        (["checkpoint=none.safetensors"], "checkpoint=none.safetensors is not a file"),
        (["checkpoint=a=b"], "checkpoint=a=b is not a file"),
        (["checkpoint=/"], "checkpoint=/ is not a file"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ConfigError, match=message) as caught:
        played(*arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["checkpoint=none.safetensors"], "is not a file"),
        (["checkpoint=random.safetensors"], "is damaged or no checkpoint"),
    ],
)
def test_the_command_says_in_one_line_what_is_wrong(arguments, message, tmp_path):
    (tmp_path / "random.safetensors").write_bytes(b"\x80\x04" + bytes(range(256)))
    done = command(*arguments, cwd=tmp_path, module="rlexp.evaluate")
    assert message in error_line(done)
    assert done.stdout == ""


def test_a_result_that_cannot_be_written_is_one_line(last, tmp_path):
    shutil.copy(last, tmp_path / "mine.safetensors")
    (tmp_path / "mine.eval.json").mkdir()
    line = error_line(command("checkpoint=mine.safetensors", "episodes=1", cwd=tmp_path, module="rlexp.evaluate"))
    assert "mine.eval.json" in line
