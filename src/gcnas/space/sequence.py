"""Spaces of abstract decisions: no images, no shapes, no cost, as in tables of trained networks and toy problems."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from gcnas.errors import SpaceError
from gcnas.records import Architecture, Cost, HyperparameterValue, Layer, LayerAction, LayerMask, Trajectory
from gcnas.space.choice import Choice
from gcnas.space.frame import InputShape
from gcnas.space.growth import Growth
from gcnas.space.layer_type import LayerType, Values
from gcnas.space.search_space import SearchSpace
from gcnas.space.shape import Shape

MAX_LAYERS_KEPT = 100_000
"""Different layers that a space keeps at hand."""


class Token(LayerType):
    """A layer that is only a name with hyper-parameters: it changes no shape and costs nothing."""

    def output_shape(self, shape: Shape, values: Values) -> Shape:  # noqa: ARG002
        """The shape of the input."""
        return shape

    def cost(self, shape: Shape, values: Values) -> Cost:  # noqa: ARG002
        """Nothing."""
        return Cost()


def token(name: str, choices: Mapping[str, Sequence[HyperparameterValue]] | None = None) -> Token:
    """A layer type that is only a name with hyper-parameters.

    Raises:
        SpaceError: If the name or the options do not have the form that layer types need.
    """
    attributes: dict[str, Any] = {"name": name, "__doc__": f"The token {name}."}
    for choice, options in (choices or {}).items():
        attributes[choice] = Choice(*options)
    kind: type[Token] = type("Token", (Token,), attributes)
    return kind()


@dataclass(frozen=True)
class Place:
    """What may stand at one place of a sequence.

    Attributes:
        types: One flag per layer type.
        options: For each type, one flag per option of each of its hyper-parameters; all are open for types that
            are not named.
        reads: Distances (1 is the newest node) of the nodes that the layer is connected to, where the space gives
            the connections; None where they are searched.
    """

    types: tuple[bool, ...]
    options: Mapping[int, tuple[tuple[bool, ...], ...]]
    reads: tuple[int, ...] | None = None


@dataclass(frozen=True)
class SequenceSpace(SearchSpace):
    """Sequences of tokens: which decisions are open depends on the place alone.

    There are no limits, and no network can be built. Connections are searched, as in spaces of networks, or given by
    the places; then they are no decisions, and the policy's graphs have exactly the given edges.

    Attributes:
        places: What may stand where, for each place up to ``max_depth``; everything everywhere if empty.
    """

    image: InputShape | None = InputShape(1, 1, 1, 2)
    places: tuple[Place, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.places and len(self.places) != self.max_depth:
            raise SpaceError(f"A space of {self.max_depth} places needs rules for all, not {len(self.places)}.")
        given = [place.reads is not None for place in self.places]
        if any(given) and not all(given):
            raise SpaceError("Connections are given at all places or searched at all places.")
        if not all(isinstance(kind, Token) for kind in self.layer_types):
            raise SpaceError("A space of sequences is made of tokens, since layers with shapes need images.")

    @cached_property
    def given(self) -> tuple[tuple[int, ...], ...] | None:
        """For each place, the distances of the nodes it reads; None where connections are searched."""
        reads = tuple(place.reads for place in self.places if place.reads is not None)
        return reads or None

    @cached_property
    def type_masks(self) -> tuple[tuple[bool, ...], ...]:
        """Mask of the types and STOP after 0, 1, … layers."""
        masks = []
        for depth in range(self.max_depth + 1):
            full = depth == self.max_depth
            types = (
                self.places[depth].types if self.places and not full else (not full,) * len(self.layer_types)
            )
            masks.append((*types, depth >= self.min_depth))
        return tuple(masks)

    @cached_property
    def layer_masks(self) -> tuple[tuple[LayerMask, ...], ...]:
        """The whole mask of each type after 0, 1, … layers."""
        return tuple(
            tuple(self._layer_mask(depth, code) for code in range(len(self.layer_types)))
            for depth in range(self.max_depth)
        )

    def _layer_mask(self, depth: int, code: int) -> LayerMask:
        choices = self.layer_types[code].choices
        flags = tuple((True,) * len(choice) for choice in choices)
        if self.places:
            flags = self.places[depth].options.get(code, flags)
        searched = self.given is None
        edges = tuple(searched and distance <= depth + 1 for distance in range(2, self.window + 1))
        return LayerMask(self.type_masks[depth], flags, edges)

    @cached_property
    def _layers(self) -> dict[tuple[int, tuple[int, ...], tuple[int, ...]], Layer]:
        return {}

    def token_layer(self, code: int, options: tuple[int, ...], inputs: tuple[int, ...]) -> Layer:
        """The layer of decisions that reads some nodes.

        Raises:
            SpaceError: If the options do not fit the type.
        """
        key = code, options, inputs
        known = self._layers.get(key)
        if known is None:
            kind = self.layer_types[code]
            known = Layer(kind.name, tuple(sorted(kind.values(options).items())), inputs)
            if len(self._layers) >= MAX_LAYERS_KEPT:
                self._layers.clear()
            self._layers[key] = known
        return known

    def start(self) -> "SequenceGrowth":
        """The empty sequence."""
        return SequenceGrowth(self)

    def encode_layer(self, layer: Layer, index: int) -> LayerAction:
        """Raw decisions for the ``index``-th layer (counted from 1).

        Raises:
            SpaceError: If the layer is no point of the space.
        """
        if self.given is None:
            return super().encode_layer(layer, index)
        kind, values = self.type_of(layer), layer.values
        chosen = tuple(choice.index(values[choice.name]) for choice in kind.choices)
        return LayerAction(self.codes[layer.type], chosen, (0,) * (self.window - 1))

    @property
    def sized(self) -> bool:
        """Abstract decisions have no size."""
        return False

    def cost(self, architecture: Architecture) -> Cost:  # noqa: ARG002
        """Nothing."""
        return Cost()


@dataclass(frozen=True)
class SequenceGrowth(Growth):
    """A sequence under construction: all nodes have the same shape, nothing vanishes, nothing costs."""

    space: SequenceSpace
    nodes: tuple[Shape, ...] = (Shape(1, 1, 1),)

    @property
    def affordable(self) -> bool:
        """Always: abstract decisions cost nothing."""
        return True

    def type_mask(self) -> tuple[bool, ...]:
        """Which types may come next; the last flag is STOP."""
        return self.space.type_masks[self.depth]

    def layer_mask(self, code: int) -> LayerMask:
        """The full mask for a next layer of a type (its code, or STOP)."""
        return LayerMask(self.type_mask()) if code < 0 else self.space.layer_masks[self.depth][code]

    def connection_mask(self) -> tuple[bool, ...]:
        """For each distance 2, 3, … m, whether there is a node to connect to."""
        return self.space.layer_masks[self.depth][0].connections

    def stop(self) -> Trajectory:
        """The whole trajectory, ended by STOP; what it leads to may be another sequence that is the same network."""
        return replace(super().stop(), architecture=None)

    def add(self, action: LayerAction, mask: LayerMask | None = None) -> "SequenceGrowth":
        """The sequence with one more layer.

        Raises:
            SpaceError: If a code does not exist or the sequence is as long as it may be.
        """
        if self.depth >= self.space.max_depth:
            raise SpaceError(f"A sequence of the space {self.space.name!r} has at most {self.depth} layers.")
        if not 0 <= action.type < len(self.space.layer_types):
            raise SpaceError(f"There is no layer type with code {action.type}.")
        if len(action.connections) != self.space.window - 1:
            raise SpaceError(
                f"A layer decides on {self.space.window - 1} connections, not {action.connections}."
            )
        layer = self.space.token_layer(action.type, action.hyperparameters, self._inputs(action))
        mask = self.layer_mask(action.type) if mask is None else mask
        # All that a sequence is made of; ``dataclasses.replace`` takes most of the time of a step.
        return SequenceGrowth(
            self.space, (*self.actions, action), (*self.masks, mask), (*self.layers, layer), self.nodes
        )

    def _inputs(self, action: LayerAction) -> tuple[int, ...]:
        """Nodes that a layer reads, newest first; connections to before the first node do not count."""
        if self.space.given is not None:
            return tuple(self.depth + 1 - distance for distance in self.space.given[self.depth])
        chosen = [distance for distance, flag in enumerate(action.connections, start=2) if flag]
        return tuple(self.depth + 1 - distance for distance in (1, *chosen) if distance <= self.depth + 1)
