"""Decisions as rows of tokens: what distances, kernels and samplers by column see."""

import itertools
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from gcnas.records import STOP, Architecture, HyperparameterValue, LayerAction
from gcnas.space import SearchSpace, SequenceSpace

Rows = np.ndarray[Any, np.dtype[np.int16]]
"""Rows of tokens, ``(B, places * columns)`` or one ``(places * columns,)``."""

MAX_LAYERS = 100_000
"""Layers whose tokens are kept: networks repeat the same few."""

LISTED = 20_000
"""Spaces with up to so many points are listed where draws find nothing new, so that none is missed."""

ABSENT = 0
"""Token of a decision that is not taken: there is no such layer, or its type has no such hyper-parameter."""


class Tokens:
    """Writes the decisions for an architecture as a row of fixed length, one column per place and decision.

    Each place has a column for the type, one for each name of a hyper-parameter in the space (types that share a
    name share the column, and equal values are equal tokens), and one for each connection beside that to the newest
    node. Token 0 stands for what is not there, so that architectures of all depths have rows of one length.

    Attributes:
        space: The space.
        names: Names of the hyper-parameters, in the order of their columns.
        options: For each name, the options of all types together.
        columns: Number of columns of one place.
        width: Number of columns of a row.
        slots: For each type and each of its hyper-parameters, the column and the tokens of the options.
    """

    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        choices = [choice for kind in space.layer_types for choice in kind.choices]
        self.names = tuple(dict.fromkeys(choice.name for choice in choices))
        self.options: tuple[tuple[HyperparameterValue, ...], ...] = tuple(
            tuple(dict.fromkeys(o for choice in choices if choice.name == name for o in choice.options))
            for name in self.names
        )
        self._layers: dict[tuple[Any, ...], list[int]] = {}
        self.columns = len(self.names) + space.window
        self.width = self.columns * space.max_depth
        tables = dict(zip(self.names, self.options, strict=True))
        self.slots = [
            [
                (1 + self.names.index(choice.name), [1 + tables[choice.name].index(o) for o in choice.options])
                for choice in kind.choices
            ]
            for kind in space.layer_types
        ]

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of tokens of each column of a place, the absent one included."""
        options = [len(options) + 1 for options in self.options]
        return (len(self.space.layer_types) + 1, *options, *[3] * (self.space.window - 1))

    @cached_property
    def ranks(self) -> tuple[tuple[int, ...] | None, ...]:
        """For each column of a place, the rank by size of each token but the absent one; None where there is no order.

        An order is that of three or more numbers.
        """
        ranked = [_ranks(options) for options in self.options]
        return (None, *ranked, *[None] * (self.space.window - 1))

    def encode(self, actions: Sequence[LayerAction]) -> Rows:
        """The row of decisions, with or without the last STOP."""
        row: list[int] = []
        for action in actions:
            if action.type != STOP:
                row += self.encode_layer(action)
        return np.array(row + [ABSENT] * (self.width - len(row)), np.int16)

    def encode_layer(self, action: LayerAction) -> list[int]:
        """Tokens of one layer."""
        row = [ABSENT] * (1 + len(self.names))
        row[0] = 1 + action.type
        for (column, tokens), chosen in zip(self.slots[action.type], action.hyperparameters, strict=True):
            row[column] = tokens[chosen]
        return row + [1 + flag for flag in action.connections]

    def decode(self, row: Rows) -> tuple[LayerAction, ...]:
        """The decisions of a row, without STOP."""
        places = row.reshape(self.space.max_depth, self.columns).tolist()
        return tuple(self._decode_layer(place) for place in places if place[0] != ABSENT)

    def _decode_layer(self, place: list[int]) -> LayerAction:
        code = place[0] - 1
        chosen = tuple(tokens.index(place[column]) for column, tokens in self.slots[code])
        return LayerAction(code, chosen, tuple(token - 1 for token in place[1 + len(self.names) :]))

    def canonical(self, architecture: Architecture) -> Rows:
        """The row of the decisions that remain in an architecture's canonical form.

        Raises:
            SpaceError: If the architecture is no point of the space.
        """
        row: list[int] = []
        for index, layer in enumerate(architecture.layers, start=1):
            key = (layer.type, layer.hyperparameters, tuple([index - node for node in layer.inputs]))
            if key not in self._layers:
                if len(self._layers) >= MAX_LAYERS:
                    self._layers.clear()
                self._layers[key] = self.encode_layer(self.space.encode_layer(layer, index))
            row += self._layers[key]
        return np.array(row + [ABSENT] * (self.width - len(row)), np.int16)

    def keys(self, rows: Rows) -> np.ndarray[Any, np.dtype[np.uint64]]:
        """A whole number for each row; equal rows have equal keys, others almost surely (1 in 2**63) not."""
        # Sums of products modulo 2**64 with fixed odd factors; numpy wraps around silently in arrays.
        return np.atleast_2d(rows).astype(np.uint64) @ self._factors

    @cached_property
    def _factors(self) -> np.ndarray[Any, np.dtype[np.uint64]]:
        random = np.random.Generator(np.random.PCG64(0))
        return random.integers(0, 2**64, self.width, np.uint64, endpoint=False) | np.uint64(1)


def _ranks(options: Sequence[HyperparameterValue]) -> tuple[int, ...] | None:
    numbers = [option for option in options if isinstance(option, int | float)]
    if len(numbers) < max(len(options), 3):
        return None
    ordered = sorted(numbers)
    return tuple(ordered.index(number) for number in numbers)


def distances(left: Rows, right: Rows) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Hamming distances: in how many columns rows differ.

    Args:
        left: ``(M, D)``.
        right: ``(N, D)``.

    Returns:
        ``(M, N)``, as floating-point numbers.
    """
    found = np.zeros((len(left), len(right)), np.uint16)
    for mine, others in zip(np.ascontiguousarray(left.T), np.ascontiguousarray(right.T), strict=True):
        # Many columns are the same in all rows, such as connections that are given.
        if not len(mine) or ((mine == mine[0]).all() and (others == mine[0]).all()):
            continue
        found += mine[:, None] != others[None, :]
    return found.astype(np.float32)


