"""A first design that tries every option of every decision about equally often."""

from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from gcnas.records import LayerAction, Trajectory
from gcnas.space import Growth, SearchSpace
from gcnas.strategy.drawing import any_open, grow


class _Columns:
    """For each decision, one option for each of n networks: random orders of the options, one after the other.

    Each order is drawn anew: one order repeated would repeat whole networks where decisions have equally many options.
    An option is given once: a layer that is drawn again gets others by chance.
    """

    def __init__(self, count: int, random: np.random.Generator) -> None:
        self._count, self._random = count, random
        self._columns: dict[tuple[int, int], NDArray[np.int64]] = {}

    def option(self, place: int, slot: int, row: int, flags: Sequence[bool]) -> int:
        """The option of one network; another open one where the mask closes it, or it is asked for again."""
        column = self._columns.get((place, slot))
        if column is None:
            column = self._columns[place, slot] = self._column(len(flags))
        wanted, column[row] = int(column[row]), -1
        if wanted >= 0 and flags[wanted]:
            return wanted
        return any_open(flags, self._random)

    def _column(self, options: int) -> NDArray[np.int64]:
        orders = [self._random.permutation(options) for _ in range(-(-self._count // options))]
        return np.concatenate(orders)[: self._count]


def latin(space: SearchSpace, count: int, random: np.random.Generator, rate: float) -> list[Trajectory]:
    """Trajectories within the limits whose depths, types and options are spread evenly; connections with a probability.

    Args:
        space: Fitted space.
        count: n.
        random: Draws the design.
        rate: Probability of each searched connection.
    """
    columns = _Columns(count, random)
    depths = random.permutation(np.linspace(space.min_depth, space.max_depth, count).round().astype(int))
    if count == 1:  # the least of all depths stands for none of the others
        depths = random.integers(space.min_depth, space.max_depth + 1, 1)
    return [
        grow(space, int(depth), partial(_layer, columns=columns, row=row, random=random, rate=rate))
        for row, depth in enumerate(depths)
    ]


def _layer(
    growth: Growth, columns: _Columns, row: int, random: np.random.Generator, rate: float
) -> LayerAction:
    place = growth.depth
    code = columns.option(place, 0, row, growth.type_mask()[:-1])
    mask = growth.layer_mask(code)
    slots = range(1, len(mask.hyperparameters) + 1)
    options = tuple(
        columns.option(place, (code + 1) * 1_000 + slot, row, flags)
        for slot, flags in zip(slots, mask.hyperparameters, strict=True)
    )
    return LayerAction(code, options, tuple(int(flag and random.random() < rate) for flag in mask.connections))
