"""`import rlexp`: what the commands do, from Python."""

import importlib
import subprocess
import sys

import numpy as np
import pytest

import rlexp
from rlexp.errors import ConfigError
from tests.commands import TINY, environment, metrics, summary


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("api")
    return rlexp.train([*TINY, "env.normalize_observations=true", f"hydra.run.dir={folder / 'RUN'}"])


def test_train_is_the_command(run):
    assert run.summary == summary(run.directory)
    assert run.summary["state"] == "completed" and run.objective == run.summary["eval"]["mean_return"]
    assert (run.directory / ".hydra" / "overrides.yaml").is_file()
    assert run.checkpoint.is_file() and run.best.is_file()
    assert [row["env_steps"] for row in run.metrics()] == [float(row["env_steps"]) for row in metrics(run.directory)]


def test_a_policy_acts_on_the_environments_own_observations_one_or_many(run):
    policy = rlexp.load(run.checkpoint)
    env = policy.make_env()
    returns, first = [], []
    for seed in range(3):
        observation, _ = env.reset(seed=seed)
        first.append(observation)
        state, total, over = None, 0.0, False
        while not over:
            action, state = policy.act(observation, state)
            observation, reward, terminated, truncated, _ = env.step(action)
            total, over = total + reward, terminated or truncated
        returns.append(total)
    assert min(returns) > 5
    assert policy.act(np.stack(first))[0].tolist() == [int(policy.act(one)[0]) for one in first]
    sampled = {int(policy.act(first[0], deterministic=False)[0]) for _ in range(50)}
    assert sampled == {0, 1}
    policy.seed(3)
    drawn = [int(policy.act(first[0], deterministic=False)[0]) for _ in range(20)]
    policy.seed(3)
    assert drawn == [int(policy.act(first[0], deterministic=False)[0]) for _ in range(20)]


def test_a_dict_observation_is_taken_one_or_many(tmp_path):
    words = ["env=gym", "env.id=tests.environments:Mixed-v0", "eval.episodes=0", f"hydra.run.dir={tmp_path / 'RUN'}"]
    done = rlexp.train([*TINY[:-1], *words])
    policy = rlexp.load(done.directory, env_id="tests.environments:Mixed-v0")
    env = policy.make_env()
    observation, _ = env.reset(seed=0)
    batch = {key: np.stack([value, value]) for key, value in observation.items()}
    one, many = policy.act(observation)[0], policy.act(batch)[0]
    assert np.array_equal(many[0], one) and np.array_equal(many[1], one)
    with pytest.raises(ConfigError, match="the observation has no"):
        policy.act({})


def test_evaluate_plays_the_same_episodes_as_the_run(run):
    policy = rlexp.load(run.directory)
    importlib.import_module("rlexp.evaluate")  # the command, of the same name
    assert rlexp.evaluate(policy, 3, stream="final").returns == run.summary["eval"]["returns"]
    with pytest.raises(ConfigError, match="allowed are episodes from 1 on"):
        rlexp.evaluate(policy, 0)


def test_runs_are_records_of_summaries_and_settings(run):
    (record,) = rlexp.runs(run.directory.parent)
    assert record["state"] == "completed" and record["algo.gamma"] == 0.99 and record["directory"] == run.directory


def test_a_config_can_be_changed_and_trained(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = rlexp.compose([*TINY, "env=pendulum", "env.wrappers=[{wrapper: time_limit, max_episode_steps: 20}]"])
    config.total_timesteps, config.algo.hidden_sizes, config.eval.episodes = 128, [8], 0
    done = rlexp.train(config)
    assert done.directory.is_relative_to(tmp_path / "outputs" / "runs")
    again = rlexp.compose(done.summary["overrides"])
    assert again == config


def test_mistakes_are_answered_as_by_the_command(tmp_path):
    for call, said in {
        lambda: rlexp.train(["lr=3"]): "lr=3: write algo.learning_rate=3",
        lambda: rlexp.compose(["algo.gamma=2"]): "algo.gamma=2.0 is out of range",
        lambda: rlexp.compose("env=cartpole"): "give a list of words, such as",
        lambda: rlexp.load(tmp_path / "nothing"): "is not a file",
    }.items():
        with pytest.raises(ConfigError) as error:
            call()
        assert said in str(error.value)
    with pytest.raises(AttributeError, match="it has: Callback"):
        rlexp.trian  # noqa: B018


@pytest.mark.parametrize("devices", [1, 2])
def test_a_script_needs_no_main_guard(devices, tmp_path):
    words = [*TINY, f"fabric.devices={devices}", "hydra.run.dir=RUN", "eval.episodes=0"]
    (tmp_path / "script.py").write_text(f"import rlexp\nprint(rlexp.train({words!r}).summary['state'])\n")
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "completed"


def test_the_import_waits_for_nothing_heavy():
    code = "import sys, rlexp; print(sorted({'torch', 'hydra', 'gymnasium', 'lightning'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]"
