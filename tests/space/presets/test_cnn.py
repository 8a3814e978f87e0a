"""The `cnn` preset against figures and formulas that do not come from its code."""

import pickle
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gcnas.errors import SpaceError
from gcnas.records import Architecture, Cost, Limits
from gcnas.space import InputShape, LayerType, SearchSpace, Shape
from gcnas.space.presets import CNN, PRESETS
from gcnas.space.presets.cnn import (
    FILTERS,
    POOLED_WIDTHS,
    RESNET_WIDTHS,
    VGG_WIDTHS,
    pooled,
    resnet8,
    resnet9,
    squeezed_channels,
)

GREY, COLOUR = InputShape(1, 28, 28, 10), InputShape(3, 32, 32, 10)


def test_presets_can_be_pickled() -> None:
    """With their designs by people, so that an estimator with a space made from one can be."""
    for space, image in ((PRESETS["cnn"], GREY), (PRESETS["mobile"], COLOUR)):
        again = pickle.loads(pickle.dumps(space))  # noqa: S301 - our own
        for name, design in space.references.items():
            assert again.references[name](again.fit(image)) == design(space.fit(image))


def resnet8_by_hand(image: InputShape) -> tuple[int, int]:
    """Parameters and multiply-adds of ResNet-8 (16-32-64), layer by layer.

    Each entry is the weights of a convolution, its channels (batch normalisation has two parameters a channel)
    and the side of its output.
    """
    full = image.height
    half = (full + 1) // 2
    quarter = (half + 1) // 2
    convolutions = [
        (image.channels * 16 * 9, 16, full),  # stem
        (16 * 16 * 9, 16, full),
        (16 * 16 * 9, 16, full),
        (16 * 32 * 9, 32, half),
        (32 * 32 * 9, 32, half),
        (16 * 32, 32, half),  # shortcut
        (32 * 64 * 9, 64, quarter),
        (64 * 64 * 9, 64, quarter),
        (32 * 64, 64, quarter),  # shortcut
    ]
    parameters = sum(weights + 2 * channels for weights, channels, _ in convolutions)
    multiply_adds = sum(weights * side**2 for weights, _, side in convolutions)
    return parameters + (64 + 1) * image.classes, multiply_adds + 64 * image.classes


@pytest.mark.parametrize(
    ("image", "parameters", "multiply_adds"),
    [(GREY, 77_754, 9_345_920), (COLOUR, 78_042, 12_501_632)],
    ids=["28x28 grey", "32x32 colour"],
)
def test_cost_of_the_published_resnet8(image: InputShape, parameters: int, multiply_adds: int) -> None:
    space = CNN.fit(image)
    cost = space.cost(resnet8(space))
    assert resnet8_by_hand(image) == (parameters, multiply_adds)
    assert (cost.parameters, cost.multiply_adds) == (parameters, multiply_adds)


def cost(name: str, **values: Any) -> Cost:
    """Cost of a layer behind a feature map of 16 x 9 x 12."""
    layer = CNN.layer(name, **values)
    return CNN.by_name[name].cost(Shape(16, 9, 12), layer.values)


def test_cost_of_a_convolution() -> None:
    weights = 16 * 24 * 25
    assert cost("conv2d", filters=24, kernel_size=5) == Cost(weights + 48, weights * 9 * 12)
    assert cost("conv2d", filters=24, kernel_size=5, stride=2) == Cost(weights + 48, weights * 5 * 6)


def test_cost_of_a_separable_convolution() -> None:
    parameters = (16 * 9 + 32) + (16 * 24 + 48)
    assert cost("separable_conv2d", filters=24) == Cost(parameters, (16 * 9 + 16 * 24) * 108, 16 * 108)
    strided = Cost(parameters, (16 * 9 + 16 * 24) * 30, 16 * 30)
    assert cost("separable_conv2d", filters=24, stride=2) == strided


def test_cost_of_an_inverted_bottleneck() -> None:
    found = cost("inverted_bottleneck", filters=24, stride=2, expansion=3, squeeze_excite=0.25)
    expand, depthwise, project, squeeze = 16 * 48, 48 * 9, 48 * 24, 2 * 48 * 4
    assert found == Cost(
        parameters=expand + 96 + depthwise + 96 + project + 48 + squeeze + 4 + 48,
        multiply_adds=expand * 108 + (depthwise + project) * 30 + squeeze,
        activations=48 * 108 + 48 * 30,
    )


def test_cost_of_an_inverted_bottleneck_without_its_extras() -> None:
    found = cost("inverted_bottleneck", filters=24)
    assert found == Cost(16 * 9 + 32 + 16 * 24 + 48, (16 * 9 + 16 * 24) * 108, 16 * 108)


def test_cost_of_a_residual_block() -> None:
    same, other = 2 * 16 * 16 * 9, 16 * 24 * 9 + 24 * 24 * 9 + 16 * 24
    assert cost("residual_block", filters=16) == Cost(same + 64, same * 108, 16 * 108)
    assert cost("residual_block", filters=24, stride=2) == Cost(other + 3 * 48, other * 30, 24 * 30)


def test_pooling_is_free_and_halves() -> None:
    for name in ("max_pool", "avg_pool"):
        assert cost(name) == Cost()
        layer = CNN.layer(name)
        assert CNN.by_name[name].output_shape(Shape(16, 9, 12), layer.values) == Shape(16, 5, 6)


