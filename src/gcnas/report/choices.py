"""What was decided in a network, as columns of numbers that networks can be compared by."""

import math
from collections.abc import Sequence

import numpy as np

from gcnas.records import Architecture, Cost
from gcnas.space import SearchSpace


def choice_table(
    space: SearchSpace, architectures: Sequence[Architecture]
) -> tuple[tuple[str, ...], np.ndarray]:
    """One row for each architecture, one column for each choice that differs between some of them.

    Columns: the depth; the number of layers of each type; the mean of each numeric hyper-parameter over the layers
    that have it, 0 where none has; the share of layers with each other option; connections past a layer; how many
    layers make the map smaller, and which is the first to do so; logarithms of the three costs.

    Args:
        space: Their fitted space.
        architectures: N of them.

    Returns:
        Names of the F columns, and (N, F) numbers.
    """
    rows = [_choices(space, architecture) for architecture in architectures]
    names = sorted({name for row in rows for name in row}, key=_rank)
    table = np.array([[row.get(name, 0.0) for name in names] for row in rows]).reshape(len(rows), len(names))
    different = [index for index in range(len(names)) if np.ptp(table[:, index]) > 0]
    return tuple(names[index] for index in different), table[:, different]


def _choices(space: SearchSpace, architecture: Architecture) -> dict[str, float]:
    layers = architecture.layers
    found = {
        "layers": float(len(layers)),
        "connections past a layer": float(sum(len(x.inputs) - 1 for x in layers)),
    }
    values: dict[str, list[float]] = {}
    for layer in layers:
        found[f"{layer.type} layers"] = found.get(f"{layer.type} layers", 0.0) + 1
        for name, value in layer.hyperparameters:
            if isinstance(value, str):
                label = f"share with {name} {value}"
                found[label] = found.get(label, 0.0) + 1
            else:
                values.setdefault(name, []).append(float(value))
    found |= {name: count / len(layers) for name, count in found.items() if name.startswith("share ")}
    found |= {f"mean {name}": sum(numbers) / len(numbers) for name, numbers in values.items()}
    return found | _reductions(space, architecture) | _costs(space.cost(architecture))


def _reductions(space: SearchSpace, architecture: Architecture) -> dict[str, float]:
    """Where the feature maps become smaller; one past the last layer if nowhere."""
    before, places = space.stem.output_shape(space.fitted), []
    for place, plan in enumerate(space.plan(architecture), start=1):
        if plan.output.height < before.height or plan.output.width < before.width:
            places.append(place)
        before = plan.output
    first = places[0] if places else architecture.depth + 1
    return {"layers that shrink the map": float(len(places)), "first layer that shrinks it": float(first)}


def _costs(cost: Cost) -> dict[str, float]:
    costs = {
        "parameters": cost.parameters,
        "multiply-adds": cost.multiply_adds,
        "activations": cost.activations,
    }
    return {f"log {name}": math.log10(max(number, 1)) for name, number in costs.items()}


def _rank(name: str) -> tuple[int, str]:
    """Structure first, hyper-parameters then, costs last."""
    return 2 if name.startswith("log ") else 1 if name.startswith(("mean ", "share ")) else 0, name
