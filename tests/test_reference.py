"""docs/reference.md says what the code says."""

from pathlib import Path

from rlexp.logger import COLUMNS
from rlexp.reference import SCALARS, page
from rlexp.rewind import OUTCOME


def test_the_page_is_up_to_date():
    written = Path(__file__).parent.parent / "docs" / "reference.md"
    assert written.read_text() == page(), "run `make reference`"


def test_every_scalar_has_a_meaning():
    assert tuple(SCALARS) == (*COLUMNS, "Test/cumulative_reward", *OUTCOME)
