"""The worked example of docs/architecture.md works as it is written."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands import environment, metrics, summary

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "architecture.md").read_text()


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """Return a copy of the package with the algorithm of the page, made from its blocks of code alone."""
    tree = tmp_path_factory.mktemp("tree")
    for name in ("rlexp", "conf"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    example = PAGE.partition("## A worked example")[2]
    code, yaml, registration = re.findall(r"```(?:python|yaml)\n(.*?)```", example, re.DOTALL)
    (tree / "rlexp" / "algos" / "reinforce.py").write_text(code)
    (tree / "conf" / "algo" / "reinforce.yaml").write_text(yaml)
    with (tree / "rlexp" / "algos" / "__init__.py").open("a") as file:
        file.write(f"\n{registration}")
    return tree


def run(tree, *words):
    variables = environment() | {"PYTHONPATH": str(tree)}
    done = subprocess.run(
        [sys.executable, "-m", "rlexp.main", *words],
        cwd=tree,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_algorithm_learns_with_the_command_of_the_page(tree):
    command = next(line for line in re.findall(r"`(python -m rlexp.main [^`]*)`", PAGE) if "reinforce" in line)
    run(tree, *command.split()[3:], "hydra.run.dir=RUN")
    found = summary(tree / "RUN")
    assert (found["state"], found["algo"]) == ("completed", "reinforce")
    assert found["objective"] > 100  # an untrained policy of CartPole returns about 20
    assert {"Loss/policy_loss", "Loss/baseline_loss"} <= metrics(tree / "RUN")[0].keys()
    assert "Loss/clip_fraction" not in metrics(tree / "RUN")[0]


@pytest.mark.slow
def test_it_runs_in_the_other_topology_and_stands_in_the_help(tree):
    words = (
        "algo=reinforce",
        "topology=decoupled",
        "fabric.devices=3",
        "topology.overlap=true",
        "total_timesteps=2048",
    )
    run(tree, *words, "eval.episodes=0", "hydra.run.dir=OTHER")
    assert summary(tree / "OTHER")["state"] == "completed"
    assert "reinforce" in run(tree, "--help")


def test_every_file_that_the_page_names_is_there():
    for name in re.findall(r"`((?:\w+/)+\w+\.py)`", PAGE):
        assert (ROOT / "rlexp" / name).is_file() or (ROOT / name).is_file() or "reinforce" in name, name
