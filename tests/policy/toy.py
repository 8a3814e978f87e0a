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
