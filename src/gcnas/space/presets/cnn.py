"""The ``cnn`` preset: convolutional networks for small images.

Cost conventions: convolutions have no bias and are followed by batch normalisation (two parameters a channel);
only convolutions and linear layers count as multiply-adds.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, ClassVar

from gcnas.errors import SpaceError
from gcnas.records import Architecture, Cost, HyperparameterValue, Layer
from gcnas.space.choice import Choice
from gcnas.space.layer_type import LayerType, Values
from gcnas.space.search_space import SearchSpace
from gcnas.space.shape import Shape

FILTERS = (8, 12, 16, 24, 32, 48, 64, 96, 128)


class _Convolutional(LayerType):
    """What all convolutional types share."""

    name: ClassVar[str] = "convolutional"
    filters = Choice(*FILTERS)
    stride = Choice(1, 2)
    activation = Choice("relu", "hard_swish")
    dropout = Choice(0.0, 0.1)
    merge = Choice("add", "concat")

    def output_shape(self, shape: Shape, values: Values) -> Shape:
        """Height and width divided by the stride, rounded up."""
        return shape.strided(values["filters"], values["stride"])


class Conv2d(_Convolutional):
    """Convolution, batch normalisation, activation."""

    name = "conv2d"
    kernel_size = Choice(1, 3, 5)
    dilation = Choice(1, 2)

    def canonical(self, shape: Shape, values: Values) -> dict[str, HyperparameterValue] | None:
        """A dilation needs a kernel larger than 1, no stride and room for the widened kernel."""
        canonical = super().canonical(shape, values)
        if canonical is not None and (
            canonical["kernel_size"] == 1 or canonical["stride"] != 1 or shape.side < 2 * values["kernel_size"]
        ):
            canonical["dilation"] = min(self.options("dilation"))
        return canonical

    def cost(self, shape: Shape, values: Values) -> Cost:
        """One convolution."""
        return _convolution(shape, self.output_shape(shape, values), values["kernel_size"])


class SeparableConv2d(_Convolutional):
    """Depthwise and pointwise convolution, each with batch normalisation and activation (MobileNet)."""

    name = "separable_conv2d"
    kernel_size = Choice(3, 5)

    def cost(self, shape: Shape, values: Values) -> Cost:
        """A depthwise and a pointwise convolution."""
        inner = shape.strided(shape.channels, values["stride"])
        return _sum(
            _depthwise(inner, values["kernel_size"]),
            _convolution(inner, self.output_shape(shape, values), 1),
            activations=inner.numbers,
        )


class InvertedBottleneck(_Convolutional):
    """Expansion, depthwise convolution, optional squeeze-excitation, projection (MobileNetV2 and V3).

    The input is added to the output where their shapes are equal. Squeeze-excitation works with a quarter of
    the input's channels.
    """

    name = "inverted_bottleneck"
    kernel_size = Choice(3, 5)
    expansion = Choice(1, 2, 3, 4, 6)
    squeeze_excite = Choice(0.0, 0.25)

    def cost(self, shape: Shape, values: Values) -> Cost:
        """Expansion (unless it is 1), depthwise convolution, squeeze-excitation, projection."""
        hidden = shape.strided(shape.channels * values["expansion"])
        inner = hidden.strided(hidden.channels, values["stride"])
        parts = [_convolution(shape, hidden, 1)] if values["expansion"] > 1 else []
        parts += [_depthwise(inner, values["kernel_size"])]
        if values["squeeze_excite"]:
            squeezed = squeezed_channels(shape.channels, values["squeeze_excite"])
            weights = 2 * squeezed * inner.channels
            parts += [Cost(weights + squeezed + inner.channels, weights)]
        parts += [_convolution(inner, self.output_shape(shape, values), 1)]
        # Without an expansion, what the depthwise convolution reads is the layer's input.
        expanded = hidden.numbers if values["expansion"] > 1 else 0
        return _sum(*parts, activations=expanded + inner.numbers)


class ResidualBlock(_Convolutional):
    """Two convolutions and a shortcut (ResNet's basic block)."""

    name = "residual_block"
    kernel_size = Choice(3, 5)

    def cost(self, shape: Shape, values: Values) -> Cost:
        """Two convolutions, and a pointwise one on the shortcut where the shape changes."""
        output, kernel_size = self.output_shape(shape, values), values["kernel_size"]
        parts = [_convolution(shape, output, kernel_size), _convolution(output, output, kernel_size)]
        if shape != output:
            parts.append(_convolution(shape, output, 1))
        return _sum(*parts, activations=output.numbers)


class _Pooling(LayerType):
    """What both kinds of pooling share: stride 2, which vanishes where the size no longer allows it."""

    name: ClassVar[str] = "pooling"
    kernel_size = Choice(2, 3)
    merge = Choice("add", "concat")

    def output_shape(self, shape: Shape, values: Values) -> Shape:  # noqa: ARG002
        """Half of the height and width, rounded up."""
        return shape.strided(shape.channels, 2)

    def cost(self, shape: Shape, values: Values) -> Cost:  # noqa: ARG002
        """Nothing that counts."""
        return Cost()

    def canonical(self, shape: Shape, values: Values) -> dict[str, HyperparameterValue] | None:
        """None where the size is too small to be halved."""
        return dict(values) if shape.allows(2) else None


class MaxPool(_Pooling):
    """Maximum pooling with stride 2."""

    name = "max_pool"


class AvgPool(_Pooling):
    """Average pooling with stride 2."""

    name = "avg_pool"


def squeezed_channels(channels: int, ratio: float) -> int:
    """Channels inside squeeze-excitation, from those of the block's input."""
    return max(1, int(channels * ratio))


def _convolution(shape: Shape, output: Shape, kernel_size: int) -> Cost:
    weights = shape.channels * output.channels * kernel_size**2
    return Cost(weights + 2 * output.channels, weights * output.height * output.width)


def _depthwise(output: Shape, kernel_size: int) -> Cost:
    weights = output.channels * kernel_size**2
    return Cost(weights + 2 * output.channels, weights * output.height * output.width)


def _sum(*parts: Cost, activations: int) -> Cost:
    return Cost(sum(part.parameters for part in parts), sum(part.multiply_adds for part in parts), activations)


def resnet8(space: SearchSpace, widths: tuple[int, int, int] = (16, 32, 64)) -> Architecture:
    """ResNet-8: three residual blocks, the last two with stride 2 where the size allows it.

    No reference, but what these are compared with.
    """
    return _canonical(
        space,
        [
            space.layer("residual_block", after=index, filters=filters, stride=1 if index == 0 else 2)
            for index, filters in enumerate(widths)
        ],
    )


Widths = tuple[int | None, ...]
"""Filters of layers in their order; None for a maximum pooling."""

RESNET_WIDTHS: tuple[Widths, ...] = (
    (16, None, 24, 32, None, 48),
    (12, None, 24, None, 32, None, 48),
    (8, None, 16, None, 32, None, 48),
    (8, None, 16, None, 24, None, 32),
    (8, None, 12, None, 16, None, 24),
    (8, None, 8, None, 12, None, 16),
    (8, None, 8, None, 8, None, 8),
)
"""Widths of the convolution and the three blocks of the ResNet-9-like references. The first is within the size of
ResNet-8, the second within half of its multiply-adds (``benchmarks/designs.py``)."""


def resnet9(space: SearchSpace, widths: Widths = RESNET_WIDTHS[0]) -> Architecture:
    """A convolution and three residual blocks with maximum pooling between them: nine layers with stem and head."""
    return _stacked(space, widths, later="residual_block")


VGG_WIDTHS = (
    (24, 48, 64, 48),
    (24, 48, 48, 48),
    (16, 32, 64, 64),
    (16, 32, 48, 32),
    (12, 24, 48, 48),
    (12, 24, 32, 24),
    (8, 16, 24, 16),
    (8, 12, 16, 12),
    (8, 8, 12, 8),
    (8, 8, 8, 8),
)
"""Widths of the four convolutions of the VGG-like references. The first learns most in a given time of the designs in
``benchmarks/designs.py`` within the size of ResNet-8, the third of those within half of its multiply-adds, on images
that are in no benchmark's test."""


POOLED_WIDTHS = (
    (24, 48, 64, 48),
    (24, 32, 64, 48),
    (16, 24, 48, 64),
    (12, 24, 48, 48),
    (8, 24, 32, 48),
    (8, 16, 32, 32),
    (8, 12, 24, 32),
    (8, 12, 16, 24),
    (8, 8, 16, 16),
    (8, 8, 8, 8),
)
"""Widths of the four convolutions of the references that pool first."""


def vgg(space: SearchSpace, widths: tuple[int, int, int, int] = VGG_WIDTHS[0]) -> Architecture:
    """Four 3x3 convolutions with maximum pooling between them, in the manner of VGG."""
    one, two, three, four = widths
    return _stacked(space, (one, None, two, None, three, None, four))


def pooled(space: SearchSpace, widths: tuple[int, int, int, int] = POOLED_WIDTHS[0]) -> Architecture:
    """Four 3x3 convolutions, maximum pooling before all of them and before each of the last two.

    A layer of equal width takes a quarter of the multiply-adds that it takes before the pooling, so that more
    parameters fit within tight limits of these.
    """
    one, two, three, four = widths
    return _stacked(space, (None, one, two, None, three, None, four))


def _stacked(space: SearchSpace, widths: Widths, later: str = "conv2d") -> Architecture:
    """Layers with 3x3 kernels and maximum pooling; the first layer is a convolution, later ones are of some type."""
    layers: list[Layer] = []
    for width in widths:
        if width is None:
            layers.append(space.layer("max_pool", after=len(layers)))
        else:
            kind = later if layers else "conv2d"
            layers.append(space.layer(kind, after=len(layers), filters=width, kernel_size=3))
    return _canonical(space, layers)


def _canonical(space: SearchSpace, layers: list[Layer]) -> Architecture:
    growth = space.start()
    for index, layer in enumerate(layers, start=1):
        growth = growth.add(space.encode_layer(layer, index))
    return growth.architecture


def _widest(
    draw: Callable[[SearchSpace, Any], Architecture], family: Sequence[Widths], space: SearchSpace
) -> Architecture | None:
    """The widest of a family that the space has and that is within the limits."""
    for widths in family:
        with suppress(SpaceError):  # a space made of this one may have fewer layers, types or options
            drawn = draw(space, widths)
            if space.limits.violation(space.cost(drawn)) is None:
                return drawn
    return None


def _pooled_where_vgg_starves(space: SearchSpace) -> Architecture | None:
    """The widest that pools first, if the limits leave the widest ``vgg`` less than half of its parameters.

    Elsewhere ``vgg`` learns more, and a worse design that looks better after a short training does harm.
    """
    early, late = _widest(pooled, POOLED_WIDTHS, space), _widest(vgg, VGG_WIDTHS, space)
    if early is None or late is None:
        return early
    return early if 2 * space.cost(late).parameters < space.cost(early).parameters else None


CNN = SearchSpace(
    name="cnn",
    layer_types=(Conv2d(), SeparableConv2d(), InvertedBottleneck(), ResidualBlock(), MaxPool(), AvgPool()),
    references={
        "resnet9": partial(_widest, resnet9, RESNET_WIDTHS),
        "vgg": partial(_widest, vgg, VGG_WIDTHS),
        "pooled": _pooled_where_vgg_starves,
    },
    lasting=(resnet9,),
)
"""Depth 2 to 20, window 4, six layer types; references are, each the widest within the limits, a ResNet-9, a network
in the manner of VGG, and, where limits of multiply-adds starve that, one like it that pools first. The widest ResNet-9
lasts; of narrower ones it is not known."""
