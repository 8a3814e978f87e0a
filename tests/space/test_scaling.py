from typing import Any

import pytest

from gcnas.errors import ConfigurationError, SpaceError
from gcnas.network import build, count_multiply_adds, count_parameters
from gcnas.records import Architecture
from gcnas.space import InputShape, SearchSpace
from gcnas.space.extension import Extension
from gcnas.space.presets import CNN, MOBILE
from gcnas.space.presets.cnn import resnet8
from gcnas.space.presets.mobile import efficientnet_b0
from gcnas.space.scaling import TARGET, Coefficients, grid, round_filters, scale_architecture

IMAGE = InputShape(1, 28, 28, 10)
SPACE = CNN.fit(IMAGE)
PAPER = Coefficients(1.2, 1.1, 1.15)
NOTHING, DEPTH, WIDTH, SIZE = (Coefficients(*c) for c in ((1, 1, 1), (2, 1, 1), (1, 1.4, 1), (1, 1, 1.4)))


def filters(architecture: Architecture) -> list[Any]:
    return [layer.values.get("filters") for layer in architecture.layers]


def test_phi_0_and_growth_by_1_change_nothing() -> None:
    for coefficients, phi in ((PAPER, 0), (NOTHING, 3)):
        scaled = scale_architecture(SPACE, resnet8(SPACE), coefficients, phi)
        assert scaled.architecture == resnet8(SPACE)
        assert (scaled.resolution, scaled.extension) == ((28, 28), None)
        assert scaled.space.fingerprint == SPACE.fingerprint


def test_depth_repeats_layers_without_their_stride() -> None:
    scaled = scale_architecture(SPACE, resnet8(SPACE), DEPTH, 1)
    assert filters(scaled.architecture) == [16, 16, 32, 32, 64, 64]
    assert [layer.values["stride"] for layer in scaled.architecture.layers] == [1, 1, 2, 1, 2, 1]
    assert [layer.inputs for layer in scaled.architecture.layers] == [(index,) for index in range(6)]


def test_depth_grows_by_the_factor_to_the_nearest_layer() -> None:
    wide = Architecture(tuple(SPACE.layer("conv2d", after=i, filters=16, kernel_size=3) for i in range(5)))
    depths = [
        scale_architecture(SPACE, wide, Coefficients(1.4, 1, 1), phi).architecture.depth for phi in range(4)
    ]
    assert depths == [5, 7, 10, 14]


def test_what_cannot_be_repeated_stays_alone() -> None:
    layers = (
        SPACE.layer("conv2d", after=0, filters=16, kernel_size=1),
        SPACE.layer("max_pool", after=1),
        SPACE.layer("conv2d", after=2, filters=24, kernel_size=3),
    )
    scaled = scale_architecture(SPACE, Architecture(layers), DEPTH, 1)
    assert [layer.type for layer in scaled.architecture.layers] == ["conv2d", "max_pool", "conv2d", "conv2d"]


def test_connections_read_the_last_copy_and_the_window_grows() -> None:
    layers = (
        SPACE.layer("residual_block", after=0, filters=16),
        SPACE.layer("residual_block", after=1, filters=16),
        SPACE.layer("residual_block", (2, 1, 0), filters=16),
    )
    scaled = scale_architecture(SPACE, Architecture(layers), Coefficients(3, 1, 1), 1)
    assert scaled.architecture.layers[6].inputs == (6, 3, 0)
    assert scaled.extension is not None
    assert scaled.extension.window == 7
    assert scaled.space.decode(scaled.space.encode(scaled.architecture).actions) == scaled.architecture


def test_stages_get_more_blocks_and_stay_alone() -> None:
    space = MOBILE.fit(IMAGE)
    small = space.references["efficientnet"](space)
    assert small is not None
    scaled = scale_architecture(space, small, Coefficients(1.5, 1, 1), 1)
    repeats = [layer.values.get("repeats") for layer in scaled.architecture.layers]
    assert repeats == [2, 3, 3, 3, None]  # 7 blocks become 10.5, so 11
    deep = scale_architecture(space, small, DEPTH, 2)
    assert max(layer.values.get("repeats", 0) for layer in deep.architecture.layers) == 8
    assert deep.extension is not None
    assert deep.extension.options["bottleneck_stage"]["repeats"] == (1, 2, 3, 4, 8)


