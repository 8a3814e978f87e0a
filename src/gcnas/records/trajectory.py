"""The raw decisions of a strategy with the masks that were in force: what policies learn from."""

from collections.abc import Hashable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from gcnas.errors import SpaceError
from gcnas.records.architecture import Architecture

STOP = -1
"""Code of the decision to add no further layer."""


@dataclass(frozen=True)
class LayerAction:
    """All decisions for one layer.

    Attributes:
        type: Code of the layer type (its position in the space's list), or :data:`STOP`.
        hyperparameters: Index of the chosen option for each hyper-parameter of the type, in its order.
        connections: For each distance 2, 3, … m: 1 if the layer also reads the node at that distance. The
            node at distance 1 is always read.
    """

    type: int
    hyperparameters: tuple[int, ...] = ()
    connections: tuple[int, ...] = ()


@dataclass(frozen=True)
class LayerMask:
    """What was allowed when a :class:`LayerAction` was chosen.

    Attributes:
        types: One flag per layer type, then one for STOP.
        hyperparameters: One flag per option, for each hyper-parameter of the chosen type.
        connections: One flag per distance 2, 3, … m: whether that connection may be made.
    """

    types: tuple[bool, ...]
    hyperparameters: tuple[tuple[bool, ...], ...] = ()
    connections: tuple[bool, ...] = ()


@dataclass(frozen=True)
class Draw:
    """Hyper-parameters and connections that were drawn for a layer of known type, and what was allowed then.

    The fields are those of :class:`LayerAction` and :class:`LayerMask`.
    """

    hyperparameters: tuple[int, ...]
    connections: tuple[int, ...]
    hyperparameter_masks: tuple[tuple[bool, ...], ...]
    connection_mask: tuple[bool, ...]


@dataclass(frozen=True)
class Trajectory:
    """The decisions that led to an architecture, one :class:`LayerAction` per layer and a last STOP.

    Attributes:
        actions: What was decided in the end.
        masks: The mask of each action; its types are those that were open when the type was chosen, the others
            those of the last draw.
        overwritten: For each action, the draws that later ones replaced, in the order in which they were taken;
            empty where every draw stayed. They count for the probability, since later decisions read them.
        architecture: The canonical architecture that the decisions lead to, where whoever took them knows it; it is
            not written into the JSON form.
    """

    actions: tuple[LayerAction, ...]
    masks: tuple[LayerMask, ...]
    overwritten: tuple[tuple[Draw, ...], ...] = ()
    architecture: Architecture | None = field(default=None, compare=False, repr=False)

    def to_json(self) -> dict[str, Any]:
        """JSON form: lists of integers, masks as strings of 0 and 1; ``overwritten`` only if there is any."""
        written: dict[str, Any] = {
            "actions": [[a.type, list(a.hyperparameters), list(a.connections)] for a in self.actions],
            "masks": [
                [_bits(m.types), [_bits(h) for h in m.hyperparameters], _bits(m.connections)]
                for m in self.masks
            ],
        }
        if self.overwritten:
            written["overwritten"] = [[_draw_to_json(draw) for draw in draws] for draws in self.overwritten]
        return written

    @classmethod
    def from_json(cls, data: Any) -> "Trajectory":
        """Read the JSON form.

        Raises:
            SpaceError: If the data does not have the form that :meth:`to_json` writes.
        """
        try:
            actions = [_items(action) for action in _items(data["actions"])]
            masks = [_items(mask) for mask in _items(data["masks"])]
            if not actions or len(masks) != len(actions):
                raise ValueError(f"{len(actions)} actions cannot have {len(masks)} masks")
            overwritten = _items(data.get("overwritten", []))
            if overwritten and len(overwritten) != len(actions):
                raise ValueError(
                    f"{len(actions)} actions cannot have {len(overwritten)} lists of earlier draws"
                )
            return cls(
                tuple(
                    LayerAction(_integer(kind), _integers(hypers), _integers(connections))
                    for kind, hypers, connections in actions
                ),
                tuple(
                    LayerMask(_flags(types), tuple(map(_flags, _items(hypers))), _flags(connections))
                    for types, hypers, connections in masks
                ),
                tuple(tuple(map(_draw_from_json, _items(draws))) for draws in overwritten),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise SpaceError(f"A trajectory is not of the form it was written in: {error}.") from error


def _draw_to_json(draw: Draw) -> list[Any]:
    masks = [_bits(flags) for flags in draw.hyperparameter_masks]
    return [list(draw.hyperparameters), list(draw.connections), masks, _bits(draw.connection_mask)]


def _draw_from_json(data: object) -> Draw:
    hypers, connections, masks, edges = _items(data)
    return Draw(_integers(hypers), _integers(connections), tuple(map(_flags, _items(masks))), _flags(edges))


def _bits(flags: tuple[bool, ...]) -> str:
    return "".join("1" if flag else "0" for flag in flags)


@lru_cache(maxsize=4_096)
def _flags(bits: Hashable) -> tuple[bool, ...]:
    """The flags of a mask; those of many networks are the same, and then one object."""
    if not isinstance(bits, str) or not set(bits) <= {"0", "1"}:
        raise TypeError("a mask is a string of 0 and 1")
    return tuple(bit == "1" for bit in bits)


def _items(data: object) -> list[Any]:
    if not isinstance(data, list):
        raise TypeError(f"a list was expected, not {type(data).__name__}")
    return data


def _integer(data: object) -> int:
    if type(data) is not int:
        raise TypeError(f"a whole number was expected, not {type(data).__name__}")
    return data


def _integers(data: object) -> tuple[int, ...]:
    return tuple(map(_integer, _items(data)))
