"""Networks: the module that an architecture becomes."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gcnas.errors import NO_MEMORY, BuildError
from gcnas.network.blueprint import Blueprint, Step, draw_blueprint
from gcnas.network.builders import is_built_in, is_own_build
from gcnas.network.counting import count_parameters
from gcnas.network.evaluating import evaluating
from gcnas.records import Architecture
from gcnas.space import SearchSpace


class Network(nn.Module):
    """An image classifier: normalisation, stem, searched layers, head.

    Its children are ``normalise``, ``stem``, ``layer1``, ``layer2``, … and ``head``; a layer ``i`` that reads
    several nodes has a ``merge{i}`` besides.

    Shapes:
        - images: (batch, channels, height, width), values in [0, 1]
        - output: (batch, classes), logits

    Args:
        blueprint: What to build.

    Raises:
        BuildError: If a user's layer type raises, or gives a module that is not what its rules say.
    """

    def __init__(self, blueprint: Blueprint) -> None:
        super().__init__()
        self.normalise = blueprint.normalise()
        self.stem = blueprint.stem()
        self._routes = tuple((step.inputs, step.spent) for step in blueprint.steps)
        for index, step in enumerate(blueprint.steps, start=1):
            if step.merge is not None:
                self.add_module(f"merge{index}", step.merge())
            trusted = is_built_in(step.layer_type) and not is_own_build(step.layer)
            layer = step.layer() if trusted else _own_layer(step)
            self.add_module(f"layer{index}", layer)
        self.head = blueprint.head()

    def forward(self, images: Tensor) -> Tensor:
        """Logits of a batch of images."""
        nodes = {0: self.stem(self.normalise(images))}
        for index, (inputs, spent) in enumerate(self._routes, start=1):
            x = [nodes[node] for node in inputs]
            merged = x[0] if len(x) == 1 else self.get_submodule(f"merge{index}")(*x)
            nodes[index] = self.get_submodule(f"layer{index}")(merged)
            del x, merged
            for node in spent:
                del nodes[node]
        logits: Tensor = self.head(nodes[len(self._routes)])
        return logits


def build(
    space: SearchSpace, architecture: Architecture, mean: Sequence[float], std: Sequence[float]
) -> Network:
    """Build the network of an architecture.

    The initial weights are PyTorch's defaults, drawn from torch's current seed. (Kaiming's normal distribution
    and blocks that start as the identity were tried: both learn less in the first few epochs.)

    Args:
        space: Fitted space of the architecture.
        architecture: What to build.
        mean: Mean of each channel of the training images, for values in [0, 1].
        std: Standard deviation of each channel, likewise.

    Raises:
        SpaceError: If the architecture is not valid in this space.
        BuildError: If a user's layer type raises, or gives a module that is not what its rules say.
    """
    return Network(draw_blueprint(space, architecture, mean, std))


def _own_layer(step: Step) -> nn.Module:
    """Build a layer of a user's type, and hold the module against the type's own rules.

    Raises:
        BuildError: If it raises, or shapes or parameters are others.
    """
    name, shape, output = step.layer_type.name, step.plan.merge.output, step.plan.output
    try:
        module: nn.Module = step.layer()
        if not isinstance(module, nn.Module):
            raise TypeError(f"build must return a torch.nn.Module, but returned {type(module).__name__}")
        with evaluating(module):
            result = module(torch.zeros(1, shape.channels, shape.height, shape.width))
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        if isinstance(error, RuntimeError) and any(words in str(error) for words in NO_MEMORY):
            raise
        raise BuildError(f"The layer type {name!r} failed: {type(error).__name__}: {error}") from error
    given, expected = tuple(getattr(result, "shape", ())), (1, output.channels, output.height, output.width)
    if given != expected:
        raise BuildError(
            f"The layer type {name!r} must give the shape that its output_shape says, {expected} for "
            f"{shape}, but its module gives {given}; correct one of the two."
        )
    parameters = step.plan.cost.parameters - step.plan.merge.cost.parameters
    if (counted := count_parameters(module)) != parameters:
        raise BuildError(
            f"The layer type {name!r} must have as many parameters as its cost says, {parameters:,} for "
            f"{shape} and {step.plan.layer.values}, but its module has {counted:,}; correct one of the two."
        )
    return module
