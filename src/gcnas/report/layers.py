"""An architecture in words and as a table of its layers."""

from dataclasses import dataclass

from gcnas.records import Architecture, HyperparameterValue, Layer
from gcnas.space import SearchSpace, Shape

_ABBREVIATIONS = {
    "filters": "",
    "kernel_size": "k",
    "stride": "s",
    "dilation": "d",
    "expansion": "x",
    "repeats": "n",
}
_PLAIN: dict[str, HyperparameterValue] = {
    "stride": 1,
    "dilation": 1,
    "expansion": 1,
    "repeats": 1,
    "squeeze_excite": 0.0,
    "activation": "relu",
    "dropout": 0.0,
}
"""Values that go without saying."""
_ORDER = (
    "filters",
    "kernel_size",
    "stride",
    "dilation",
    "expansion",
    "repeats",
    "squeeze_excite",
    "activation",
    "dropout",
)


@dataclass(frozen=True)
class LayerRow:
    """One line of the table of layers.

    Attributes:
        layer: ``stem``, the layer's number counted from 1, or ``head``.
        type: Name of the type.
        hyperparameters: In words.
        inputs: What the layer reads, and how several inputs become one.
        output: Shape of the output, ``channels × height × width``; None if unknown, as the two costs.
        parameters: Parameters, with the projections of merged inputs.
        multiply_adds: Multiply-adds for one image.
    """

    layer: str
    type: str
    hyperparameters: str
    inputs: str
    output: str | None = None
    parameters: int | None = None
    multiply_adds: int | None = None


def describe(architecture: Architecture) -> str:
    """One line, such as ``residual_block 16 k3 > residual_block 32 k3 s2 (+0) > max_pool k2``.

    ``(+0)`` says that the output of node 0 (the stem) is added to the layer's input, ``(concat 0)`` that it is
    concatenated.
    """
    return " > ".join(_brief(layer, number) for number, layer in enumerate(architecture.layers, start=1))


def hyperparameters(layer: Layer) -> str:
    """The hyper-parameters in words, without those that go without saying."""
    words = {
        "filters": "{} filters",
        "kernel_size": "{0}\u00d7{0}",
        "stride": "stride {}",
        "dilation": "dilation {}",
        "expansion": "expansion {}",
        "repeats": "{} blocks",
        "squeeze_excite": "SE {}",
        "activation": "{}",
        "dropout": "dropout {}",
    }
    return ", ".join(
        words[name].format(value) if name in words else f"{name} {value}" for name, value in _telling(layer)
    )


def merge_mode(layer: Layer) -> str:
    """``add`` or ``concat``: how several inputs become one."""
    return "concat" if layer.values.get("merge") == "concat" else "add"


def size(shape: Shape) -> str:
    """``16 × 28 × 28``."""
    return f"{shape.channels} \u00d7 {shape.height} \u00d7 {shape.width}"


def layer_table(architecture: Architecture, space: SearchSpace | None = None) -> list[LayerRow]:
    """Stem, layers and head, one row each.

    Args:
        architecture: The architecture.
        space: Its fitted space; without it, shapes and costs stay None.

    Raises:
        SpaceError: If the architecture is no point of the space.
    """
    if space is None:
        return [
            LayerRow("stem", "conv2d", "3\u00d73", "image"),
            *(_row(number, layer) for number, layer in enumerate(architecture.layers, start=1)),
            LayerRow("head", "linear", "global average pooling", _node(architecture.depth)),
        ]
    image, plans = space.fitted, space.plan(architecture)
    stem, stride = space.stem.output_shape(image), space.stem.stride(image)
    stem_cost = space.stem.cost(image)
    last = plans[-1].output if plans else stem
    head = space.head.cost(last, image.classes)
    stem_words = f"{space.stem.filters} filters, 3\u00d73" + (f", stride {stride}" if stride > 1 else "")
    rows = [
        LayerRow(
            "stem", "conv2d", stem_words, "image", size(stem), stem_cost.parameters, stem_cost.multiply_adds
        )
    ]
    for number, plan in enumerate(plans, start=1):
        row = _row(number, plan.layer)
        rows.append(
            LayerRow(
                row.layer,
                row.type,
                row.hyperparameters,
                row.inputs,
                size(plan.output),
                plan.cost.parameters,
                plan.cost.multiply_adds,
            )
        )
    words, output = "global average pooling", f"{image.classes} classes"
    reads = _node(architecture.depth)
    return [*rows, LayerRow("head", "linear", words, reads, output, head.parameters, head.multiply_adds)]


def _row(number: int, layer: Layer) -> LayerRow:
    reads = ", ".join(_node(node) for node in layer.inputs)
    mode = f" ({merge_mode(layer)})" if len(layer.inputs) > 1 else ""
    return LayerRow(str(number), layer.type, hyperparameters(layer), reads + mode)


def _node(node: int) -> str:
    return "stem" if node == 0 else str(node)


def _telling(layer: Layer) -> list[tuple[str, HyperparameterValue]]:
    rank = {name: index for index, name in enumerate(_ORDER)}
    pairs = sorted(layer.hyperparameters, key=lambda pair: (rank.get(pair[0], len(rank)), pair[0]))
    return [(name, value) for name, value in pairs if name != "merge" and _PLAIN.get(name) != value]


def _brief(layer: Layer, number: int) -> str:
    words = [layer.type]
    for name, value in _telling(layer):
        if name in _ABBREVIATIONS:
            words.append(f"{_ABBREVIATIONS[name]}{value}")
        else:
            words.append(str(value) if name == "activation" else f"{name}={value}")
    others = [node for node in layer.inputs if node != number - 1]
    if others:
        sign = "+" if merge_mode(layer) == "add" else "concat "
        words.append("(" + " ".join(f"{sign}{node}" for node in others) + ")")
    return " ".join(words)
