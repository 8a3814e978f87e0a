"""A network as ``model.py``: plain, readable Python that needs only torch and the weights beside it."""

import inspect
import json
from collections.abc import Sequence
from typing import Any

from torch import nn

from gcnas.errors import ExportError
from gcnas.export.definitions import Definitions, Import, file_of, import_lines
from gcnas.export.own_types import add_own_build
from gcnas.export.refusal import refused
from gcnas.export.source_check import check_source
from gcnas.network import Blueprint, Constructor, Network, draw_blueprint
from gcnas.network.builders import is_own_build
from gcnas.records import Architecture
from gcnas.space import SearchSpace, Shape

LINE_LENGTH = 112

_READER = "gcnas.export.safetensors_reader"
_RESERVED = ("CLASSES", "IMAGE_SHAPE", "WEIGHTS", "Model", "load", "main")

_FOOTER = '''
def load(path: str | Path = WEIGHTS) -> Model:
    """The network with its trained weights, ready to classify."""
    model = Model()
    model.load_state_dict(read_safetensors(path))
    return model.eval()


def main() -> None:
    """Print what this network is."""
    print(__doc__)
    print(f"{len(CLASSES)} classes: {', '.join(CLASSES)}")
    print(f"Weights: {WEIGHTS}{'' if WEIGHTS.is_file() else ' (missing)'}")


if __name__ == "__main__":
    main()
'''


def write_model_source(
    network: Network,
    space: SearchSpace,
    architecture: Architecture,
    *,
    classes: Sequence[str],
    preprocessing: str,
) -> str:
    """Write the source of ``model.py`` and check that it gives the network's outputs.

    Args:
        network: The trained network; it stays as it is.
        space: Its fitted space.
        architecture: What it was built from.
        classes: Names of the classes, in the order of the outputs.
        preprocessing: What must be done to an image file before it goes in, in words.

    Returns:
        The source. It imports only torch and the standard library; equal networks have equal sources.

    Raises:
        ExportError: If a user's layer type cannot be written as source; the message says which and why.
    """
    with refused("The network cannot be written as Python source"):
        return _checked_source(network, space, architecture, classes, preprocessing)


def _checked_source(
    network: Network, space: SearchSpace, architecture: Architecture, classes: Sequence[str], preprocessing: str
) -> str:
    if len(classes) != space.fitted.classes:
        raise ExportError(
            f"Each of the {space.fitted.classes} classes needs a name, but {len(classes)} names were given."
        )
    blueprint = draw_blueprint(
        space, architecture, *(_decimals(part) for part in (network.normalise.mean, network.normalise.std))
    )
    definitions = Definitions()
    model = _model_class(blueprint, definitions)
    definitions.imports |= {Import("pathlib", "Path"), Import("torch", "Tensor"), Import("torch", "nn")}
    definitions.add(file_of(_READER), "read_safetensors")
    if taken := sorted(set(_RESERVED) & definitions.texts.keys()):
        raise ExportError(
            f"The name {taken[0]!r} is one of model.py's own; rename it in the file of the space."
        )
    image = space.fitted
    constants = [
        *_wrapped("CLASSES = [", [_literal(name) for name in classes], "]"),
        f"IMAGE_SHAPE = {_literal((image.channels, image.height, image.width))}",
        'WEIGHTS = Path(__file__).with_name("weights.safetensors")',
    ]
    parts = [
        "\n".join([_docstring(space, architecture, preprocessing), "", *import_lines(definitions.imports)])
        + "\n",
        "\n".join(constants) + "\n\n",
        *(f"{text}\n\n" for text in definitions.texts.values()),
        f"{model}\n\n" + _FOOTER.lstrip("\n"),
    ]
    source = "\n".join(parts)
    check_source(source, network, blueprint, (image.channels, image.height, image.width))
    return source


