"""Spaces small enough to list everything that a policy which draws layers again may draw."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from tests.policy.toy import Narrow

from gcnas.records import Cost, Draw, LayerAction, LayerMask, Limits, Trajectory
from gcnas.space import Choice, Growth, InputShape, LayerType, SearchSpace, SequenceSpace, Shape, token

SEQUENCES = SequenceSpace(
    "sequences", (token("a", {"x": (1, 2)}), token("b")), min_depth=1, max_depth=3, window=3
)


class Filters(LayerType):
    """One choice that changes shape and cost."""

    filters = Choice(4, 8)

    def output_shape(self, shape: Shape, values: Any) -> Shape:
        return shape.strided(values["filters"])

    def cost(self, shape: Shape, values: Any) -> Cost:
        return Cost(shape.channels * values["filters"])


SHAPES = SearchSpace("shapes", (Filters(), Narrow()), min_depth=1, max_depth=3, window=3).fit(
    InputShape(1, 2, 2, 2), Limits(parameters=370)
)
SPACES = {space.name: space for space in (SEQUENCES, SHAPES)}


def all_draws(space: SearchSpace) -> list[Trajectory]:
    """Every way in which types, layers and layers drawn again may come out."""
    return list(_types(space, ()))


History = tuple[tuple[int, tuple[bool, ...], tuple[tuple[LayerAction, LayerMask], ...]], ...]
"""Code, mask of the type, and draws so far of each layer."""


def _regrown(space: SearchSpace, history: History, end: int) -> Growth:
    growth = space.start()
    for _, _, draws in history[:end]:
        growth = growth.add(*draws[-1])
    return growth


def _types(space: SearchSpace, history: History) -> Iterator[Trajectory]:
    growth = _regrown(space, history, len(history))
    mask = growth.type_mask()
    if mask[-1]:
        overwritten = tuple(tuple(draw_of(*draw) for draw in draws[:-1]) for _, _, draws in history)
        yield replace(growth.stop(), overwritten=(*overwritten, ()) if any(overwritten) else ())
    for code in (code for code, flag in enumerate(mask[:-1]) if flag):
        start = max(0, len(history) + 1 - space.window)
        yield from _layers(space, (*history, (code, mask, ())), start)


def _layers(space: SearchSpace, history: History, layer: int) -> Iterator[Trajectory]:
    if layer == len(history):
        yield from _types(space, history)
        return
    code, types, draws = history[layer]
    mask = replace(_regrown(space, history, layer).layer_mask(code), types=types)
    options = [[i for i, flag in enumerate(flags) if flag] for flags in mask.hyperparameters]
    edges = [[0, 1] if flag else [0] for flag in mask.connections]
    for chosen in itertools.product(*options):
        for connections in itertools.product(*edges):
            drawn = (code, types, (*draws, (LayerAction(code, chosen, connections), mask)))
            yield from _layers(space, (*history[:layer], drawn, *history[layer + 1 :]), layer + 1)


def draw_of(action: LayerAction, mask: LayerMask) -> Draw:
    return Draw(action.hyperparameters, action.connections, mask.hyperparameters, mask.connections)
