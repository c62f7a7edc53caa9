"""Searches by the real command: pruned, killed and continued, with several seeds, in parallel, with failed trials."""

import csv
import os
import subprocess
import sys
import time

import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser

from rlexp.command.arguments import read
from rlexp.errors import ConfigError
from rlexp.search.result import write_preset
from rlexp.search.runner import Runner
from rlexp.search.settings import SearchSettings
from rlexp.search.space import space_of
from rlexp.search.study import Search

pytest.importorskip("optuna", reason='needs rlexp[search]: pip install "rlexp[search]"')
SMALL = (
    "-m", "hydra/sweeper=optuna", "env=cartpole", "fabric.threads_per_rank=1", "algo.num_steps=32", "env.num_envs=2",
    "algo.per_rank_batch_size=32", "algo.update_epochs=2", "total_timesteps=512", "eval.episodes=2", "eval.every=128",
    "algo.hidden_sizes=[16]", "logger=csv", "compile=false",
)  # fmt: skip
RATES = "algo.learning_rate=tag(log,interval(1e-4,1e-1))"


def start(cwd, *words):
    command = [sys.executable, "-m", "rlexp.main", *SMALL, *words, "hydra.sweep.dir=sweep"]
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    return subprocess.Popen(
        command, cwd=cwd, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def searched(cwd, *words):
    process = start(cwd, *words)
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def jobs(cwd):
    with (cwd / "sweep" / "sweep.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def trials(cwd):
    import optuna

    from rlexp.learn.search import opened

    return optuna.load_study(study_name="rlexp", storage=opened(f"journal:{cwd / 'sweep' / 'search.journal'}")).trials


def test_a_search_prunes_what_is_worse_and_writes_the_best_as_a_preset(tmp_path):
    words = ("hydra.sweeper.trials=8", "+hydra.sweeper.pruner_options.n_startup_trials=2", RATES)
    code, out, err = searched(tmp_path, *words)
    assert (code, err) == (0, "")
    found = trials(tmp_path)
    states = [trial.state.name for trial in found]
    assert len(states) == 8
    assert {"COMPLETE", "PRUNED"} == set(states)
    assert f"search: {states.count('COMPLETE')} completed, {states.count('PRUNED')} pruned of 8 trials" in out
    for trial, job in zip(found, jobs(tmp_path), strict=True):
        assert int(job["job"]) == trial.number
        assert float(job["algo.learning_rate"]) == pytest.approx(trial.params["algo.learning_rate"], rel=1e-3)
        assert (trial.state.name == "PRUNED") == (int(job["env_steps"]) < 512) == job["error"].startswith("pruned:")
        assert set(trial.intermediate_values) <= {128, 256, 384}
        if trial.state.name == "COMPLETE":
            assert trial.value == float(job["return"])
    best = max((trial for trial in found if trial.value is not None), key=lambda trial: trial.value)
    preset = yaml.safe_load((tmp_path / "sweep" / "best.yaml").read_text())
    assert preset["defaults"] == [{"override /env": "cartpole"}, {"override /logger": "csv"}]
    assert preset["algo"]["learning_rate"] == pytest.approx(best.params["algo.learning_rate"], rel=1e-3)
    assert preset["algo"]["hidden_sizes"] == [16]
    assert "eval" not in preset


@pytest.mark.slow
def test_a_search_that_is_killed_continues_with_the_trial_that_was_under_way(tmp_path):
    words = (
        "hydra.sweeper.trials=4",
        "hydra.sweeper.pruner=none",
        "total_timesteps=20000",
        "checkpoint.every=1000",
        RATES,
    )
    process = start(tmp_path, *words)
    deadline = time.monotonic() + 200
    while len(list((tmp_path / "sweep").glob("1-*/checkpoints/last.safetensors"))) == 0:
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)
    process.kill()
    process.communicate(timeout=60)
    before = trials(tmp_path)
    assert [trial.state.name for trial in before] == ["COMPLETE", "RUNNING"]
    time.sleep(3)  # until ranks that have lost their parent have ended
    code, out, err = searched(tmp_path, *words, "sweep.skip_completed=true")
    assert (code, err) == (0, "")
    after = trials(tmp_path)
    assert [trial.state.name for trial in after] == ["COMPLETE"] * 4
    assert after[1].params == before[1].params
    assert after[0].value == before[0].value
    assert "resumed after" in out
    assert [int(job["job"]) for job in jobs(tmp_path)] == [0, 1, 2, 3]


@pytest.mark.slow
def test_each_trial_may_have_several_seeds_and_only_the_promising_get_all(tmp_path):
    words = ("hydra.sweeper.trials=5", "hydra.sweeper.pruner=none", "hydra.sweeper.promising=0.4", "seed=1,2", RATES)
    code, out, err = searched(tmp_path, *words)
    assert (code, err) == (0, "")
    returns = {}
    for job in jobs(tmp_path):
        returns.setdefault(job["algo.learning_rate"], []).append(float(job["return"]))
    found = trials(tmp_path)
    assert {len(trial.user_attrs["scores"]) for trial in found} == {1, 2}
    for trial, own in zip(found, returns.values(), strict=True):
        assert trial.user_attrs["scores"] == own
        assert trial.state.name == ("COMPLETE" if len(own) == 2 else "PRUNED")
    assert "(2 seeds)" in out


@pytest.mark.slow
def test_trials_run_at_once_with_joblib_and_those_that_fail_are_left_out(tmp_path):
    words = (
        "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "hydra.sweeper.trials=4", "hydra.sweeper.pruner=none",
        "hydra.sweeper.sampler=random", "algo.per_rank_batch_size=choice(32,1000)",
    )  # fmt: skip
    code, out, err = searched(tmp_path, *words)
    states = [trial.state.name for trial in trials(tmp_path)]
    failed = [trial.params["algo.per_rank_batch_size"] == "1000" for trial in trials(tmp_path)]
    assert [state == "FAIL" for state in states] == failed
    assert code == (1 if any(failed) else 0)
    assert f"{failed.count(False)} completed" in out
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "nothing is searched; give a space, such as search=ppo"),
        (["algo.lerning_rate=interval(0.1,1)"], "unknown key algo.lerning_rate; did you mean algo.learning_rate?"),
    ],
)
def test_a_search_that_cannot_run_is_refused_in_one_line_before_the_first_trial(words, said, tmp_path):
    code, _, err = searched(tmp_path, *words)
    assert code == 1
    assert len(err.splitlines()) == 1, err
    assert said in err
    assert not list(tmp_path.glob("sweep/*/summary.json"))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"trials": 0}, "hydra.sweeper.trials=0 is out of range; allowed: from 1 on"),
        ({"sampler": "bayes"}, "hydra.sweeper.sampler=bayes is not a choice; allowed: tpe, random"),
        ({"sampler_options": {"n": 1}}, "hydra.sweeper.sampler_options={'n': 1}: "),
        ({"pruner": "asha"}, "hydra.sweeper.pruner=asha is not a choice; allowed: median"),
        ({"pruner_options": {"n": 1}}, "hydra.sweeper.pruner_options={'n': 1}: "),
        ({"promising": 0.0}, "hydra.sweeper.promising=0.0 is out of range"),
        ({"storage": "nosql://x"}, "hydra.sweeper.storage=nosql://x cannot be opened"),
    ],
)
def test_a_wrong_setting_is_one_line(settings, said, tmp_path):
    with pytest.raises(ConfigError) as caught:
        Search(SearchSettings(**{"trials": 3, **settings}), tmp_path)
    assert said in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_search_without_multirun_is_refused():
    for words in (["search=ppo"], ["hydra/sweeper=optuna", "env=cartpole"]):
        with pytest.raises(ConfigError, match="is for several runs; add --multirun"):
            read(words)
        assert read(["-m", *words]) == ["-m", *words]


