"""What may come next behind a feature map of one shape, as a function of what is left of the limits."""

from bisect import bisect_right
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from gcnas.records import STOP, LayerMask
from gcnas.space.layer_type import LayerType
from gcnas.space.shape import Shape

Added: TypeAlias = tuple[int, ...]
"""What a layer and the head behind it add to each limited metric."""

Price: TypeAlias = Callable[[Shape, LayerType, Mapping[str, Any]], Added]
"""What the cheapest layers of a type with some given hyper-parameters add behind a shape."""

MAX_MASKS = 20_000
"""Masks that are kept for a shape."""


class ShapeMasks:
    """The masks behind a feature map of one shape.

    A mask says for each type and option whether its cheapest layer stays within every limit. So it changes only
    where what is left of a limit passes one of a few prices, and is looked up by how many of them it has passed.

    Args:
        shape: Of the newest node.
        layer_types: Types in the order of their codes.
        price: Prices the cheapest layers.
    """

    def __init__(self, shape: Shape, layer_types: tuple[LayerType, ...], price: Price) -> None:
        self._layers = [price(shape, kind, {}) for kind in layer_types]
        self._options = [_option_prices(shape, kind, price) for kind in layer_types]
        every = [*self._layers, *(a for kind in self._options for row in kind for a in row if a is not None)]
        self._steps = [sorted(set(prices)) for prices in zip(*every, strict=True)]
        self._masks: dict[tuple[Any, ...], LayerMask] = {}

    def mask(
        self, left: Added, code: int, connections: tuple[bool, ...], *, full: bool, stop: bool
    ) -> LayerMask:
        """The mask of the next layer.

        Args:
            left: What is left of each limit.
            code: Type of the layer, or STOP.
            connections: Which connections there may be.
            full: Whether there may be no further layer.
            stop: Whether the network may end.
        """
        passed = tuple([bisect_right(steps, amount) for steps, amount in zip(self._steps, left, strict=True)])
        key = (passed, code, connections, full, stop)
        found = self._masks.get(key)
        if found is None:
            if len(self._masks) >= MAX_MASKS:
                self._masks.clear()
            types = tuple(not full and _within(added, left) for added in self._layers)
            types = (*types, stop or not any(types))
            found = LayerMask(types) if code == STOP else LayerMask(types, self._open(left, code), connections)
            self._masks[key] = found
        return found

    def _open(self, left: Added, code: int) -> tuple[tuple[bool, ...], ...]:
        """Flags of the options of a type; where all of a hyper-parameter are too dear, none is closed."""
        flags = []
        for prices in self._options[code]:
            row = tuple(added is not None and _within(added, left) for added in prices)
            flags.append(row if any(row) else (True,) * len(row))
        return tuple(flags)


def _option_prices(shape: Shape, kind: LayerType, price: Price) -> list[list[Added | None]]:
    """For each option of each hyper-parameter its price; None where it is closed whatever is left."""
    return [
        [
            None
            if choice.name == "stride" and not shape.allows(int(option))
            else price(shape, kind, {choice.name: option})
            for option in choice.options
        ]
        for choice in kind.choices
    ]


def _within(added: Added, left: Added) -> bool:
    """Whether the network could end right after a layer that adds so much."""
    return all(more <= most for more, most in zip(added, left, strict=True))
