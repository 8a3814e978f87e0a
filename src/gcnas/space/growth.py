"""Growing a network layer by layer: the decision process that all strategies share."""

from dataclasses import dataclass, replace
from functools import cached_property
from operator import le
from typing import TYPE_CHECKING

from gcnas.errors import SpaceError
from gcnas.records import (
    STOP,
    Architecture,
    Cost,
    Layer,
    LayerAction,
    LayerMask,
    Trajectory,
)
from gcnas.space.layer_type import MERGE, LayerType
from gcnas.space.plan import plan_layer, plan_merge
from gcnas.space.shape import Shape

if TYPE_CHECKING:
    from gcnas.space.search_space import LeastAdded, SearchSpace


@dataclass(frozen=True)
class Growth:
    """A network under construction; :meth:`add` and :meth:`stop` are the only steps.

    The masks say which decisions make sense now. They depend only on what was decided before, never on the
    other decisions for the same layer, so that a policy may take all of these in parallel.

    Attributes:
        space: The fitted space.
        actions: Raw decisions so far.
        masks: The mask of each.
        layers: Canonical layers so far; layers that would do nothing have vanished.
        nodes: Shapes of the canonical nodes; node 0 is the stem's output.
        resolved: For each raw node, the canonical nodes that stand for it.
        cost: Cost of stem and layers so far, without the head; its activations stay 0.
    """

    space: "SearchSpace"
    actions: tuple[LayerAction, ...] = ()
    masks: tuple[LayerMask, ...] = ()
    layers: tuple[Layer, ...] = ()
    nodes: tuple[Shape, ...] = ()
    resolved: tuple[tuple[int, ...], ...] = ((0,),)
    cost: Cost = Cost()

    def __post_init__(self) -> None:
        if not self.nodes:
            image = self.space.fitted
            stem = self.space.stem.cost(image)
            object.__setattr__(self, "nodes", (self.space.stem.output_shape(image),))
            object.__setattr__(self, "cost", Cost(stem.parameters, stem.multiply_adds))

    @property
    def depth(self) -> int:
        """Number of raw layers so far."""
        return len(self.actions)

    @property
    def architecture(self) -> Architecture:
        """Canonical architecture of the layers so far."""
        return Architecture(self.layers)

    def type_mask(self) -> tuple[bool, ...]:
        """Which types may come next; the last flag is STOP.

        A type is closed where even its cheapest form breaks a limit. Where nothing else is left, STOP is open.
        """
        full = self.depth >= self.space.max_depth
        codes = range(len(self.space.layer_types))
        types = tuple(not full and self._affordable(self._least_added(code).layer) for code in codes)
        return (*types, self.depth >= self.space.min_depth or not any(types))

    def layer_mask(self, code: int) -> LayerMask:
        """The full mask for a next layer of a type (its code, or STOP)."""
        types = self.type_mask()
        if code == STOP:
            return LayerMask(types)
        hyperparameters = []
        for options in self._least_added(code).options:
            flags = tuple(added is not None and self._affordable(added) for added in options)
            hyperparameters.append(flags if any(flags) else (True,) * len(options))
        return LayerMask(types, tuple(hyperparameters), self.connection_mask())

    def connection_mask(self) -> tuple[bool, ...]:
        """For each distance 2, 3, … m, whether there is a node to connect to."""
        return tuple(distance <= self.depth + 1 for distance in range(2, self.space.window + 1))

    def add(self, action: LayerAction, mask: LayerMask | None = None) -> "Growth":
        """The network with one more layer.

        Args:
            action: Decisions for the layer.
            mask: The mask they were taken under; computed if not given.

        Raises:
            SpaceError: If a code does not exist or the network is as deep as it may be.
        """
        if self.depth >= self.space.max_depth:
            raise SpaceError(f"A network of the space {self.space.name!r} has at most {self.depth} layers.")
        if not 0 <= action.type < len(self.space.layer_types):
            raise SpaceError(f"There is no layer type with code {action.type}.")
        if len(action.connections) != self.space.window - 1:
            raise SpaceError(
                f"A layer decides on {self.space.window - 1} connections, not {action.connections}."
            )
        mask = self.layer_mask(action.type) if mask is None else mask
        layer_type = self.space.layer_types[action.type]
        inputs = self._inputs(action)
        layer = self._canonical(layer_type, action, inputs)
        actions, masks = (*self.actions, action), (*self.masks, mask)
        if layer is None:
            return replace(self, actions=actions, masks=masks, resolved=(*self.resolved, inputs))
        plan = plan_layer(layer_type, layer, self.nodes)
        return Growth(
            self.space,
            actions,
            masks,
            layers=(*self.layers, layer),
            nodes=(*self.nodes, plan.output),
            resolved=(*self.resolved, (len(self.nodes),)),
            cost=_sum(self.cost, plan.cost),
        )

    def stop(self) -> Trajectory:
        """The whole trajectory, ended by STOP."""
        return Trajectory((*self.actions, LayerAction(STOP)), (*self.masks, self.layer_mask(STOP)))

    def _inputs(self, action: LayerAction) -> tuple[int, ...]:
        """Canonical nodes that a layer reads, newest first; connections to before the stem do not count."""
        raw = [self.depth] + [
            self.depth + 1 - distance
            for distance, chosen in enumerate(action.connections, start=2)
            if chosen and distance <= self.depth + 1
        ]
        nodes = {node for index in raw for node in self.resolved[index]}
        # Layers that vanished may lead further back than the window, which counts the layers that are left.
        oldest = len(self.nodes) - self.space.window
        return tuple(sorted((node for node in nodes if node >= oldest), reverse=True))

    def _canonical(self, layer_type: LayerType, action: LayerAction, inputs: tuple[int, ...]) -> Layer | None:
        values = layer_type.values(action.hyperparameters)
        mode = str(values.get(MERGE, "add")) if len(inputs) > 1 else "add"
        merged = plan_merge([self.nodes[node] for node in inputs], mode).output
        canonical = layer_type.canonical(merged, values)
        if canonical is None:
            return None
        if MERGE in canonical and (len(inputs) > 1 or "add" in layer_type.options(MERGE)):
            canonical[MERGE] = mode
        return Layer(layer_type.name, tuple(sorted(canonical.items())), inputs)

    def _least_added(self, code: int) -> "LeastAdded":
        return self.space.least_added(self.nodes[max(self.resolved[-1])], code)

    @cached_property
    def _left(self) -> tuple[int, ...]:
        """What is left of each limit."""
        return tuple(getattr(self.space.limits, m) - getattr(self.cost, m) for m in self.space.limited)

    def _affordable(self, added: tuple[int, ...]) -> bool:
        """Whether the network could end right after a layer that adds so much, within the limits."""
        return all(map(le, added, self._left))


def _sum(left: Cost, right: Cost) -> Cost:
    return Cost(left.parameters + right.parameters, left.multiply_adds + right.multiply_adds)