@pytest.mark.parametrize(("channels", "squeezed"), [(1, 1), (3, 1), (8, 2), (30, 7)])
def test_squeezed_channels(channels: int, squeezed: int) -> None:
    assert squeezed_channels(channels, 0.25) == squeezed


@pytest.mark.parametrize("layer_type", CNN.layer_types, ids=lambda layer_type: layer_type.name)
@given(st.data())
def test_costs_do_not_fall_when_a_number_grows(layer_type: LayerType, data: st.DataObject) -> None:
    """Masks rely on it. A larger stride saves multiply-adds instead, as the least of the masks assumes."""
    channels = data.draw(st.sampled_from(FILTERS) | st.integers(1, 600))
    shape = Shape(channels, data.draw(st.integers(1, 40)), data.draw(st.integers(1, 40)))
    values = {choice.name: data.draw(st.sampled_from(choice.options)) for choice in layer_type.choices}
    for choice in layer_type.choices:
        if not choice.numeric:
            continue
        forms = [
            layer_type.canonical(shape, values | {choice.name: option}) for option in sorted(choice.options)
        ]
        costs = [Cost() if form is None else layer_type.cost(shape, form) for form in forms]
        for less, more in pairwise(costs):
            if choice.name == "stride":
                assert less.multiply_adds >= more.multiply_adds
                assert less.parameters <= more.parameters
            else:
                assert less.multiply_adds <= more.multiply_adds, choice.name
                assert less.parameters <= more.parameters, choice.name


@pytest.mark.parametrize("layer_type", CNN.layer_types, ids=lambda layer_type: layer_type.name)
@given(st.data())
def test_the_canonical_form_of_a_layer_is_its_own(layer_type: LayerType, data: st.DataObject) -> None:
    shape = Shape(8, data.draw(st.integers(1, 12)), data.draw(st.integers(1, 12)))
    values = {choice.name: data.draw(st.sampled_from(choice.options)) for choice in layer_type.choices}
    form = layer_type.canonical(shape, values)
    if form is not None:
        assert layer_type.canonical(shape, form) == form
        assert layer_type.output_shape(shape, form).side >= min(2, shape.side)


IMAGES = [GREY, COLOUR, InputShape(1, 1, 1, 2), InputShape(3, 3, 50, 2), InputShape(3, 224, 200, 1_000)]


@pytest.mark.parametrize("image", IMAGES, ids=lambda image: f"{image.height}x{image.width}")
@pytest.mark.parametrize("limits", [Limits(), Limits(20_000), Limits(None, 1_000_000), Limits(100)], ids=str)
def test_references_are_points_within_the_limits(image: InputShape, limits: Limits) -> None:
    space = CNN.fit(image, limits)
    for reference in space.references.values():
        architecture = reference(space)
        if architecture is not None:
            assert space.decode(space.encode(architecture).actions) == architecture
            assert space.limits.violation(space.cost(architecture)) is None


def test_references_are_the_largest_that_fit() -> None:
    def widths(limits: Limits) -> list[list[int] | None]:
        space = CNN.fit(GREY, limits)
        found: list[Architecture | None] = [reference(space) for reference in space.references.values()]
        return [
            None
            if a is None
            else [int(layer.values["filters"]) for layer in a.layers if "filters" in layer.values]
            for a in found
        ]

    classic, second = ([width for width in family if width] for family in RESNET_WIDTHS[:2])
    vgg = list(VGG_WIDTHS[0])
    assert widths(Limits()) == [classic, vgg, None]
    assert widths(Limits(77_754, 9_345_920)) == [classic, vgg, None]
    assert widths(Limits(77_754, 4_672_960)) == [[12, 24, 32, 48], [16, 32, 64, 64], None]
    # Within so few multiply-adds, the design that pools first has room for three times the parameters.
    assert widths(Limits(50_000, 2_000_000)) == [[8, 12, 16, 24], [8, 16, 24, 16], list(POOLED_WIDTHS[3])]
    assert widths(Limits(65_641))[0] == second
    assert widths(Limits(70_153))[1] == list(VGG_WIDTHS[1])
    assert widths(Limits(100)) == [None, None, None]


@pytest.mark.parametrize(
    "changed",
    [
        replace(CNN, max_depth=6),
        replace(CNN, max_depth=2),
        replace(CNN, layer_types=CNN.layer_types[:3]),
        replace(CNN, layer_types=CNN.layer_types[3:5]),
    ],
    ids=["6 layers", "2 layers", "no residual blocks", "no convolutions"],
)
def test_designs_that_a_space_made_of_this_one_lacks_are_none(changed: SearchSpace) -> None:
    space = changed.fit(COLOUR, Limits())
    for reference in space.references.values():
        architecture = reference(space)
        assert architecture is None or space.violation(architecture) is None


def test_references_lose_what_tiny_images_do_not_allow() -> None:
    space = CNN.fit(InputShape(1, 2, 2, 2))
    assert [layer.values["stride"] for layer in resnet8(space).layers] == [1, 1, 1]
    assert [layer.type for layer in pooled(space).layers] == ["conv2d"] * 4
    assert [layer.type for layer in resnet9(space).layers] == ["conv2d"] + ["residual_block"] * 3


def test_presets_are_found_by_their_names() -> None:
    assert PRESETS["cnn"] is CNN
    with pytest.raises(SpaceError, match="not 'conv3d'"):
        CNN.layer("conv3d")
