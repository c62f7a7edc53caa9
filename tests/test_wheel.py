"""The wheel: what is built from the repository runs from any folder."""

import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from tests.commands import TINY, environment, summary

ROOT = Path(__file__).parent.parent


def run(*words, cwd):
    done = subprocess.run(
        [str(word) for word in words], cwd=cwd, env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """The Python of an environment that holds the wheel, and sees all other packages of this one but rlexp."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--outdir", folder / "dist", ROOT, cwd=folder)
    (wheel,) = (folder / "dist").glob("rlexp-*.whl")
    venv.create(folder / "venv", with_pip=False)
    python = folder / "venv" / "bin" / "python"
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip())
    (site / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    run(
        sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--ignore-installed", wheel, cwd=folder
    )
    return python


def test_an_installed_wheel_brings_conf_and_runs_from_any_folder(python, tmp_path):
    where = run(python, "-c", "from rlexp.config.places import conf_dir; print(conf_dir())", cwd=tmp_path).strip()
    assert Path(where).is_relative_to(python.parent.parent)
    assert sorted(path.relative_to(where) for path in Path(where).rglob("*.yaml")) == sorted(
        path.relative_to(ROOT / "conf") for path in (ROOT / "conf").rglob("*.yaml")
    )
    run(python, "-m", "rlexp.main", *TINY, "experiment=cartpole", "hydra.run.dir=RUN", cwd=tmp_path)
    assert summary(tmp_path / "RUN")["state"] == "completed"
    printed = run(python.with_name("rlexp-evaluate"), "checkpoint=RUN/checkpoints/last.safetensors", cwd=tmp_path)
    assert '"episodes": 10' in printed
    run(python.with_name("rlexp-report"), "RUN", cwd=tmp_path)
    assert "<h2>Learning curves</h2>" in (tmp_path / "RUN" / "report.html").read_text()


def test_the_console_script_prints_help(python, tmp_path):
    assert "usage: " in run(python.with_name("rlexp"), "--help", cwd=tmp_path)
