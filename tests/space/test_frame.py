from typing import Any

import pytest
from tests.space.drawing import Plain

from gcnas.errors import SpaceError
from gcnas.records import Architecture, Cost
from gcnas.space import Head, InputShape, SearchSpace, Shape, Stem


@pytest.mark.parametrize(
    ("height", "width", "stride"),
    [(1, 1, 1), (48, 48, 1), (48, 500, 1), (49, 49, 2), (96, 120, 2), (97, 97, 4), (224, 224, 4), (500, 30, 1)],
)
def test_the_stem_strides_by_the_shorter_side(height: int, width: int, stride: int) -> None:
    image = InputShape(3, height, width, 10)
    assert Stem().stride(image) == stride
    shape = Stem().output_shape(image)
    assert shape == Shape(16, -(-height // stride), -(-width // stride))


def test_cost_of_the_stem() -> None:
    assert Stem().cost(InputShape(3, 97, 100, 10)) == Cost(3 * 9 * 16 + 2 * 16, 3 * 9 * 16 * 25 * 25)


def test_cost_of_the_head() -> None:
    assert Head().cost(Shape(24, 5, 7), classes=3) == Cost(24 * 3 + 3, 24 * 3)


def test_a_stem_of_the_users_own() -> None:
    image = InputShape(1, 8, 8, 2)
    space, wide = (SearchSpace("s", (Plain(),), stem=Stem(filters)).fit(image) for filters in (16, 20))
    assert wide.start().nodes == (Shape(20, 8, 8),)
    empty = wide.cost(Architecture(()))
    assert empty == Cost(9 * 20 + 40 + 21 * 2, 9 * 20 * 64 + 20 * 2, 20 * 64)
    assert wide.fingerprint != space.fingerprint


@pytest.mark.parametrize("filters", [0, -1, 1.5, True, "16", None])
def test_a_stem_has_filters(filters: Any) -> None:
    with pytest.raises(SpaceError, match="whole number of filters"):
        Stem(filters)
