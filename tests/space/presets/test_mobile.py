"""The `mobile` preset against the counts that the papers and their authors' code give."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gcnas.network import build, count_multiply_adds, count_parameters
from gcnas.records import Architecture, Cost, Limits
from gcnas.space import InputShape, LayerType, SearchSpace, Shape
from gcnas.space.presets import MOBILE, PRESETS
from gcnas.space.presets.mobile import efficientnet_b0, mobilenet_v2

IMAGENET = MOBILE.fit(InputShape(3, 224, 224, 1_000))
GREY, COLOUR = InputShape(1, 28, 28, 10), InputShape(3, 32, 32, 10)


@pytest.mark.parametrize(
    ("design", "parameters", "millions"),
    [(mobilenet_v2, 3_504_872, 300), (efficientnet_b0, 5_288_548, 390)],
    ids=["MobileNetV2 1.0", "EfficientNet-B0"],
)
def test_published_networks_are_points(
    design: Callable[[SearchSpace], Architecture], parameters: int, millions: int
) -> None:
    """Parameters to the last one; multiply-adds within 2 % of the rounded figures of the papers.

    Activations differ (ReLU for ReLU6, hard swish for swish), and so does the padding of strided convolutions from
    that of the first EfficientNet; neither has a part in the counts.
    """
    architecture = design(IMAGENET)
    assert IMAGENET.decode(IMAGENET.encode(architecture).actions) == architecture
    cost = IMAGENET.cost(architecture)
    assert cost.parameters == parameters
    assert cost.multiply_adds == pytest.approx(millions * 1e6, rel=0.02)
    network = build(IMAGENET, architecture, (0.5,) * 3, (0.25,) * 3)
    assert count_parameters(network) == parameters
    assert count_multiply_adds(network, (3, 224, 224)) == cost.multiply_adds


def test_cost_of_a_stage_by_hand() -> None:
    stage = MOBILE.layer("bottleneck_stage", filters=24, expansion=3, repeats=3, stride=2, squeeze_excite=0.25)
    found = MOBILE.by_name["bottleneck_stage"].cost(Shape(16, 9, 12), stage.values)
    first = 16 * 48 + 96 + 48 * 9 + 96 + (2 * 48 * 4 + 4 + 48) + 48 * 24 + 48
    other = 24 * 72 + 144 + 72 * 9 + 144 + (2 * 72 * 6 + 6 + 72) + 72 * 24 + 48
    adds = 16 * 48 * 108 + (48 * 9 + 48 * 24) * 30 + 2 * 48 * 4
    more = (24 * 72 + 72 * 9 + 72 * 24) * 30 + 2 * 72 * 6
    assert (found.parameters, found.multiply_adds) == (first + 2 * other, adds + 2 * more)
    assert found.activations == max(48 * 108 + 48 * 30, 2 * 72 * 30 + 24 * 30)


def test_cost_of_a_pointwise_convolution() -> None:
    layer = MOBILE.layer("pointwise", filters=64)
    found = MOBILE.by_name["pointwise"].cost(Shape(16, 9, 12), layer.values)
    assert found == Cost(16 * 64 + 128, 16 * 64 * 108)


@pytest.mark.parametrize("layer_type", MOBILE.layer_types, ids=lambda layer_type: layer_type.name)
@given(st.data())
def test_costs_do_not_fall_when_a_number_grows(layer_type: LayerType, data: st.DataObject) -> None:
    shape = Shape(data.draw(st.integers(1, 400)), data.draw(st.integers(1, 40)), data.draw(st.integers(1, 40)))
    values = {choice.name: data.draw(st.sampled_from(choice.options)) for choice in layer_type.choices}
    for choice in layer_type.choices:
        if choice.numeric and choice.name != "stride":
            costs = [layer_type.cost(shape, values | {choice.name: option}) for option in choice.options]
            for less, more in pairwise(costs):
                assert less.multiply_adds <= more.multiply_adds, choice.name
                assert less.parameters <= more.parameters, choice.name


@pytest.mark.parametrize("image", [GREY, COLOUR, InputShape(1, 1, 1, 2)], ids=str)
@pytest.mark.parametrize("limits", [Limits(), Limits(20_000), Limits(None, 1_400_000), Limits(100)], ids=str)
def test_references_are_the_widest_within_the_limits(image: InputShape, limits: Limits) -> None:
    space = MOBILE.fit(image, limits)
    sizes = {}
    for name, reference in space.references.items():
        architecture = reference(space)
        if architecture is not None:
            assert space.decode(space.encode(architecture).actions) == architecture
            assert space.limits.violation(space.cost(architecture)) is None
            sizes[name] = space.cost(architecture).parameters
    if limits.parameters == 100:
        assert not sizes
    else:
        assert sizes["mobilenet"] > sizes.get("mobilenet-smaller", 0)
    if limits == Limits():
        assert set(sizes) == set(space.references)


def test_designs_that_a_space_made_of_this_one_lacks_are_none() -> None:
    space = replace(MOBILE, max_depth=4).fit(COLOUR, Limits())
    assert [reference(space) for reference in space.references.values()] == [None] * len(space.references)


def test_the_preset_is_found_by_its_name() -> None:
    assert PRESETS["mobile"] is MOBILE
