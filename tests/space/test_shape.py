import pytest
from hypothesis import given
from hypothesis import strategies as st

from gcnas.errors import SpaceError
from gcnas.space import Shape

SIZES = st.integers(1, 60)


def test_numbers_and_side() -> None:
    assert (Shape(3, 5, 7).numbers, Shape(3, 5, 7).side, Shape(3, 7, 5).side) == (105, 5, 5)


def test_strides_round_up() -> None:
    assert Shape(3, 7, 8).strided(5, 2) == Shape(5, 4, 4)
    assert Shape(3, 1, 2).strided(3, 4) == Shape(3, 1, 1)
    assert Shape(3, 7, 8).strided(5) == Shape(5, 7, 8)


@pytest.mark.parametrize(
    ("height", "width", "stride", "allowed"),
    [(1, 1, 1, True), (4, 9, 2, True), (9, 4, 2, True), (3, 9, 2, False), (9, 3, 2, False), (8, 8, 4, True)],
)
def test_a_stride_needs_room(height: int, width: int, stride: int, allowed: bool) -> None:
    assert Shape(3, height, width).allows(stride) is allowed


@given(SIZES, SIZES, st.integers(1, 70))
def test_a_stride_can_be_found_again(height: int, width: int, stride: int) -> None:
    shape = Shape(2, height, width)
    reduced = shape.strided(7, stride)
    found = shape.stride_to(reduced)
    assert found <= stride
    assert shape.strided(7, found) == reduced


@given(SIZES, SIZES, st.lists(st.integers(1, 5), max_size=4))
def test_strides_one_after_the_other_are_one_stride(height: int, width: int, strides: list[int]) -> None:
    """Otherwise a connection over several layers could not be brought to size."""
    first = shape = Shape(2, height, width)
    for stride in strides:
        shape = shape.strided(2, stride)
    assert first.strided(2, first.stride_to(shape)) == shape


@pytest.mark.parametrize("other", [Shape(1, 9, 9), Shape(1, 7, 4), Shape(1, 8, 9), Shape(1, 0, 0)])
def test_sizes_that_no_stride_gives(other: Shape) -> None:
    with pytest.raises(SpaceError, match=f"8x8 to {other.height}x{other.width}"):
        Shape(1, 8, 8).stride_to(other)
