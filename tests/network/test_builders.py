from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from gcnas.errors import BuildError, SpaceError
from gcnas.network import blocks, builder
from gcnas.network.builders import is_own_build, layer_constructor
from gcnas.space import Choice, LayerType, Shape, Values
from gcnas.space.presets import CNN, cnn

SHAPE = Shape(4, 8, 8)


def test_every_type_of_the_preset_has_a_builder() -> None:
    for layer_type in CNN.layer_types:
        values = {choice.name: choice.options[-1] for choice in layer_type.choices}
        constructor = layer_constructor(layer_type, SHAPE, values)
        assert not is_own_build(constructor)
        output = layer_type.output_shape(SHAPE, values)
        shape = (2, output.channels, output.height, output.width)
        assert constructor()(torch.rand(2, 4, 8, 8)).shape == shape, layer_type.name


def test_a_derived_type_takes_the_builder_of_its_base() -> None:
    class WideConv(cnn.Conv2d):
        filters = Choice(256, 512)

    values = {choice.name: choice.options[0] for choice in WideConv.choices}
    constructor = layer_constructor(WideConv(), SHAPE, values)
    assert constructor.func is blocks.ConvBlock
    assert constructor.args == (4, 256)


def test_a_derived_type_with_a_build_method_takes_that() -> None:
    class OwnConv(cnn.Conv2d):
        def build(self, shape: Shape, values: Values) -> nn.Module:
            return nn.Identity()

    constructor = layer_constructor(OwnConv(), SHAPE, {})
    assert is_own_build(constructor)
    assert isinstance(constructor(), nn.Identity)


def test_a_type_can_be_given_one_builder() -> None:
    class Pass(LayerType):
        pass

    @builder(Pass)
    def build_pass(shape: Shape, values: Values) -> partial[nn.Module]:
        return partial(nn.Identity)

    assert isinstance(layer_constructor(Pass(), SHAPE, {})(), nn.Identity)
    with pytest.raises(SpaceError, match="Pass has a builder already"):
        builder(Pass)(build_pass)


def test_a_type_without_a_module_says_what_to_do() -> None:
    class Nothing(LayerType):
        pass

    with pytest.raises(BuildError, match=r"'nothing'.*build\(self, shape, values\)"):
        layer_constructor(Nothing(), SHAPE, {})


@pytest.mark.parametrize(
    ("base", "option", "known"),
    [
        (cnn.Conv2d, {"activation": "gelu"}, "relu, hard_swish"),
        (cnn.InvertedBottleneck, {"activation": "gelu"}, "relu, hard_swish"),
        (cnn.MaxPool, {"kernel_size": 5}, "2, 3"),
        (cnn.AvgPool, {"kernel_size": 5}, "2, 3"),
    ],
)
def test_options_that_the_modules_do_not_know_are_named(
    base: type[LayerType], option: dict[str, Any], known: str
) -> None:
    kind = base()
    values = {choice.name: choice.options[0] for choice in kind.choices} | option
    ((name, value),) = option.items()
    with pytest.raises(BuildError, match=f"know no {name} {value!r}, only {known}"):
        layer_constructor(kind, SHAPE, values)
