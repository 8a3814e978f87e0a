"""Blueprints: an architecture as the constructor calls of its modules, before anything is built."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from gcnas.network import blocks
from gcnas.network.builders import Constructor, layer_constructor, merge_constructor
from gcnas.records import Architecture
from gcnas.space import LayerPlan, LayerType, SearchSpace


@dataclass(frozen=True)
class Step:
    """One layer of a network.

    Attributes:
        layer_type: Type of the layer.
        plan: Its shapes and its cost.
        merge: Constructor call of the module that merges its inputs; None where it reads one node.
        layer: Constructor call of the layer itself.
        spent: Nodes that no later layer reads.
    """

    layer_type: LayerType
    plan: LayerPlan
    merge: Constructor | None
    layer: Constructor
    spent: tuple[int, ...]

    @property
    def inputs(self) -> tuple[int, ...]:
        """Nodes that the layer reads, newest first; node 0 is the stem's output."""
        return self.plan.layer.inputs


@dataclass(frozen=True)
class Blueprint:
    """The constructor calls of a whole network."""

    normalise: Constructor
    stem: Constructor
    steps: tuple[Step, ...]
    head: Constructor


def draw_blueprint(
    space: SearchSpace, architecture: Architecture, mean: Sequence[float], std: Sequence[float]
) -> Blueprint:
    """Draw the blueprint of an architecture.

    Args:
        space: Fitted space of the architecture.
        architecture: What to build.
        mean: Mean of each channel of the training images, for values in [0, 1].
        std: Standard deviation of each channel, likewise.

    Raises:
        SpaceError: If the architecture is not valid in this space.
        BuildError: If a layer type does not say what its module is.
    """
    image, plans = space.fitted, space.plan(architecture)
    stem = space.stem.output_shape(image)
    last = plans[-1].output if plans else stem
    last_use = {node: index for index, plan in enumerate(plans) for node in plan.layer.inputs}
    return Blueprint(
        normalise=partial(blocks.Normalise, mean=tuple(mean), std=tuple(std)),
        stem=partial(blocks.Stem, image.channels, stem.channels, stride=space.stem.stride(image)),
        steps=tuple(
            _step(space, plan, tuple(node for node in sorted(last_use) if last_use[node] == index))
            for index, plan in enumerate(plans)
        ),
        head=partial(blocks.Head, last.channels, image.classes),
    )


def _step(space: SearchSpace, plan: LayerPlan, spent: tuple[int, ...]) -> Step:
    layer_type = space.type_of(plan.layer)
    return Step(
        layer_type,
        plan,
        merge=merge_constructor(plan.merge) if len(plan.layer.inputs) > 1 else None,
        layer=layer_constructor(layer_type, plan.merge.output, plan.layer.values),
        spent=spent,
    )
