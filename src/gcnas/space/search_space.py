"""Search spaces: which architectures may be built, and the one decision process that builds them."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple, TypeAlias, TypeVar

import numpy as np

from gcnas.errors import SpaceError
from gcnas.records import (
    STOP,
    Architecture,
    Cost,
    HyperparameterValue,
    Layer,
    LayerAction,
    Limits,
    Trajectory,
)
from gcnas.space.frame import Head, InputShape, Stem
from gcnas.space.growth import Growth
from gcnas.space.latency import LatencyModel
from gcnas.space.layer_type import MERGE, LayerType, canonical_of, cost_of, output_of
from gcnas.space.masks import ShapeMasks
from gcnas.space.plan import LayerPlan, merge_mode, peak_activations, plan_layer, plan_merge
from gcnas.space.shape import Shape

MAX_DEPTH = 1_000

MAX_REMEMBERED = 100_000
"""Layers whose canonical form and whose plan are kept, each: networks repeat the same few."""

MAX_MASKS = 5_000
"""Shapes whose masks are remembered; each may hold thousands of them."""

Hyperparameters: TypeAlias = tuple[tuple[str, HyperparameterValue], ...]
"""Hyper-parameters of a layer as pairs of name and value, sorted by name."""

FileSize: TypeAlias = Callable[["SearchSpace", Architecture], int]
"""Bytes of the file that holds the weights of a network of the space."""

Key = TypeVar("Key")
Value = TypeVar("Value")


class CanonicalLayer(NamedTuple):
    """A layer in canonical form, whichever nodes it reads.

    Attributes:
        type: Name of its type.
        hyperparameters: Its hyper-parameters.
        output: Shape of what it gives.
        cost: Its cost, with the merging of its inputs.
    """

    type: str
    hyperparameters: Hyperparameters
    output: Shape
    cost: Cost


@dataclass(frozen=True)
class SearchSpace:
    """The architectures that may be built: layer types, depth, connections, and the fixed stem and head.

    A space is written without data and fitted to images with :meth:`fit`. Every sequence of decisions decodes
    to a network that can be built: decisions that make no difference are brought to a canonical form, in which
    equal networks are equal.

    Attributes:
        name: Name shown in reports.
        layer_types: The types, in the order of their codes.
        min_depth: Fewest layers that may be drawn.
        max_depth: Most layers that may be drawn.
        window: m of the paper: a layer reads the newest node and any others among the m newest.
        stem: Fixed first layer.
        head: Fixed last layer.
        references: Designs by people, evaluated before the search: each gives an architecture of the fitted
            space, or None where it has no form within the limits.
        lasting: Designs known to reach more than others in a long training, the best first: one of them that was
            evaluated is preferred where such a final training follows on short ones.
        image: Shape of the images and number of classes; None until fitted.
        limits: Bounds that become masks where they can; none until fitted.
        latency_model: Predicts milliseconds; None where no latency is asked for.
        file_size: Gives the bytes of the file of weights; None where no size is asked for.
    """

    name: str
    layer_types: tuple[LayerType, ...]
    min_depth: int = 2
    max_depth: int = 20
    window: int = 4
    stem: Stem = Stem()
    head: Head = Head()
    references: Mapping[str, Callable[["SearchSpace"], Architecture | None]] = field(default_factory=dict)
    lasting: tuple[Callable[["SearchSpace"], Architecture | None], ...] = ()
    image: InputShape | None = None
    limits: Limits = Limits()
    latency_model: LatencyModel | None = None
    file_size: FileSize | None = None

    def __post_init__(self) -> None:
        for layer_type in self.layer_types:
            if not isinstance(layer_type, LayerType):
                raise SpaceError(
                    f"A space needs layer types such as Conv2d(), with brackets, not {layer_type!r}."
                )
        names = [layer_type.name for layer_type in self.layer_types]
        if not names or len(set(names)) != len(names):
            raise SpaceError(f"A space needs layer types with distinct names, but got {names}.")
        if not 1 <= self.min_depth <= self.max_depth <= MAX_DEPTH:
            raise SpaceError(
                f"1 <= min_depth <= max_depth <= {MAX_DEPTH} must hold, but got {self.min_depth} and "
                f"{self.max_depth}."
            )
        if not 1 <= self.window <= MAX_DEPTH:
            raise SpaceError(f"The window must be between 1 and {MAX_DEPTH}, but got {self.window}.")

    def fit(self, image: InputShape, limits: Limits | None = None) -> "SearchSpace":
        """The same space for images of a shape and for limits."""
        return replace(self, image=image, limits=limits or Limits())

    @property
    def fitted(self) -> InputShape:
        """The image shape.

        Raises:
            SpaceError: If the space was not fitted.
        """
        if self.image is None:
            raise SpaceError("The space does not know the images yet; call space.fit(InputShape(...)) first.")
        return self.image

    @cached_property
    def by_name(self) -> dict[str, LayerType]:
        """Layer types by name."""
        return {layer_type.name: layer_type for layer_type in self.layer_types}

    @cached_property
    def codes(self) -> dict[str, int]:
        """Codes of the layer types by name."""
        return {layer_type.name: code for code, layer_type in enumerate(self.layer_types)}

    @cached_property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits of everything that decides what an architecture means."""
        description = {
            "types": [layer_type.describe() for layer_type in self.layer_types],
            "depth": [self.min_depth, self.max_depth],
            "window": self.window,
            "stem": self.stem.describe(),
            "image": None if self.image is None else vars(self.image),
        }
        return hashlib.sha256(json.dumps(description, sort_keys=True).encode()).hexdigest()[:16]

    @cached_property
    def limited(self) -> dict[str, int]:
        """Metrics with a limit that masks can hold while a network grows, and the limit."""
        bounds = {metric: self.limits.bound(metric) for metric in ("parameters", "multiply_adds")}
        return {metric: int(bound) for metric, bound in bounds.items() if bound is not None}

    @cached_property
    def connection_masks(self) -> tuple[tuple[bool, ...], ...]:
        """After 0, 1, … layers, for each distance 2, 3, … m, whether there is a node to connect to."""
        distances = range(2, self.window + 1)
        return tuple(tuple(d <= depth + 1 for d in distances) for depth in range(self.max_depth + 1))

    @cached_property
    def cheapest(self) -> dict[str, dict[str, dict[str, HyperparameterValue]]]:
        """For each type and each limited metric, the hyper-parameters that cost least."""
        shape = self.stem.output_shape(self.fitted)
        return {
            layer_type.name: {metric: _cheapest(layer_type, shape, metric) for metric in self.limited}
            for layer_type in self.layer_types
        }

    def masks(self, newest: Shape) -> ShapeMasks:
        """The masks of layers that come next behind a node of a shape."""
        # Networks ask for the same few shapes again and again.
        if newest not in self._masks:
            _remember(self._masks, newest, ShapeMasks(newest, self.layer_types, self._added), MAX_MASKS)
        return self._masks[newest]

    @cached_property
    def _masks(self) -> dict[Shape, ShapeMasks]:
        return {}

    def _added(
        self, newest: Shape, layer_type: LayerType, given: Mapping[str, HyperparameterValue]
    ) -> tuple[int, ...]:
        """For each limited metric, what the cheapest layer with some given hyper-parameters and the head add."""
        cheapest = self.cheapest[layer_type.name]
        return tuple(self._added_to(newest, layer_type, {**cheapest[m], **given}, m) for m in self.limited)

    def _added_to(self, newest: Shape, layer_type: LayerType, values: Mapping[str, Any], metric: str) -> int:
        form = canonical_of(layer_type, newest, values)
        # A layer that vanishes costs nothing, but brings no network back within its limits either.
        if form is None:
            return 0
        head = self.head.cost(output_of(layer_type, newest, form), self.fitted.classes)
        return int(getattr(cost_of(layer_type, newest, form), metric) + getattr(head, metric))

    def start(self) -> Growth:
        """The empty network: stem only, no layer yet."""
        return Growth(self)

    def decode(self, actions: Sequence[LayerAction]) -> Architecture:
        """Canonical architecture of raw decisions, with or without the last STOP.

        Raises:
            SpaceError: If a code is none of the space's, or there are too many layers.
        """
        growth = self.start()
        for action in actions:
            if action.type == STOP:
                break
            growth = growth.add(action)
        return growth.architecture

    def encode(self, architecture: Architecture) -> Trajectory:
        """Raw decisions, with their masks, that decode to an architecture in canonical form.

        Raises:
            SpaceError: If the architecture is no point of the space.
        """
        growth = self.start()
        for index, layer in enumerate(architecture.layers, start=1):
            growth = growth.add(self.encode_layer(layer, index))
        trajectory = growth.stop()
        if (canonical := self.decode(trajectory.actions)) != architecture:
            layers = ", ".join(layer.type for layer in canonical.layers) or "none"
            raise SpaceError(
                "The architecture is not in the canonical form of the space, which leaves out what has no effect: "
                f"{', '.join(layer.type for layer in architecture.layers)} is {layers} there."
            )
        return trajectory

    def encode_layer(self, layer: Layer, index: int) -> LayerAction:
        """Raw decisions for the ``index``-th layer (counted from 1).

        Raises:
            SpaceError: If the layer is no point of the space.
        """
        layer_type, values = self.type_of(layer), layer.values
        distances = [index - node for node in layer.inputs]
        if index - 1 not in layer.inputs or max(distances) > self.window:
            raise SpaceError(
                f"Layer {index} must read node {index - 1}, and others at most {self.window} back, but it "
                f"reads {list(layer.inputs)}."
            )
        return LayerAction(
            self.codes[layer.type],
            tuple(choice.index(values[choice.name]) for choice in layer_type.choices),
            tuple(int(distance in distances) for distance in range(2, self.window + 1)),
        )

    def type_of(self, layer: Layer) -> LayerType:
        """Type of a layer.

        Raises:
            SpaceError: If the space has no such type, or its hyper-parameters or their options are others.
        """
        layer_type = self.by_name.get(layer.type)
        if layer_type is None:
            raise SpaceError(f"The space {self.name!r} has the types {list(self.by_name)}, not {layer.type!r}.")
        names = {choice.name for choice in layer_type.choices}
        if names != set(layer.values):
            raise SpaceError(
                f"{layer.type} has the hyper-parameters {sorted(names)}, but got {sorted(layer.values)}."
            )
        for choice in layer_type.choices:
            choice.index(layer.values[choice.name])
        return layer_type

    def plan(self, architecture: Architecture) -> tuple[LayerPlan, ...]:
        """Shapes and cost of every layer.

        Raises:
            SpaceError: If the architecture is not valid in this space.
        """
        nodes: list[Shape] = [self.stem.output_shape(self.fitted)]
        plans = []
        for layer in architecture.layers:
            plan = self.plan_layer(layer, nodes)
            plans.append(plan)
            nodes.append(plan.output)
        return tuple(plans)

    def plan_layer(self, layer: Layer, nodes: Sequence[Shape]) -> LayerPlan:
        """Shapes and cost of a layer that reads some of the nodes before it; node 0 is the stem's output.

        Raises:
            SpaceError: If the layer is not valid in this space, or reads a node that does not exist.
        """
        if not all(0 <= node < len(nodes) for node in layer.inputs):
            return plan_layer(self.type_of(layer), layer, nodes)
        key = (layer.type, layer.hyperparameters, tuple(nodes[node] for node in layer.inputs))
        known = self._plans.get(key)
        if known is None:
            known = plan_layer(self.type_of(layer), layer, nodes)
            _remember(self._plans, key, known)
        return LayerPlan(layer, known.merge, known.output, known.cost)

    @cached_property
    def _plans(self) -> dict[tuple[Any, ...], LayerPlan]:
        return {}

    def canonical_layer(
        self, code: int, options: tuple[int, ...], shapes: tuple[Shape, ...]
    ) -> CanonicalLayer | None:
        """What a layer with some options does that reads nodes of some shapes.

        Returns:
            Its canonical form and its plan; None where the layer would do nothing and vanishes.

        Raises:
            SpaceError: If an option does not exist.
        """
        key = (code, options, shapes)
        if key in self._forms:
            return self._forms[key]
        form = _canonical(self.layer_types[code], options, shapes)
        found = None
        if form is not None:
            layer = Layer(self.layer_types[code].name, form, tuple(range(len(shapes))))
            plan = plan_layer(self.layer_types[code], layer, shapes)
            found = CanonicalLayer(layer.type, form, plan.output, plan.cost)
        _remember(self._forms, key, found)
        return found

    @cached_property
    def _forms(self) -> dict[tuple[Any, ...], CanonicalLayer | None]:
        return {}

    @property
    def sized(self) -> bool:
        """Whether parameters and multiply-adds of networks are known."""
        return True

    def size(self, architecture: Architecture) -> tuple[int, int]:
        """Parameters and multiply-adds of the whole network, as in :meth:`cost`, which takes several times as long."""
        plans = self.plan(architecture)
        last = plans[-1].output if plans else self.stem.output_shape(self.fitted)
        parts = [self.stem.cost(self.fitted), self.head.cost(last, self.fitted.classes)]
        parts += [plan.cost for plan in plans]
        return sum(part.parameters for part in parts), sum(part.multiply_adds for part in parts)

    def cost(self, architecture: Architecture) -> Cost:
        """Cost of the whole network, stem and head included, from the specification alone.

        Its size and its latency are there where the space knows how to tell them.
        """
        stem, plans, model = self.stem.output_shape(self.fitted), self.plan(architecture), self.latency_model
        return Cost(
            *self.size(architecture),
            peak_activations(stem, plans),
            None if self.file_size is None else self.file_size(self, architecture),
            None if model is None else model.predict(stem, plans),
        )

    def violation(self, architecture: Architecture) -> str | None:
        """The first limit that a network exceeds, with both figures, or None."""
        limits = self.limits
        # The whole cost takes several times as long, and few networks that are too large need it.
        first = limits.violation(Cost(*self.size(architecture))) if self.limited else None
        more = (limits.activations, limits.size, limits.latency) != (None, None, None)
        return limits.violation(self.cost(architecture)) if first is None and more else first

    def layer(
        self, type_name: str, inputs: Sequence[int] | None = None, *, after: int = 0, **values: Any
    ) -> Layer:
        """A layer with the first option for every hyper-parameter that is not given.

        Args:
            type_name: Name of the layer type.
            inputs: Nodes it reads, newest first; by default the newest.
            after: Number of layers before it.
            values: Hyper-parameters by name.

        Raises:
            SpaceError: If the type or an option does not exist.
        """
        layer_type = self.by_name.get(type_name)
        if layer_type is None:
            raise SpaceError(f"The space {self.name!r} has the types {list(self.by_name)}, not {type_name!r}.")
        chosen = {choice.name: choice.options[0] for choice in layer_type.choices} | values
        if unknown := sorted(chosen.keys() - {choice.name for choice in layer_type.choices}):
            raise SpaceError(f"{type_name} has no hyper-parameter {unknown[0]!r}.")
        for choice in layer_type.choices:
            chosen[choice.name] = choice.options[choice.index(chosen[choice.name])]
        return Layer(
            type_name, tuple(sorted(chosen.items())), tuple(inputs) if inputs is not None else (after,)
        )


