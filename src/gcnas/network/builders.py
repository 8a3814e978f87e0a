"""Which module a layer type becomes.

A builder gives the module's *constructor call*, a ``functools.partial``, instead of the module itself: building
a network makes the call, exporting one as Python source writes it down.
"""

from collections.abc import Callable, Collection
from functools import partial
from typing import Any, TypeAlias

from torch import nn

from gcnas.errors import BuildError, SpaceError
from gcnas.network import blocks
from gcnas.space import LayerType, MergePlan, Shape, Values
from gcnas.space.presets import cnn, mobile

Constructor: TypeAlias = partial[Any]
Builder: TypeAlias = Callable[[Shape, Values], Constructor]

_BUILDERS: dict[type[LayerType], Builder] = {}


def builder(layer_type: type[LayerType]) -> Callable[[Builder], Builder]:
    """Register a function as the builder of a layer type and of the types derived from it.

    The function takes the shape of the merged input and the hyper-parameters, and gives a ``partial`` of a
    class that depends only on torch. A type with a method ``build`` needs no builder.

    Raises:
        SpaceError: If the type has a builder already.
    """

    def register(function: Builder) -> Builder:
        if layer_type in _BUILDERS:
            raise SpaceError(f"{layer_type.__name__} has a builder already; derive a class to give it another.")
        _BUILDERS[layer_type] = function
        return function

    return register


def layer_constructor(layer_type: LayerType, shape: Shape, values: Values) -> Constructor:
    """Constructor call of a layer: by the type's own ``build``, or the builder of the nearest base class.

    Raises:
        BuildError: If the type has neither.
    """
    for cls in type(layer_type).__mro__:
        if cls in _BUILDERS:
            return _BUILDERS[cls](shape, values)
        if "build" in vars(cls) and cls is not LayerType:
            return partial(layer_type.build, shape, values)
    raise BuildError(
        f"The layer type {layer_type.name!r} does not say what its module is; give it a method "
        "build(self, shape, values) that returns a torch.nn.Module."
    )


def is_built_in(layer_type: LayerType) -> bool:
    """Whether a layer type is one of this package, perhaps with other options."""
    return type(layer_type).__module__.startswith("gcnas.")


def is_own_build(constructor: Constructor) -> bool:
    """Whether a constructor call is that of a type's own ``build`` method."""
    return isinstance(getattr(constructor.func, "__self__", None), LayerType)


def merge_constructor(merge: MergePlan) -> Constructor:
    """Constructor call of the module that makes several inputs one."""
    if merge.mode == "concat":
        return partial(blocks.MergeConcat, strides=merge.strides)
    channels = tuple(shape.channels for shape in merge.shapes)
    return partial(blocks.MergeAdd, channels=channels, strides=merge.strides)


ACTIVATIONS = ("relu", "hard_swish")


def _known(name: str, values: Values, known: Collection[Any]) -> Any:
    """A hyper-parameter, if its option is one that the modules here are made for.

    Raises:
        BuildError: If it is not.
    """
    if (option := values[name]) not in known:
        raise BuildError(
            f"The built-in layer types know no {name} {option!r}, only {', '.join(map(str, known))}; give a type with "
            "other options a method build(self, shape, values) that returns a torch.nn.Module."
        )
    return option


@builder(cnn.Conv2d)
def _conv2d(shape: Shape, values: Values) -> Constructor:
    return partial(
        blocks.ConvBlock,
        shape.channels,
        values["filters"],
        kernel_size=values["kernel_size"],
        stride=values["stride"],
        dilation=values["dilation"],
        activation=_known("activation", values, ACTIVATIONS),
        dropout=values["dropout"],
    )


@builder(cnn.SeparableConv2d)
def _separable_conv2d(shape: Shape, values: Values) -> Constructor:
    return partial(
        blocks.SeparableConv,
        shape.channels,
        values["filters"],
        kernel_size=values["kernel_size"],
        stride=values["stride"],
        activation=_known("activation", values, ACTIVATIONS),
        dropout=values["dropout"],
    )


@builder(cnn.InvertedBottleneck)
def _inverted_bottleneck(shape: Shape, values: Values) -> Constructor:
    ratio = values["squeeze_excite"]
    return partial(
        blocks.InvertedBottleneck,
        shape.channels,
        values["filters"],
        kernel_size=values["kernel_size"],
        stride=values["stride"],
        expansion=values["expansion"],
        squeezed=cnn.squeezed_channels(shape.channels, ratio) if ratio else 0,
        activation=_known("activation", values, ACTIVATIONS),
        dropout=values["dropout"],
    )


@builder(mobile.BottleneckStage)
def _bottleneck_stage(shape: Shape, values: Values) -> Constructor:
    ratio, filters = values["squeeze_excite"], values["filters"]
    squeezed = (cnn.squeezed_channels(shape.channels, ratio), cnn.squeezed_channels(filters, ratio))
    return partial(
        blocks.BottleneckStage,
        shape.channels,
        filters,
        kernel_size=values["kernel_size"],
        repeats=values["repeats"],
        stride=values["stride"],
        expansion=values["expansion"],
        squeezed=squeezed if ratio else (0, 0),
        activation=_known("activation", values, ACTIVATIONS),
    )


@builder(mobile.Pointwise)
def _pointwise(shape: Shape, values: Values) -> Constructor:
    return partial(
        blocks.ConvBlock,
        shape.channels,
        values["filters"],
        kernel_size=1,
        activation=_known("activation", values, ACTIVATIONS),
    )


@builder(cnn.ResidualBlock)
def _residual_block(shape: Shape, values: Values) -> Constructor:
    return partial(
        blocks.ResidualBlock,
        shape.channels,
        values["filters"],
        kernel_size=values["kernel_size"],
        stride=values["stride"],
        activation=_known("activation", values, ACTIVATIONS),
        dropout=values["dropout"],
    )


# Both settings give ceil(size / 2) rows and columns, as the shape rule says.
_PADDING: dict[int, dict[str, Any]] = {2: {"ceil_mode": True}, 3: {"padding": 1}}


@builder(cnn.MaxPool)
def _max_pool(shape: Shape, values: Values) -> Constructor:  # noqa: ARG001
    kernel_size = _known("kernel_size", values, _PADDING)
    return partial(nn.MaxPool2d, kernel_size, stride=2, **_PADDING[kernel_size])


@builder(cnn.AvgPool)
def _avg_pool(shape: Shape, values: Values) -> Constructor:  # noqa: ARG001
    kernel_size = _known("kernel_size", values, _PADDING)
    return partial(nn.AvgPool2d, kernel_size, stride=2, count_include_pad=False, **_PADDING[kernel_size])
