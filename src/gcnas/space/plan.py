"""From an architecture to shapes and cost, layer by layer, without building anything."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gcnas.errors import SpaceError
from gcnas.records import Cost, Layer
from gcnas.space.layer_type import MERGE, LayerType, cost_of, output_of
from gcnas.space.shape import Shape


@dataclass(frozen=True)
class MergePlan:
    """How the inputs of a layer become one feature map.

    The first (newest) input sets height and width. To add, every input of another shape goes through a strided
    1x1 convolution with batch normalisation; to concatenate, larger inputs are average-pooled.

    Attributes:
        mode: ``add`` or ``concat``; ``add`` where there is one input.
        shapes: Shapes of the inputs.
        strides: Stride for each input.
        output: Shape of the merged feature map.
    """

    mode: str
    shapes: tuple[Shape, ...]
    strides: tuple[int, ...]
    output: Shape

    @property
    def projected(self) -> tuple[bool, ...]:
        """For each input, whether it goes through a convolution."""
        return tuple(self.mode == "add" and shape != self.output for shape in self.shapes)

    @property
    def cost(self) -> Cost:
        """Cost of the projections."""
        out = self.output
        weights = [
            shape.channels * out.channels
            for shape, projected in zip(self.shapes, self.projected, strict=True)
            if projected
        ]
        return Cost(sum(weights) + 2 * out.channels * len(weights), sum(weights) * out.height * out.width)


@dataclass(frozen=True)
class LayerPlan:
    """Shapes and cost of one layer of an architecture."""

    layer: Layer
    merge: MergePlan
    output: Shape
    cost: Cost


def merge_mode(values: Mapping[str, Any], inputs: int) -> str:
    """How a layer with so many inputs merges them; one input is not merged, which counts as ``add``."""
    return str(values.get(MERGE, "add")) if inputs > 1 else "add"


def plan_merge(shapes: Sequence[Shape], mode: str) -> MergePlan:
    """Plan the merging of inputs, the newest first.

    Raises:
        SpaceError: If an input cannot be brought to the size of the first.
    """
    first = shapes[0]
    strides = tuple(shape.stride_to(first) for shape in shapes)
    channels = sum(shape.channels for shape in shapes) if mode == "concat" else first.channels
    return MergePlan(mode, tuple(shapes), strides, Shape(channels, first.height, first.width))


def plan_layer(layer_type: LayerType, layer: Layer, nodes: Sequence[Shape]) -> LayerPlan:
    """Plan one layer.

    Args:
        layer_type: The layer's type.
        layer: The layer.
        nodes: Shapes of the nodes before it; node 0 is the stem's output.

    Raises:
        SpaceError: If a node does not exist or the shapes do not fit.
    """
    if not layer.inputs or not all(0 <= node < len(nodes) for node in layer.inputs):
        raise SpaceError(f"A layer reads nodes before it, 0 to {len(nodes) - 1}, but got {list(layer.inputs)}.")
    values, shapes = layer.values, [nodes[node] for node in layer.inputs]
    merge = plan_merge(shapes, merge_mode(values, len(shapes)))
    output = output_of(layer_type, merge.output, values)
    if output.channels < 1:
        raise SpaceError(f"{layer_type.name} gives {output.channels} channels; it must give at least one.")
    merge.output.stride_to(output)
    inside, merging = cost_of(layer_type, merge.output, values), merge.cost
    cost = Cost(
        inside.parameters + merging.parameters,
        inside.multiply_adds + merging.multiply_adds,
        inside.activations,
    )
    return LayerPlan(layer, merge, output, cost)


def peak_activations(stem: Shape, plans: Sequence[LayerPlan]) -> int:
    """Most numbers alive at once when the layers run one after the other, for one image.

    Normalisation, activation functions and additions count as done in place. Alive during a layer are its output, what
    lives inside it, its merged input if merging made a new one, and every earlier node that this or a later layer still
    reads.
    """
    outputs = [stem, *(plan.output for plan in plans)]
    last_use = {node: index for index, plan in enumerate(plans, start=1) for node in plan.layer.inputs}
    peak = stem.numbers
    for index, plan in enumerate(plans, start=1):
        alive = sum(outputs[node].numbers for node in range(index) if last_use.get(node, 0) >= index)
        merged = plan.merge.output.numbers if len(plan.layer.inputs) > 1 else 0
        peak = max(peak, alive + merged + plan.output.numbers + plan.cost.activations)
    return peak
