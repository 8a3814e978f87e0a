from typing import Any

import pytest

from gcnas.errors import SpaceError
from gcnas.space import Choice
from gcnas.space.choice import MAX_OPTIONS


@pytest.mark.parametrize(
    "options",
    [
        (),
        (1, 1),
        (1, 1.0),
        ("a", "a"),
        (1, "a"),
        (True, False),
        (1, True),
        (None,),
        ([1], [2]),
        ([1, 2],),
        (float("nan"), 1.0),
        (float("inf"), 1.0),
        (10**400, 1),
    ],
    ids=str,
)
def test_options_that_make_no_choice(options: tuple[Any, ...]) -> None:
    with pytest.raises(SpaceError, match="distinct options, all finite numbers or all strings"):
        Choice(*options)


def test_there_are_not_too_many_options() -> None:
    assert len(Choice(*range(MAX_OPTIONS))) == MAX_OPTIONS
    with pytest.raises(SpaceError, match=f"at most {MAX_OPTIONS} options, but got {MAX_OPTIONS + 1}"):
        Choice(*range(MAX_OPTIONS + 1))


def test_options_keep_their_order() -> None:
    choice = Choice(3, 1, 2)
    assert (choice.options, len(choice), repr(choice)) == ((3, 1, 2), 3, "Choice(3, 1, 2)")
    assert [choice.index(option) for option in (3, 1, 2)] == [0, 1, 2]


def test_numbers_have_an_order_and_strings_have_none() -> None:
    assert Choice(0.5, 1).numeric
    assert not Choice("1", "2").numeric


@pytest.mark.parametrize("value", [4, "3", None, float("nan"), [3]])
def test_what_is_not_an_option_is_named(value: Any) -> None:
    class Owner:
        size = Choice(3, 5)

    with pytest.raises(SpaceError, match=r"size must be one of \(3, 5\), but got"):
        Owner.size.index(value)
