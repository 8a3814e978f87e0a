"""Masks that depend on the place alone, as tables: whole batches are masked at once, without asking each network."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from gcnas.graph import Vocabulary
from gcnas.records import STOP, LayerAction, LayerMask, Trajectory
from gcnas.space import SearchSpace, SequenceSpace


@dataclass(frozen=True)
class MaskTables:
    """What is open at each place.

    Attributes:
        vocabulary: Of the space.
        type_masks: After 0, 1, … D layers, one flag per type and one for STOP.
        layer_masks: After 0, 1, … D - 1 layers, the whole mask of each type.
    """

    vocabulary: Vocabulary
    type_masks: tuple[tuple[bool, ...], ...]
    layer_masks: tuple[tuple[LayerMask, ...], ...]

    @classmethod
    def of_sequence(cls, space: SequenceSpace, vocabulary: Vocabulary) -> "MaskTables":
        """The rules of a space of sequences."""
        return cls(vocabulary, space.type_masks, space.layer_masks)

    @classmethod
    def of_bounds(cls, space: SearchSpace, vocabulary: Vocabulary) -> "MaskTables":
        """Where nothing counts but the bounds of the depth: all options of all types are open."""
        kinds, last = len(space.layer_types), space.max_depth
        types = tuple((*[depth < last] * kinds, depth >= space.min_depth) for depth in range(last + 1))
        options = [tuple((True,) * len(choice) for choice in kind.choices) for kind in space.layer_types]
        edges = [tuple(d <= depth + 1 for d in range(2, space.window + 1)) for depth in range(last)]
        layers = tuple(
            tuple(LayerMask(types[depth], flags, edges[depth]) for flags in options) for depth in range(last)
        )
        return cls(vocabulary, types, layers)

    @property
    def max_depth(self) -> int:
        """D."""
        return len(self.layer_masks)

    @cached_property
    def types(self) -> Tensor:
        """(D + 1, T + 1)."""
        return torch.tensor(self.type_masks)

    @cached_property
    def may_stop(self) -> tuple[bool, ...]:
        """After 0, 1, … D layers, whether STOP is open."""
        return tuple(flags[-1] for flags in self.type_masks)

    @cached_property
    def options(self) -> Tensor:
        """(D, T + 1, K, O); all are open in heads that a type does not have, and for STOP."""
        v = self.vocabulary
        table = torch.ones(self.max_depth, v.types + 1, len(v.heads), v.options, dtype=torch.bool)
        for depth, masks in enumerate(self.layer_masks):
            for code, mask in enumerate(masks):
                for head, flags in zip(v.slots[code], mask.hyperparameters, strict=True):
                    table[depth, code, head] = False
                    table[depth, code, head, : len(flags)] = torch.tensor(flags)
        return table

    @cached_property
    def connections(self) -> Tensor:
        """(D, m - 1)."""
        rows = [masks[0].connections for masks in self.layer_masks]
        return torch.tensor(rows, dtype=torch.bool).reshape(self.max_depth, self.vocabulary.skips)

    @cached_property
    def stop_masks(self) -> tuple[LayerMask, ...]:
        """The mask of STOP after 0, 1, … D layers."""
        return tuple(LayerMask(types) for types in self.type_masks)

    def trajectories(self, types: Tensor, options: Tensor, connections: Tensor) -> list[Trajectory]:
        """What was decided, as trajectories.

        Args:
            types: (B, N), STOP where there is no layer.
            options: (B, N, K).
            connections: (B, N, m - 1).
        """
        layers = types < self.vocabulary.types
        actions = self._actions(types[layers], options[layers], connections[layers])
        found = []
        for depth in layers.sum(1).tolist():
            chosen = [next(actions) for _ in range(depth)]
            masks = [row[action.type] for row, action in zip(self.layer_masks, chosen, strict=False)]
            found.append(Trajectory((*chosen, _STOP), (*masks, self.stop_masks[depth])))
        return found

    def _actions(self, types: Tensor, options: Tensor, connections: Tensor) -> Iterator[LayerAction]:
        """Decisions for each of M layers: types (M), options (M, K), connections (M, m - 1)."""
        codes: list[int] = types.tolist()
        ordered = options.gather(1, self.vocabulary.slot_heads[types])
        chosen = _rows(ordered)
        sizes = [len(heads) for heads in self.vocabulary.slots]
        if min(sizes) < ordered.shape[1]:
            chosen = [row[: sizes[code]] for row, code in zip(chosen, codes, strict=True)]
        return map(LayerAction, codes, chosen, _flags(connections))


_STOP = LayerAction(STOP)

_BITS = 62
"""Flags that fit into one number of 64 bits."""


def _flags(connections: Tensor) -> list[tuple[int, ...]]:
    """The rows of a table of zeros and ones (M, J); equal rows are one object."""
    places = range(connections.shape[1])
    if len(places) > _BITS:
        return _rows(connections.int())
    powers = torch.tensor([1 << place for place in places], dtype=torch.int64)
    codes: list[int] = (connections.to(torch.int64) * powers).sum(1).tolist()
    rows = {code: tuple(code >> place & 1 for place in places) for code in set(codes)}
    return [rows[code] for code in codes]


def _rows(numbers: Tensor) -> list[tuple[int, ...]]:
    """The rows of a table of whole numbers (M, J)."""
    if not numbers.shape[1]:
        return [()] * len(numbers)
    return list(zip(*numbers.t().tolist(), strict=True))