@pytest.mark.parametrize(
    ("before", "factor", "after"),
    [(8, 1.1, 8), (16, 1.1, 16), (16, 1.2, 20), (24, 1.4, 32), (60, 1.0, 60), (64, 1.1, 72), (1280, 1.1, 1408)],
)
def test_filters_are_rounded(before: int, factor: float, after: int) -> None:
    assert round_filters(before, factor) == after


def test_width_extends_the_options_and_the_stem() -> None:
    scaled = scale_architecture(SPACE, resnet8(SPACE), WIDTH, 1)
    assert filters(scaled.architecture) == [24, 44, 88]
    assert scaled.space.stem.filters == 24
    assert scaled.extension is not None
    options = scaled.extension.options["residual_block"]["filters"]
    assert options == (8, 12, 16, 24, 32, 44, 48, 64, 88, 96, 128)
    assert "conv2d" not in scaled.extension.options


@pytest.mark.parametrize("side", [28, 40, 64, 90, 224])
def test_a_larger_image_is_not_shrunk_by_the_stem(side: int) -> None:
    space = CNN.fit(InputShape(3, side, side, 10))
    scaled = scale_architecture(space, resnet8(space), SIZE, 1)
    before, after = (s.stem.stride(s.fitted) for s in (space, scaled.space))
    assert before == after
    assert scaled.resolution == (2 * round(side * 0.7), 2 * round(side * 0.7))


@pytest.mark.parametrize("coefficients", grid(), ids=str)
def test_multiply_adds_about_double(coefficients: Coefficients) -> None:
    assert coefficients.growth == pytest.approx(TARGET, rel=0.1)
    space = MOBILE.fit(InputShape(3, 224, 224, 1_000))
    network = efficientnet_b0(space)
    scaled = scale_architecture(space, network, coefficients, 1)
    growth = scaled.space.cost(scaled.architecture).multiply_adds / space.cost(network).multiply_adds
    assert 1.7 < growth < 2.3


@pytest.mark.parametrize("space", [SPACE, MOBILE.fit(IMAGE)], ids=lambda space: space.name)
def test_grown_networks_can_be_built_and_cost_what_the_space_says(space: SearchSpace) -> None:
    designs = [reference(space) for reference in space.references.values()]
    assert len([design for design in designs if design is not None]) >= 2
    for architecture in designs:
        if architecture is None:
            continue
        scaled = scale_architecture(space, architecture, PAPER, 2)
        assert scaled.extension is not None
        again = Extension.from_json(scaled.extension.to_json()).apply(space).fit(scaled.space.fitted)
        assert again.fingerprint == scaled.space.fingerprint != space.fingerprint
        network = build(again, scaled.architecture, (0.5,), (0.2,))
        cost = again.cost(scaled.architecture)
        assert count_parameters(network) == cost.parameters
        assert count_multiply_adds(network, (1, *scaled.resolution)) == cost.multiply_adds


@pytest.mark.parametrize("values", [(0.9, 1, 1), (1, 1, 5), (1, float("nan"), 1)])
def test_growth_below_1_is_refused(values: tuple[float, float, float]) -> None:
    with pytest.raises(ConfigurationError, match="from 1 to 4"):
        Coefficients(*values)


@pytest.mark.parametrize(
    "data",
    [
        None,
        {},
        {"max_depth": 20, "window": 4, "stem": {"filters": 16, "doubled_above": 3}, "options": {}},
        {"max_depth": float("inf"), "window": 4, "stem": {"filters": 16, "doubled_above": []}, "options": {}},
    ],
)
def test_a_damaged_extension_is_refused(data: Any) -> None:
    with pytest.raises(SpaceError, match="damaged"):
        Extension.from_json(data)


def test_an_extension_of_another_space_is_refused() -> None:
    extension = Extension(20, 4, CNN.stem, {"bottleneck_stage": {"repeats": (1, 8)}})
    with pytest.raises(SpaceError, match="not 'bottleneck_stage'"):
        extension.apply(CNN)


def test_too_many_layers_are_refused_before_they_are_made() -> None:
    space = CNN.fit(InputShape(3, 32, 32, 10))
    with pytest.raises(SpaceError, match=r"layers or blocks, and at most 1,000"):
        scale_architecture(space, resnet8(space), Coefficients(4, 1, 1), 10)