def all_rows(tokens: Tokens, most: int) -> Rows | None:
    """The rows of every point of a space whose masks depend on the place alone.

    Args:
        tokens: The columns.
        most: Largest number of points that is listed.

    Returns:
        ``(B, width)`` in a fixed order; None if there are more, or if the masks depend on more than the place.
    """
    space = tokens.space
    if not isinstance(space, SequenceSpace):
        return None
    counts = [_count_at(space, place) for place in range(space.max_depth)]
    depths = [depth for depth in range(space.max_depth + 1) if space.type_masks[depth][-1]]
    sizes = [int(np.prod(counts[:depth], dtype=object)) for depth in depths]
    if sum(sizes) > most:
        return None
    choices = [np.array(_rows_at(tokens, space, place), np.int16) for place in range(max(depths, default=0))]
    return np.concatenate([_product(tokens, choices[:depth]) for depth in depths])


def _count_at(space: SequenceSpace, place: int) -> int:
    total = 0
    for mask, flag in zip(space.layer_masks[place], space.type_masks[place], strict=False):
        options = int(np.prod([sum(flags) for flags in mask.hyperparameters], dtype=object))
        total += flag * options * 2 ** sum(mask.connections)
    return total


def _rows_at(tokens: Tokens, space: SequenceSpace, place: int) -> list[list[int]]:
    rows = []
    for code, flag in enumerate(space.type_masks[place][:-1]):
        mask = space.layer_masks[place][code]
        options = [np.flatnonzero(flags).tolist() for flags in mask.hyperparameters]
        edges = [(0, 1) if edge else (0,) for edge in mask.connections]
        for chosen in itertools.product(*options) if flag else ():
            rows += [tokens.encode_layer(LayerAction(code, chosen, e)) for e in itertools.product(*edges)]
    return rows


def _product(tokens: Tokens, choices: Sequence[Rows]) -> Rows:
    # Numpy's arrays have fewer dimensions than a space may have places; the last place changes first.
    total = int(np.prod([len(rows) for rows in choices], dtype=object))
    found, block = np.zeros((total, tokens.width), np.int16), total
    for place, rows in enumerate(choices):
        block //= len(rows)
        pick = np.arange(total) // block % len(rows)
        found[:, place * tokens.columns : (place + 1) * tokens.columns] = rows[pick]
    return found
