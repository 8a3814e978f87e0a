"""A space small enough to list every trajectory."""

import itertools
from collections.abc import Iterator
from typing import Any

from gcnas.records import Cost, LayerAction, Trajectory
from gcnas.space import Choice, Growth, InputShape, LayerType, SearchSpace, Shape


class Wide(LayerType):
    """Filters and merge."""

    filters = Choice(4, 8)
    merge = Choice("add", "concat")

    def output_shape(self, shape: Shape, values: Any) -> Shape:
        return shape.strided(values["filters"])

    def cost(self, shape: Shape, values: Any) -> Cost:
        weights = shape.channels * values["filters"]
        return Cost(weights, weights * shape.height * shape.width)


class Narrow(LayerType):
    """Only a stride, which a small image closes."""

    stride = Choice(1, 2)

    def output_shape(self, shape: Shape, values: Any) -> Shape:
        return shape.strided(shape.channels, values["stride"])

    def cost(self, shape: Shape, values: Any) -> Cost:
        return Cost()


class Forth(LayerType):
    """Two hyper-parameters."""

    first = Choice(1, 2, 3)
    second = Choice(4, 5)

    def output_shape(self, shape: Shape, values: Any) -> Shape:
        return shape

    def cost(self, shape: Shape, values: Any) -> Cost:
        return Cost()


class Back(LayerType):
    """The same two in the other order, and one more between them."""

    second = Choice(4, 5)
    third = Choice(6, 7)
    first = Choice(1, 2, 3)

    def output_shape(self, shape: Shape, values: Any) -> Shape:
        return shape

    def cost(self, shape: Shape, values: Any) -> Cost:
        return Cost()


CROSSED = SearchSpace("crossed", (Forth(), Back()), min_depth=1, max_depth=2, window=2).fit(
    InputShape(1, 4, 4, 2)
)
"""The second type decides its hyper-parameters in another order than that in which the space first meets them."""

TOY = SearchSpace("toy", (Wide(), Narrow()), min_depth=1, max_depth=3, window=3).fit(InputShape(1, 4, 4, 2))


def all_trajectories(space: SearchSpace = TOY) -> list[Trajectory]:
    """Every sequence of decisions that the masks allow."""
    return list(_continue(space, space.start()))


def _continue(space: SearchSpace, growth: Growth) -> Iterator[Trajectory]:
    types = growth.type_mask()
    if types[-1]:
        yield growth.stop()
    for code in range(len(space.layer_types)):
        if not types[code]:
            continue
        mask = growth.layer_mask(code)
        options = [[i for i, flag in enumerate(flags) if flag] for flags in mask.hyperparameters]
        edges = [[0, 1] if flag else [0] for flag in mask.connections]
        for chosen in itertools.product(*options):
            for connections in itertools.product(*edges):
                yield from _continue(space, growth.add(LayerAction(code, chosen, connections), mask))
