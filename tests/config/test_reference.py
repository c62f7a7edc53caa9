"""docs/reference.md says what the code says."""

from pathlib import Path

from rlexp.config.reference import SCALARS, page
from rlexp.files.rewind import OUTCOME
from rlexp.run.recorder import COLUMNS


def test_the_page_is_up_to_date():
    written = Path(__file__).parent.parent.parent / "docs" / "reference.md"
    assert written.read_text() == page(), "run `make reference`"


def test_every_scalar_has_a_meaning():
    assert tuple(SCALARS) == (*COLUMNS, "Test/cumulative_reward", *OUTCOME)
