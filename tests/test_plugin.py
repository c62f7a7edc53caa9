"""examples/plugin as users have it: an installed package that rlexp finds by its entry point; and the code in docs."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands import command, evaluate, metrics, once, summary, train

ROOT = Path(__file__).parent.parent
PLUGIN = ROOT / "examples" / "plugin"
SHORT = ("total_timesteps=2048", "eval.episodes=2", "fabric.threads_per_rank=1")


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Return a folder with the installed package, to be put on Python's path."""

    def make(folder):
        source = shutil.copytree(PLUGIN, folder / "source")
        (folder / "dist").mkdir()
        words = [sys.executable, "-m", "pip", "install", "--no-deps", "--quiet", "--target", folder / "site", source]
        done = subprocess.run(words, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr

    return once(tmp_path_factory, "plugin", make) / "site"


def test_an_installed_plugin_is_found_and_all_that_it_brings_runs(installed, tmp_path):
    text = command("--help", cwd=tmp_path, modules=installed).stdout
    assert "reinforce" in text and "two_layers" in text and "corridor" in text
    words = ("experiment=corridor", "model=two_layers", *SHORT, "hydra.run.dir=RUN", "checkpoint.every=1024")
    train(*words, cwd=tmp_path, modules=installed)
    done = summary(tmp_path / "RUN")
    assert (done["algo"], done["env_id"]) == ("reinforce", "Corridor-v0")
    assert "plugins" not in done  # nothing that would have to be named again
    last = metrics(tmp_path / "RUN")[-1]
    assert 0 < float(last["Custom/success_rate"]) <= 1
    assert float(last["Rewards/shaped_avg"]) < float(last["Rewards/rew_avg"])
    train("resume=RUN", "total_timesteps=4096", cwd=tmp_path, modules=installed)
    assert summary(tmp_path / "RUN")["env_steps"] == 4096


@pytest.mark.slow
def test_a_module_in_the_current_folder_is_a_plugin_that_a_checkpoint_may_not_bring(tmp_path):
    shutil.copytree(PLUGIN / "rlexp_example_plugin", tmp_path / "rlexp_example_plugin")
    words = ("plugins=[rlexp_example_plugin]", "experiment=corridor", *SHORT, "hydra.run.dir=RUN")
    train(*words, cwd=tmp_path)
    checkpoint = "checkpoint=RUN/checkpoints/last.safetensors"
    refused = command(checkpoint, cwd=tmp_path, module="rlexp.evaluate")
    assert refused.returncode == 1 and "if a plugin brings it, add plugins=[MODULE]" in refused.stderr
    assert evaluate(checkpoint, "plugins=[rlexp_example_plugin]", "episodes=2", cwd=tmp_path)["episodes"] == 2


def blocks(page):
    return re.findall(r"```python\n(.*?)```", (ROOT / "docs" / page).read_text(), re.S)


def test_the_code_of_the_page_runs_as_written(tmp_path):
    wrapper, network, callback, logger, _ = blocks("own-code.md")
    modules = {"my_module": wrapper, "net": network, "longest": callback, "rows": logger}
    for name, code in modules.items():
        (tmp_path / f"{name}.py").write_text(code)
    own = ("model=custom", "model.path=net:Net", "+model.kwargs.width=32")
    callbacks = "callbacks=[longest:Longest, {callback: early_stop, patience: 50000}]"
    wrappers = "env.wrappers=[my_module:MyWrapper, {wrapper: time_limit, max_episode_steps: 100}]"
    logger = "logger.own=[{logger: rows:Rows, name: returns.txt}]"
    train(*own, callbacks, wrappers, logger, *SHORT, "hydra.run.dir=RUN", cwd=tmp_path)
    assert float(metrics(tmp_path / "RUN")[-1]["Custom/longest"]) >= 10
    assert summary(tmp_path / "RUN")["plugins"] == sorted(modules)
    assert len((tmp_path / "RUN" / "returns.txt").read_text().splitlines()) >= 2


@pytest.mark.slow
def test_the_script_of_the_page_runs_as_written(tmp_path):
    (script,) = blocks("python.md")
    (tmp_path / "script.py").write_text(script)
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("outputs/runs/") >= 3


def test_an_installed_plugin_that_is_broken_is_said_once_and_does_not_stop_a_run(tmp_path):
    site = tmp_path / "site"
    (site / "broken_plugin-1.0.dist-info").mkdir(parents=True)
    (site / "broken_plugin.py").write_text("raise ValueError('not today')\n")
    (site / "broken_plugin-1.0.dist-info" / "METADATA").write_text("Name: broken-plugin\nVersion: 1.0\n")
    (site / "broken_plugin-1.0.dist-info" / "entry_points.txt").write_text("[rlexp.plugins]\nb = broken_plugin\n")
    done = train("fabric.devices=2", *SHORT, "hydra.run.dir=RUN", cwd=tmp_path, modules=site)
    line = "warning: the plugin b (broken_plugin) is left out: ValueError: not today"
    assert done.stderr.splitlines() == [line]
