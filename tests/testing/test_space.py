"""The conformance kit itself: it must notice spaces that do not keep their word."""

import pytest
from torch import nn

from gcnas.errors import BuildError
from gcnas.records import Cost
from gcnas.space import InputShape, SearchSpace, Shape, Values
from gcnas.space.presets.cnn import Conv2d
from gcnas.testing.space import SpaceTestCase as Kit


class FreeConv(Conv2d):
    """Says that its multiply-adds are half of what they are."""

    def cost(self, shape: Shape, values: Values) -> Cost:
        cost = super().cost(shape, values)
        return Cost(cost.parameters, cost.multiply_adds // 2)


class ShrinkingConv(Conv2d):
    """Gives another shape than it says."""

    def build(self, shape: Shape, values: Values) -> nn.Module:
        return nn.Conv2d(shape.channels, values["filters"], 3)


class EndlessConv(Conv2d):
    """Its canonical form is none: applied again, it changes again."""

    def canonical(self, shape: Shape, values: Values) -> dict[str, int | float | str] | None:
        filters = 12 if values["filters"] != 12 else 16
        return dict(values) | {"filters": filters}


def kit_of(layer_type: Conv2d) -> Kit:
    class Case(Kit):
        space = SearchSpace("broken", (layer_type,), max_depth=3).fit(InputShape(1, 8, 8, 2))
        architectures = 3

    return Case()


def test_wrong_cost_is_noticed() -> None:
    with pytest.raises(AssertionError):
        kit_of(FreeConv()).test_module_costs_what_the_space_says()


def test_wrong_shape_is_noticed() -> None:
    with pytest.raises(BuildError, match="shape"):
        kit_of(ShrinkingConv()).test_forward_and_backward()


def test_canonical_form_that_is_none_is_noticed() -> None:
    with pytest.raises(Exception, match="canonical form"):
        kit_of(EndlessConv()).test_decoding_inverts_encoding()