def _canonical(
    layer_type: LayerType, options: tuple[int, ...], shapes: tuple[Shape, ...]
) -> Hyperparameters | None:
    values = layer_type.values(options)
    mode = merge_mode(values, len(shapes))
    canonical = canonical_of(layer_type, plan_merge(shapes, mode).output, values)
    if canonical is None:
        return None
    if MERGE in canonical and (len(shapes) > 1 or "add" in layer_type.options(MERGE)):
        canonical[MERGE] = mode
    return tuple(sorted(canonical.items()))


def _remember(known: dict[Key, Value], key: Key, value: Value, most: int | None = None) -> None:
    if len(known) >= (MAX_REMEMBERED if most is None else most):
        known.clear()
    known[key] = value


def _cheapest(layer_type: LayerType, shape: Shape, metric: str) -> dict[str, HyperparameterValue]:
    """Hyper-parameters of least cost, one after the other; exact where the cost is monotone in each."""
    values = {choice.name: choice.options[0] for choice in layer_type.choices}

    def price(changes: dict[str, HyperparameterValue]) -> int:
        form = canonical_of(layer_type, shape, values | changes)
        return 0 if form is None else int(getattr(cost_of(layer_type, shape, form), metric))

    return {
        choice.name: choice.options[int(np.argmin([price({choice.name: option}) for option in choice.options]))]
        for choice in layer_type.choices
    }