def _model_class(blueprint: Blueprint, definitions: Definitions) -> str:
    """Source of the class Model; what it uses is added to the definitions."""
    init = _assignment("normalise", blueprint.normalise, definitions)
    init += _assignment("stem", blueprint.stem, definitions)
    forward = ["x0 = self.stem(self.normalise(images))"]
    for index, step in enumerate(blueprint.steps, start=1):
        inputs = ", ".join(f"x{node}" for node in step.inputs)
        if step.merge is not None:
            init += _assignment(f"merge{index}", step.merge, definitions)
            inputs = f"self.merge{index}({inputs})"
        if is_own_build(step.layer):
            function = add_own_build(step.layer_type, definitions)
            arguments = [_shape(step.plan.merge.output), _literal(step.plan.layer.values)]
            init += _wrapped(f"        self.layer{index} = {function}(", arguments, ")")
        else:
            init += _assignment(f"layer{index}", step.layer, definitions)
        output = step.plan.output
        forward.append(
            f"x{index} = self.layer{index}({inputs})  # {output.channels} x {output.height} x {output.width}"
        )
    init += _assignment("head", blueprint.head, definitions)
    forward.append(f"return self.head(x{len(blueprint.steps)})")
    lines = [
        "class Model(nn.Module):",
        '    """The whole network: a batch of images in, logits out."""',
        "",
        "    def __init__(self) -> None:",
        "        super().__init__()",
        *init,
        "",
        "    def forward(self, images: Tensor) -> Tensor:",
        *(f"        {line}" for line in forward),
    ]
    return "\n".join(lines) + "\n"


def _assignment(name: str, constructor: Constructor, definitions: Definitions) -> list[str]:
    """Lines ``self.name = Class(…)``, with those arguments that are not the class's defaults."""
    cls = constructor.func
    if getattr(nn, cls.__name__, None) is cls:
        function = f"nn.{cls.__name__}"
    else:
        function = cls.__name__
        definitions.add(file_of(cls.__module__), function)
    parameters = inspect.signature(cls).parameters
    keywords = {key: value for key, value in constructor.keywords.items() if parameters[key].default != value}
    arguments = [_literal(value) for value in constructor.args]
    arguments += [f"{key}={_literal(value)}" for key, value in keywords.items()]
    return _wrapped(f"        self.{name} = {function}(", arguments, ")")


def _wrapped(start: str, arguments: list[str], end: str) -> list[str]:
    """A call or a list in one line, in three, or with a line for each argument: the first that fits."""
    indent = " " * (len(start) - len(start.lstrip()))
    whole, inner = f"{start}{', '.join(arguments)}{end}", f"{indent}    {', '.join(arguments)}"
    if len(whole) <= LINE_LENGTH:
        return [whole]
    if len(inner) <= LINE_LENGTH and end == ")":
        return [start, inner, f"{indent}{end}"]
    return [start, *(f"{indent}    {argument}," for argument in arguments), f"{indent}{end}"]


def _docstring(space: SearchSpace, architecture: Architecture, preprocessing: str) -> str:
    image, cost = space.fitted, space.cost(architecture)
    # Names of folders and files may stand in it: nothing may end the docstring or be no text at all.
    preprocessing = "".join(sign if sign.isprintable() else " " for sign in preprocessing)
    preprocessing = preprocessing.replace("\\", "\\\\").replace('"""', "'''")
    return f'''"""An image classifier found by architecture search (architecture {architecture.fingerprint}).

Input: float tensor of shape (batch, {image.channels}, {image.height}, {image.width}), values from 0 to 1.
Preprocessing: {preprocessing}
Output: logits of shape (batch, {image.classes}), one for each name in CLASSES.
Cost: {cost.parameters:,} parameters, {cost.multiply_adds:,} multiply-adds an image.

Needs torch and the file weights.safetensors beside this one:

    import model
    network = model.load()
    probabilities = network(images).softmax(dim=1)
"""'''


def _decimals(values: Any) -> list[float]:
    """Numbers as they are worth reading; the exact ones are among the weights."""
    return [round(value, 6) for value in values.flatten().tolist()]


def _shape(shape: Shape) -> str:
    return f"Shape({shape.channels}, {shape.height}, {shape.width})"


def _literal(value: Any) -> str:
    """Source of numbers, strings, and tuples and dictionaries of them."""
    if isinstance(value, str):
        text = json.dumps(value, ensure_ascii=False)
        # JSON would write what lies beyond 16 bits as two surrogates, which are other text in Python.
        return text if text.isprintable() else ascii(value)
    if isinstance(value, tuple | list):
        return f"({', '.join(map(_literal, value))}{',' * (len(value) == 1)})"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_literal(key)}: {_literal(part)}" for key, part in value.items()) + "}"
    if value is None or isinstance(value, int | float):
        return repr(value)
    raise ExportError(f"An argument of a module cannot be written as source: {value!r}.")
