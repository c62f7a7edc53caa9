"""The documentation: its links lead somewhere, its commands compose, and its pages are in the table of contents."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from rlexp.command.api import compose
from rlexp.command.arguments import read
from rlexp.command.sweep_jobs import values_of

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])
COMMAND = re.compile(r"python -m rlexp\.main ((?:[^\n`#|\\]|\\\n)+)")
PLACEHOLDER = re.compile(
    r"[A-Z]{3,}(?![a-z0-9-])|\.\.\.|<|\[\w+=|MyGame|corridor|mypackage|package\.module|torchrun|\{|=found|=reinforce"
    r"|--learning-rate"
)
"""Of commands with a part that the reader fills in, or that are there to be refused."""


def anchors(text):
    """Return the anchors of a page's headings, as GitHub makes them."""
    heads = re.findall(r"^#{1,6} (.+)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        assert path.exists(), f"{page.name}: {target}"
        if anchor and path.suffix == ".md":
            assert anchor in anchors(path.read_text()), f"{page.name}: {target}"


def commands():
    for page in PAGES:
        for words in COMMAND.findall(page.read_text()):
            line = " ".join(words.replace("\\\n", " ").split())
            if not PLACEHOLDER.search(line):
                yield pytest.param(line, id=f"{page.name}: {line}")


@pytest.mark.parametrize("line", sorted(set(commands()), key=str))
def test_commands_compose(line):
    """What the whole command checks before anything starts, except the environment itself."""
    words = shlex.split(line)
    if {"--help", "--version"} & set(words):
        return
    words = read(words)
    if {"-m", "--multirun"} & set(words):  # the first job
        first = {key: value.partition(",")[0] for key, value in values_of(words).items()}
        words = [f"{key}={value}" for key, value in first.items() if value and "/" not in key and "(" not in value]
    compose([word for word in words if not word.startswith(("resume=", "hydra", "search="))])


def test_every_page_is_in_the_table_of_contents():
    listed = set(re.findall(r"^([a-z-]+)$", (ROOT / "docs" / "index.md").read_text(), re.MULTILINE))
    pages = {page.stem for page in (ROOT / "docs").glob("*.md")} - {"index"}
    assert pages - listed == set()


@pytest.mark.slow
def test_the_notebook_runs(tmp_path):
    cells = json.loads((ROOT / "examples" / "notebook.ipynb").read_text())["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    script = tmp_path / "notebook.py"  # the last line of a cell is shown by a notebook
    script.write_text("\n".join([*code, "assert total == 500 or total > 50", "assert group.interval.low > 50"]))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
