from dataclasses import dataclass, field

import pytest

from rlexp.algos import PPO
from rlexp.errors import ConfigError
from rlexp.settings import check, fields_of, setting


@dataclass
class Inner:
    rate: float = setting(0.5, "Rate.", gt=0, le=1)
    sizes: list[int] = setting([4, 4], "Sizes.", ge=1)


@dataclass
class Outer:
    count: int = setting(3, "Count.", ge=0, lt=10)
    limit: float | None = setting(None, "Limit.", gt=0)
    mode: str = setting("a", "Mode.", choices=("a", "b"))
    level: int | None = setting(None, "Level.", choices=(None, 1, 2))
    flag: bool = setting(True, "Flag.", ge=5)
    inner: Inner = field(default_factory=Inner)
    free: object = field(default_factory=object)


@pytest.mark.parametrize("values", [{}, {"count": 0}, {"count": 9}, {"limit": 1e-9}, {"mode": "b"}, {"level": 2}])
def test_values_inside_the_range_pass(values):
    check(Outer(**values))


@pytest.mark.parametrize("rate", [1e-12, 1.0])
def test_an_included_bound_is_allowed(rate):
    check(Inner(rate=rate))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"count": -1}, "count=-1 is out of range; allowed: 0 <= value < 10"),
        ({"count": 10}, "count=10 is out of range; allowed: 0 <= value < 10"),
        ({"limit": 0.0}, "limit=0.0 is out of range; allowed: 0 < value"),
        ({"mode": "c"}, "mode=c is not a choice; allowed: a, b"),
        ({"mode": "A"}, "mode=A is not a choice; allowed: a, b"),
        ({"level": 3}, "level=3 is not a choice; allowed: null, 1, 2"),
        ({"inner": Inner(rate=0.0)}, "inner.rate=0.0 is out of range; allowed: 0 < value <= 1"),
        ({"inner": Inner(rate=1.01)}, "inner.rate=1.01 is out of range; allowed: 0 < value <= 1"),
        ({"inner": Inner(sizes=[8, 0])}, "inner.sizes=0 is out of range; allowed: 1 <= value"),
    ],
)
def test_the_message_names_key_given_value_and_allowed_range(values, message):
    with pytest.raises(ConfigError) as error:
        check(Outer(**values))
    assert str(error.value) == message


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_is_not_finite_is_out_of_range(value):
    with pytest.raises(ConfigError, match=r"inner\.rate=-?(nan|inf) is out of range"):
        check(Outer(inner=Inner(rate=value)))


def test_infinity_is_out_of_a_range_that_is_open_above():
    with pytest.raises(ConfigError, match="limit=inf is out of range"):
        check(Outer(limit=float("inf")))


def test_none_is_no_number_and_needs_no_range():
    check(Outer(limit=None))


def test_none_is_refused_where_the_choices_do_not_name_it():
    with pytest.raises(ConfigError, match="mode=None is not a choice"):
        check(Outer(mode=None))


def test_a_bool_is_no_number_so_a_range_does_not_apply_to_it():
    check(Outer(flag=False))


def test_every_element_of_a_list_is_checked():
    check(Inner(sizes=[1, 2, 3]))
    with pytest.raises(ConfigError, match="sizes=-2"):
        check(Inner(sizes=[1, 2, -2]))


def test_a_list_default_is_copied_for_each_instance():
    first, second = Inner(), Inner()
    first.sizes.append(9)
    assert second.sizes == [4, 4]


def test_a_dict_default_is_copied_for_each_instance():
    @dataclass
    class Holder:
        options: dict = setting({}, "Options.")

    first, second = Holder(), Holder()
    first.options["a"] = 1
    assert second.options == {}


def test_leaves_come_with_dotted_keys_values_and_documentation():
    leaves = {key: (value, metadata.get("doc")) for key, value, metadata in fields_of(Outer())}
    assert leaves["inner.rate"] == (0.5, "Rate.")
    assert leaves["count"] == (3, "Count.")
    assert "inner" not in leaves


def test_every_hyperparameter_is_documented():
    assert all(metadata.get("doc") for _, _, metadata in fields_of(PPO()))