def test_a_study_may_lie_in_sqlite(tmp_path):
    from optuna.distributions import FloatDistribution

    settings = SearchSettings(trials=3, storage=f"sqlite:///{tmp_path / 'search.db'}")
    made = Search(settings, tmp_path)
    (trial,) = made.ask(1, {"algo.gamma": FloatDistribution(0.9, 0.99)})
    made.tell(trial, [1.0, 3.0], 2)
    again = Search(settings, tmp_path)
    assert again.left() == 2
    assert again.best().value == 2.0


class Jobs:
    """Stands in for a launcher: scores by the words of each job."""

    def __init__(self, score):
        self.score, self.words = score, []

    def __call__(self, batch, first):
        self.words += batch
        return [self.score(dict(word.lstrip("+").split("=", 1) for word in words)) for words in batch]


def run_search(folder, words, score, **settings):
    """Run a search in this process; return it and the words of its jobs."""
    space = space_of(OverridesParser.create().parse_overrides(words))
    made, jobs = Search(SearchSettings(**settings), folder), Jobs(score)
    made.claim(space.distributions, space.fixed)
    Runner(made, space, jobs, 2, 0, frozenset(), lambda: False).run()
    return made, jobs.words


LONG = [f"algo.{name}=interval(0.1,0.9)" for name in ("learning_rate", "gamma", "gae_lambda", "ent_coef", "clip_coef")]


