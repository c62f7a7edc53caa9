"""docs/reference.md says what the code says."""

from pathlib import Path

from rlexp.algos import ALGORITHMS
from rlexp.config.reference import all_scalars, page
from rlexp.run.window import OpenWindow


def test_the_page_is_up_to_date():
    written = Path(__file__).parent.parent.parent / "docs" / "reference.md"
    assert written.read_text() == page(), "run `make reference`"


def test_every_column_of_every_algorithm_is_on_the_page():
    tags = {scalar.tag for scalar in all_scalars()}
    for algorithm in ALGORITHMS.values():
        assert set(OpenWindow(algorithm.all_scalars(), ()).columns) <= tags


def test_no_two_scalars_share_a_tag_or_go_without_a_meaning():
    scalars = all_scalars()
    assert len({scalar.tag for scalar in scalars}) == len(scalars)
    assert all(scalar.meaning.endswith(".") for scalar in scalars)


def test_only_algorithms_with_a_clip_range_report_a_clip_fraction():
    owners = [name for name, kind in ALGORITHMS.items() if "clip_fraction" in {one.name for one in kind.all_scalars()}]
    assert owners == ["ppo"]


def test_losses_and_gradient_norms_must_be_finite_and_nothing_else():
    """The approximate KL may overflow where the policy has moved far."""
    finite = {scalar.name for scalar in all_scalars() if scalar.finite}
    assert finite == {"policy_loss", "value_loss", "entropy_loss", "grad_norm", "q_loss", "actor_loss"}


def test_only_skipped_steps_are_added_up():
    assert [scalar.name for scalar in all_scalars() if scalar.total] == ["skipped_steps"]
