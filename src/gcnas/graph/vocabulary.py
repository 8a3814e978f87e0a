"""From a space's decisions to numbers: codes of types and heads of hyper-parameters."""

from functools import cached_property

import torch
from torch import Tensor

from gcnas.records import HyperparameterValue
from gcnas.space import SearchSpace, SequenceSpace

FEATURES = 5
"""Numbers that describe the feature map behind a node and what is used up of the limits."""


class Vocabulary:
    """The layer types, hyper-parameters and connections of a space as a policy sees them.

    Hyper-parameters with the same name and options are one head, whatever types they belong to.

    Args:
        space: Fitted space.

    Attributes:
        types: T, number of layer types; T itself is the code of STOP in tensors.
        heads: Name and options of each of the K heads.
        slots: For each type, the head of each of its hyper-parameters, in the type's order.
        options: O, most options of a head.
        window: m, the nodes that a new node may be connected to.
        max_depth: Most layers.
        given: For each place, the distances of the nodes that it reads, where the space gives the connections; else
            None.
    """

    def __init__(self, space: SearchSpace) -> None:
        self.types = len(space.layer_types)
        found: dict[tuple[str, tuple[HyperparameterValue, ...]], int] = {}
        self.slots = tuple(
            tuple(found.setdefault((choice.name, choice.options), len(found)) for choice in kind.choices)
            for kind in space.layer_types
        )
        # Where no type has hyper-parameters, one head that none uses keeps the shapes of tensors.
        self.heads = tuple(found) or (("none", ("none",)),)
        self.options = max((len(options) for _, options in self.heads), default=1)
        self.window = space.window
        self.max_depth = space.max_depth
        self.given = space.given if isinstance(space, SequenceSpace) else None

    @property
    def skips(self) -> int:
        """Connections that are decided for each layer: distances 2 to m."""
        return self.window - 1

    @cached_property
    def slot_heads(self) -> Tensor:
        """(T, S), the head of each hyper-parameter of each type; 0 where a type has fewer than S."""
        most = max(map(len, self.slots))
        return torch.tensor([[*heads, *[0] * (most - len(heads))] for heads in self.slots], dtype=torch.int64)

    @cached_property
    def slot_counts(self) -> Tensor:
        """(T), how many hyper-parameters each type has."""
        return torch.tensor([len(heads) for heads in self.slots])

    @cached_property
    def has_head(self) -> Tensor:
        """(T + 1, K), whether a type decides a head; STOP decides none."""
        flags = [[head in heads for head in range(len(self.heads))] for heads in (*self.slots, ())]
        return torch.tensor(flags, dtype=torch.bool).reshape(self.types + 1, len(self.heads))

    @cached_property
    def all_heads(self) -> bool:
        """Whether every type decides every head."""
        return bool(self.has_head[:-1].all())

    @cached_property
    def reads(self) -> Tensor | None:
        """(max_depth + 2, m), 1 / n where a node reads n nodes at given distances, one of them at this one.

        The row is the node's place; nothing is read by the input, nor by what would stand behind the deepest network.
        """
        if self.given is None:
            return None
        rows = torch.zeros(self.max_depth + 2, self.window)
        for place, distances in enumerate(self.given, start=1):
            rows[place, [distance - 1 for distance in distances]] = 1 / len(distances)
        return rows