def test_each_job_has_a_directory_of_its_own_however_many_settings_there_are(tmp_path):
    _, words = run_search(
        tmp_path, [*LONG, *(f"algo.k{n}=1,2" for n in range(4)), "seed=1,2"], lambda job: 1.0, trials=3
    )
    directories = [word for job in words for word in job if word.startswith("hydra.sweep.subdir=")]
    assert len(directories) == len(set(directories)) == 6


def test_the_best_trial_was_run_with_all_seeds(tmp_path):
    values = iter([100.0, 95.0, 20.0, 30.0])
    made, _ = run_search(tmp_path, ["algo.gamma=interval(0.1,0.9)", "seed=1,2,3"], lambda job: next(values), trials=2,
                         promising=0.4, pruner="none")  # fmt: skip
    assert [trial.state.name for trial in made.study.trials] == ["COMPLETE", "PRUNED"]
    assert made.best().user_attrs["scores"] == [100.0, 20.0, 30.0]
    assert made.best().value == 50.0


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_a_search_that_continues_tries_other_settings(sampler, tmp_path):
    words, score = ["algo.gamma=interval(0.1,0.9)"], lambda job: float(job["algo.gamma"])
    run_search(tmp_path, words, score, trials=3, sampler=sampler)
    made, jobs = run_search(tmp_path, words, score, trials=6, sampler=sampler)
    tried = [trial.params["algo.gamma"] for trial in made.study.trials]
    assert len(jobs) == 3
    assert len(set(tried)) == 6
    assert made.best().value == max(tried)


def test_a_study_of_another_search_is_refused_and_its_trials_are_left_alone(tmp_path):
    storage = f"sqlite:///{tmp_path / 'search.db'}"
    made, _ = run_search(tmp_path, ["algo.gamma=interval(0.1,0.9)"], lambda job: 1.0, trials=1, storage=storage)
    made.ask(1, space_of(OverridesParser.create().parse_overrides(["algo.gamma=interval(0.1,0.9)"])).distributions)
    for words in (["algo.tau=interval(0.1,0.9)"], ["algo.gamma=interval(0.1,0.9)", "env=pendulum"]):
        with pytest.raises(ConfigError, match="is of another search"):
            run_search(tmp_path, words, lambda job: 1.0, trials=2, storage=storage)
    other = Search(SearchSettings(trials=5, storage=storage), tmp_path / "elsewhere")
    assert (len(made.unfinished()), len(other.unfinished())) == (1, 0)


def test_the_preset_holds_values_as_hydra_reads_them(tmp_path):
    words = ["experiment=cartpole", "logger=[csv,wandb]", "env.kwargs={gravity:9.8}", "algo.learning_rate=1e-05",
             "~env.wrappers", "algo.hidden_sizes=choice([8,8],[8,8])", "seed=1"]  # fmt: skip
    made, _ = run_search(tmp_path, words, lambda job: 1.0, trials=1)
    path = tmp_path / "best.yaml"
    fixed = space_of(OverridesParser.create().parse_overrides(words)).fixed
    write_preset(path, made.best(), fixed, ("experiment", "logger"), 1)
    assert yaml.safe_load(path.read_text()) == {
        "defaults": ["cartpole", {"override /logger": ["csv", "wandb"]}],
        "env": {"kwargs": {"gravity": 9.8}},
        "algo": {"learning_rate": 1e-05, "hidden_sizes": [8, 8]},
    }
