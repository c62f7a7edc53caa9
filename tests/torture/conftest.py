"""What `make torture` did is written into docs/reliability.md, a row for each kind of test that ran."""

import os
import re
import time
from pathlib import Path

import pytest

PAGE = Path(__file__).parent.parent.parent / "docs" / "reliability.md"
BLOCK = re.compile(r"(<!-- torture -->\n).*?(\n<!-- end -->)", re.DOTALL)
HEAD = "| what | result | when |\n|---|---|---|"


@pytest.fixture(scope="session")
def rows():
    """Return where results go, by what was done; written into the page at the end, and the page's other rows stay."""
    found: dict[str, str] = {}
    yield found
    if found and "PYTEST_XDIST_WORKER" not in os.environ:  # each worker knows only of its own
        text = PAGE.read_text()
        block = BLOCK.search(text)
        assert block is not None
        cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in block[0].splitlines() if "|" in line]
        kept = {row[0]: row[1:] for row in cells[2:]}
        when = f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores"
        kept |= {name: [result, when] for name, result in found.items()}
        lines = "\n".join(f"| {' | '.join([name, *rest])} |" for name, rest in kept.items())
        PAGE.write_text(BLOCK.sub(lambda match: f"{match[1]}{HEAD}\n{lines}{match[2]}", text))


@pytest.fixture
def tell(rows, request):
    """Return a function that notes a result, where the test is of `make torture` and not its small part."""

    def note(name: str, result: str) -> None:
        if request.node.get_closest_marker("torture"):
            rows[name] = result

    return note
