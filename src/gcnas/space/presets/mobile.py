"""The ``mobile`` preset: stages of inverted bottlenecks, in which MobileNetV2 and EfficientNet-B0 are points.

Costs are counted as in the ``cnn`` preset, whose inverted bottleneck is the block of a stage.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from gcnas.errors import SpaceError
from gcnas.records import Architecture, Cost, Layer
from gcnas.space.choice import Choice
from gcnas.space.frame import Stem
from gcnas.space.layer_type import LayerType, Values
from gcnas.space.presets.cnn import Conv2d, InvertedBottleneck
from gcnas.space.search_space import SearchSpace
from gcnas.space.shape import Shape

_BLOCK = InvertedBottleneck()
_CONVOLUTION = Conv2d()


class BottleneckStage(LayerType):
    """Several inverted bottlenecks: the first changes size and channels, the others keep them.

    Each block is that of the ``cnn`` preset; its squeeze-excitation works with a share of the block's input channels.
    """

    repeats = Choice(1, 2, 3, 4)
    filters = Choice(8, 12, 16, 24, 32, 40, 48, 64, 80, 96, 112, 128, 160, 192, 256, 320)
    kernel_size = Choice(3, 5)
    expansion = Choice(1, 2, 3, 4, 6)
    stride = Choice(1, 2)
    squeeze_excite = Choice(0.0, 0.25)
    activation = Choice("relu", "hard_swish")

    def output_shape(self, shape: Shape, values: Values) -> Shape:
        """Height and width divided by the stride of the first block, rounded up."""
        return shape.strided(values["filters"], values["stride"])

    def cost(self, shape: Shape, values: Values) -> Cost:
        """The first block and its repetitions, which hold their own input besides."""
        first = _BLOCK.cost(shape, values)
        repeated = values["repeats"] - 1
        if not repeated:
            return first
        output = self.output_shape(shape, values)
        other = _BLOCK.cost(output, {**values, "stride": 1})
        return Cost(
            first.parameters + repeated * other.parameters,
            first.multiply_adds + repeated * other.multiply_adds,
            max(first.activations, other.activations + output.numbers),
        )


class Pointwise(LayerType):
    """1x1 convolution, batch normalisation, activation: the widening before the head of mobile networks."""

    repeatable = False
    filters = Choice(32, 64, 128, 192, 256, 320, 512, 640, 960, 1280)
    activation = Choice("relu", "hard_swish")

    def output_shape(self, shape: Shape, values: Values) -> Shape:
        """Other channels, the same size."""
        return shape.strided(values["filters"])

    def cost(self, shape: Shape, values: Values) -> Cost:
        """One convolution."""
        return _CONVOLUTION.cost(shape, {**values, "kernel_size": 1, "stride": 1})


@dataclass(frozen=True)
class Stage:
    """One row of the tables in which the papers give their networks."""

    expansion: int
    filters: int
    repeats: int
    stride: int
    kernel_size: int = 3


MOBILENET_V2 = (
    Stage(1, 16, 1, 1),
    Stage(6, 24, 2, 2),
    Stage(6, 32, 3, 2),
    Stage(6, 64, 4, 2),
    Stage(6, 96, 3, 1),
    Stage(6, 160, 3, 2),
    Stage(6, 320, 1, 1),
)
"""Sandler et al. 2018, table 2."""

EFFICIENTNET_B0 = (
    Stage(1, 16, 1, 1),
    Stage(6, 24, 2, 2),
    Stage(6, 40, 2, 2, 5),
    Stage(6, 80, 3, 2),
    Stage(6, 112, 3, 1, 5),
    Stage(6, 192, 4, 2, 5),
    Stage(6, 320, 1, 1),
)
"""Tan and Le 2019, table 1."""

SMALL_WIDTHS = (
    (16, 24, 40, 80, 320),
    (16, 24, 32, 64, 192),
    (12, 16, 24, 48, 128),
    (8, 12, 16, 32, 64),
    (8, 8, 12, 16, 32),
)
"""Filters of the four stages and of the last convolution of the small references, the widest first."""


def mobilenet_v2(space: SearchSpace, stages: Sequence[Stage] = MOBILENET_V2, last: int = 1280) -> Architecture:
    """MobileNetV2 of width 1.0, or a network of other stages in its manner, with ReLU in place of ReLU6.

    Args:
        space: The fitted ``mobile`` space.
        stages: The stages.
        last: Filters of the convolution before the head.
    """
    return _stages(space, stages, last, squeeze_excite=0.0, activation="relu")


def efficientnet_b0(
    space: SearchSpace, stages: Sequence[Stage] = EFFICIENTNET_B0, last: int = 1280
) -> Architecture:
    """EfficientNet-B0, or a network of other stages in its manner, with hard swish in place of swish.

    Args:
        space: The fitted ``mobile`` space.
        stages: The stages.
        last: Filters of the convolution before the head.
    """
    return _stages(space, stages, last, squeeze_excite=0.25, activation="hard_swish")


def _stages(
    space: SearchSpace, stages: Sequence[Stage], last: int, squeeze_excite: float, activation: str
) -> Architecture:
    values: dict[str, Any] = {"squeeze_excite": squeeze_excite, "activation": activation}
    layers: list[Layer] = [
        space.layer("bottleneck_stage", after=index, **vars(stage), **values)
        for index, stage in enumerate(stages)
    ]
    layers.append(space.layer("pointwise", after=len(layers), filters=last, activation=activation))
    growth = space.start()
    for index, layer in enumerate(layers, start=1):
        growth = growth.add(space.encode_layer(layer, index))
    return growth.architecture


def _small(widths: tuple[int, ...]) -> tuple[Stage, ...]:
    """Four stages with three strides: 28 or 32 rows become 4. The narrowest strides at once, to be cheap."""
    first, second, third, fourth, _ = widths
    strides = (2, 2, 2, 1) if widths == SMALL_WIDTHS[-1] else (1, 2, 2, 2)
    return (
        Stage(1, first, 1, strides[0]),
        Stage(4, second, 2, strides[1]),
        Stage(4, third, 2, strides[2]),
        Stage(4, fourth, 2, strides[3]),
    )


def _within(
    draw: Callable[[SearchSpace, Sequence[Stage], int], Architecture], rank: int, space: SearchSpace
) -> Architecture | None:
    """The small network of a family that is the ``rank``-th widest within the limits."""
    within: list[Architecture] = []
    for widths in SMALL_WIDTHS:
        with suppress(SpaceError):  # a space made of this one may have fewer layers, types or options
            drawn = draw(space, _small(widths), widths[-1])
            if space.limits.violation(space.cost(drawn)) is None:
                within.append(drawn)
    return within[rank] if rank < len(within) else None


MOBILE = SearchSpace(
    name="mobile",
    layer_types=(BottleneckStage(), Pointwise()),
    max_depth=12,
    window=2,
    stem=Stem(32, doubled_above=(48,)),
    references={
        "mobilenet": partial(_within, mobilenet_v2, 0),
        "mobilenet-smaller": partial(_within, mobilenet_v2, 1),
        "efficientnet": partial(_within, efficientnet_b0, 0),
    },
)
"""2 to 12 stages or pointwise convolutions, window 2; references are small networks in the manner of MobileNetV2 and
EfficientNet within the limits."""
