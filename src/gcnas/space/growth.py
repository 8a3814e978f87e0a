"""Growing a network layer by layer: the decision process that all strategies share."""

from dataclasses import dataclass
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
from gcnas.space.shape import Shape

if TYPE_CHECKING:
    from gcnas.space.search_space import SearchSpace

CONNECTION_RATE = 0.25
"""Chance of each connection beside the one to the newest node in random search, and before a policy has learnt.

One half would read most of the window at every layer, and its projections would eat the limits.
"""


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
        return self.layer_mask(STOP).types

    def layer_mask(self, code: int) -> LayerMask:
        """The full mask for a next layer of a type (its code, or STOP)."""
        space, depth = self.space, self.depth
        left = tuple([bound - getattr(self.cost, m) for m, bound in space.limited.items()])
        masks = space.masks(self.nodes[self.resolved[-1][0]])
        full, stop = depth >= space.max_depth, depth >= space.min_depth
        return masks.mask(left, code, space.connection_masks[depth], full=full, stop=stop)

    @property
    def affordable(self) -> bool:
        """Whether the network could end here within the limits on parameters and multiply-adds."""
        head, limits = self.space.head.cost(self.nodes[-1], self.space.fitted.classes), self.space.limits
        return limits.violation(_sum(self.cost, head)) is None

    def connection_mask(self) -> tuple[bool, ...]:
        """For each distance 2, 3, … m, whether there is a node to connect to."""
        return self.space.connection_masks[self.depth]

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
        inputs = self._inputs(action)
        shapes = tuple(self.nodes[node] for node in inputs)
        found = self.space.canonical_layer(action.type, action.hyperparameters, shapes)
        actions, masks = (*self.actions, action), (*self.masks, mask)
        if found is None:
            resolved = (*self.resolved, inputs)
            return Growth(self.space, actions, masks, self.layers, self.nodes, resolved, self.cost)
        return Growth(
            self.space,
            actions,
            masks,
            layers=(*self.layers, Layer(found.type, found.hyperparameters, inputs)),
            nodes=(*self.nodes, found.output),
            resolved=(*self.resolved, (len(self.nodes),)),
            cost=_sum(self.cost, found.cost),
        )

    def stop(self) -> Trajectory:
        """The whole trajectory, ended by STOP."""
        actions, masks = (*self.actions, LayerAction(STOP)), (*self.masks, self.layer_mask(STOP))
        return Trajectory(actions, masks, architecture=self.architecture)

    def _inputs(self, action: LayerAction) -> tuple[int, ...]:
        """Canonical nodes that a layer reads, newest first; connections to before the stem do not count."""
        # Layers that vanished may lead further back than the window, which counts the layers that are left.
        oldest = len(self.nodes) - self.space.window
        if not any(action.connections):
            nodes = self.resolved[-1]
            return nodes if nodes[-1] >= oldest else tuple(node for node in nodes if node >= oldest)
        raw = [self.depth] + [
            self.depth + 1 - distance
            for distance, chosen in enumerate(action.connections, start=2)
            if chosen and distance <= self.depth + 1
        ]
        found = {node for index in raw for node in self.resolved[index]}
        return tuple(sorted((node for node in found if node >= oldest), reverse=True))


def _sum(left: Cost, right: Cost) -> Cost:
    return Cost(left.parameters + right.parameters, left.multiply_adds + right.multiply_adds)
