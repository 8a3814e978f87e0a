from collections.abc import Sequence
from typing import Any

import pytest
import torch

from gcnas.network import Network, build
from gcnas.records import Architecture, Cost
from gcnas.space import InputShape, LayerType, SearchSpace, Shape, Values
from gcnas.space.presets import CNN
from gcnas.space.presets.mobile import MOBILE
from gcnas.training.channels import Spread
from gcnas.training.inheritance import CUT, FRESH, INHERITED, PARTLY, WIDENED, Donor, Inheritance, inherit

CLASSES = tuple("abcde")
SPACE = CNN.fit(InputShape(3, 16, 16, 5))
MOBILE_SPACE = MOBILE.fit(InputShape(3, 16, 16, 5))
LayerSpec = tuple[str, dict[str, Any], Sequence[int]]


def architecture(*layers: LayerSpec, space: SearchSpace = SPACE) -> Architecture:
    return Architecture(tuple(space.layer(kind, inputs=tuple(i), **values) for kind, values, i in layers))


def network(found: Architecture, seed: int, space: SearchSpace = SPACE) -> Network:
    channels = space.fitted.channels
    torch.manual_seed(seed)
    built = build(space, found, (0.4,) * channels, (0.3,) * channels)
    for module in built.modules():
        # As after a training: statistics and scales that are not those of a new network.
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 1.5)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, 0, 0.3)
    return built.eval()


def moved(
    old: Architecture, new: Architecture, classes: tuple[str, ...] | None = CLASSES
) -> tuple[Network, Network, Inheritance]:
    donor, heir = network(old, 0), network(new, 1)
    found = inherit(heir, new, CLASSES, Donor("donor", donor.state_dict(), classes, inputs=inputs_of(old)))
    return donor, heir, found


def inputs_of(found: Architecture) -> tuple[tuple[int, ...], ...]:
    return tuple(layer.inputs for layer in found.layers)


def states(found: Inheritance) -> dict[str, str]:
    return {origin.part: origin.state for origin in found.origins}


def same_function(donor: Network, heir: Network) -> None:
    images = torch.rand(8, 3, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(heir(images), donor(images), atol=1e-4, rtol=1e-4)


CONV, SEPARABLE, RESIDUAL, BOTTLENECK = "conv2d", "separable_conv2d", "residual_block", "inverted_bottleneck"


def test_the_same_network_gets_all_weights() -> None:
    found = architecture((CONV, {"filters": 24}, [0]), (RESIDUAL, {"filters": 32}, [1]))
    donor, heir, report = moved(found, found)
    assert set(states(report).values()) == {INHERITED}
    assert report.fresh == frozenset()
    same_function(donor, heir)
    assert all(
        torch.equal(a, b) for a, b in zip(donor.state_dict().values(), heir.state_dict().values(), strict=True)
    )


WIDER = {
    "plain": (
        [(CONV, {"filters": 16}, [0]), (CONV, {"filters": 16}, [1])],
        [(CONV, {"filters": 32, "kernel_size": 5}, [0]), (CONV, {"filters": 24}, [1])],
    ),
    "separable": (
        [(CONV, {"filters": 16}, [0]), (SEPARABLE, {"filters": 24}, [1])],
        [(CONV, {"filters": 24}, [0]), (SEPARABLE, {"filters": 48, "kernel_size": 5}, [1])],
    ),
    "residual": (
        [(CONV, {"filters": 24}, [0]), (RESIDUAL, {"filters": 24}, [1]), (RESIDUAL, {"filters": 32}, [2])],
        [(CONV, {"filters": 48}, [0]), (RESIDUAL, {"filters": 48}, [1]), (RESIDUAL, {"filters": 64}, [2])],
    ),
    "bottleneck": (
        [
            (CONV, {"filters": 16}, [0]),
            (BOTTLENECK, {"filters": 16, "expansion": 2, "squeeze_excite": 0.25}, [1]),
        ],
        [
            (CONV, {"filters": 24}, [0]),
            (BOTTLENECK, {"filters": 24, "expansion": 4, "squeeze_excite": 0.25}, [1]),
        ],
    ),
    "pool and concatenation": (
        [
            (CONV, {"filters": 16}, [0]),
            ("max_pool", {}, [1]),
            (CONV, {"filters": 24, "merge": "concat"}, [2, 1]),
            (BOTTLENECK, {"filters": 32, "expansion": 2, "merge": "concat"}, [3, 2]),
        ],
        [
            (CONV, {"filters": 24}, [0]),
            ("max_pool", {}, [1]),
            (CONV, {"filters": 48, "merge": "concat"}, [2, 1]),
            (BOTTLENECK, {"filters": 64, "expansion": 2, "merge": "concat"}, [3, 2]),
        ],
    ),
    "addition": (
        [
            (CONV, {"filters": 16}, [0]),
            (CONV, {"filters": 24}, [1]),
            (CONV, {"filters": 24, "merge": "add"}, [2, 1]),
        ],
        [
            (CONV, {"filters": 24}, [0]),
            (CONV, {"filters": 32}, [1]),
            (CONV, {"filters": 32, "merge": "add"}, [2, 1]),
        ],
    ),
    "addition that needs a projection now": (
        [(CONV, {"filters": 16}, [0]), (CONV, {"filters": 24, "merge": "add"}, [1, 0])],
        [(CONV, {"filters": 32}, [0]), (CONV, {"filters": 48, "merge": "add"}, [1, 0])],
    ),
}


@pytest.mark.parametrize("case", WIDER)
def test_a_wider_network_computes_the_same(case: str) -> None:
    old, new = (architecture(*layers) for layers in WIDER[case])
    donor, heir, report = moved(old, new)
    assert set(states(report).values()) <= {INHERITED, WIDENED}
    assert WIDENED in states(report).values()
    same_function(donor, heir)


def test_a_new_connection_is_not_called_taken_over() -> None:
    """The weights alone do not tell an input that was added as it was from one that was not there."""
    layers = [(CONV, {"filters": 16}, [0]), (CONV, {"filters": 16}, [1]), (CONV, {"filters": 16}, [2])]
    old = architecture(*layers)
    new = architecture(layers[0], (CONV, {"filters": 24}, [1]), (CONV, {"filters": 16, "merge": "add"}, [2, 1]))
    _, _, report = moved(old, new)
    assert states(report)["merge3.projections.0"] == FRESH
    assert {name for name in report.fresh if name.startswith("merge3.")} == report.fresh != frozenset()


def test_pools_at_the_end_keep_what_merges_their_inputs() -> None:
    """The last layer has no weights; that there is one is told by the projection of what is added before it."""
    found = architecture(
        (CONV, {"filters": 24}, [0]), ("max_pool", {}, [1]), ("max_pool", {"merge": "add"}, [2, 1])
    )
    donor, heir, report = moved(found, found)
    assert "merge3.projections.0" in states(report)
    assert set(states(report).values()) == {INHERITED}
    same_function(donor, heir)


STAGE = "bottleneck_stage"


def mobile(*stages: dict[str, Any]) -> Architecture:
    values = {"kernel_size": 3, "expansion": 3, "stride": 2, "squeeze_excite": 0.25, "activation": "relu"}
    layers = [(STAGE, values | stage, [index]) for index, stage in enumerate(stages)]
    return architecture(*layers, ("pointwise", {"filters": 64}, [len(layers)]), space=MOBILE_SPACE)


def moved_mobile(old: Architecture, new: Architecture) -> tuple[Network, Network, Inheritance]:
    donor, heir = network(old, 0, MOBILE_SPACE), network(new, 1, MOBILE_SPACE)
    return donor, heir, inherit(heir, new, CLASSES, Donor("donor", donor.state_dict(), CLASSES))


def test_stages_of_bottlenecks_are_taken_over_block_by_block() -> None:
    old = mobile({"filters": 16, "repeats": 2}, {"filters": 24, "repeats": 1})
    wider = mobile({"filters": 24, "repeats": 2}, {"filters": 32, "repeats": 1, "kernel_size": 5})
    donor, heir, report = moved_mobile(old, wider)
    assert set(states(report).values()) <= {INHERITED, WIDENED}
    same_function(donor, heir)
    longer = mobile({"filters": 16, "repeats": 3}, {"filters": 24, "repeats": 1})
    donor, heir, report = moved_mobile(old, longer)
    assert {part for part, state in states(report).items() if state != INHERITED} == {"layer1.2"}
    assert report.fresh == {name for name, _ in heir.named_parameters() if name.startswith("layer1.2.")}
    _, _, back = moved_mobile(longer, old)
    assert (states(back)["layer1.0"], states(back)["layer1.1"]) == (INHERITED, CUT)


ADDED_OTHERWISE = {
    "no more": (
        [(CONV, {"filters": 16}, [0]), (BOTTLENECK, {"filters": 16, "expansion": 2}, [1])],
        [(CONV, {"filters": 16}, [0]), (BOTTLENECK, {"filters": 24, "expansion": 2}, [1])],
        ("layer2", PARTLY),
    ),
    "now": (
        [(CONV, {"filters": 16}, [0]), (BOTTLENECK, {"filters": 24, "expansion": 2}, [1])],
        [(CONV, {"filters": 24}, [0]), (BOTTLENECK, {"filters": 24, "expansion": 2}, [1])],
        ("layer2", PARTLY),
    ),
    "as it is": (
        [
            (CONV, {"filters": 24}, [0]),
            (CONV, {"filters": 32}, [1]),
            (CONV, {"filters": 32, "merge": "add"}, [2, 1]),
        ],
        [
            (CONV, {"filters": 32}, [0]),
            (CONV, {"filters": 32}, [1]),
            (CONV, {"filters": 32, "merge": "add"}, [2, 1]),
        ],
        ("merge3.projections.0", CUT),
    ),
}


@pytest.mark.parametrize("case", ADDED_OTHERWISE)
def test_what_is_added_otherwise_is_not_called_the_same(case: str) -> None:
    old, new, (part, state) = ADDED_OTHERWISE[case]
    donor, heir, report = moved(architecture(*old), architecture(*new))
    assert states(report)[part] == state
    with torch.no_grad():
        images = torch.rand(8, 3, 16, 16)
        assert not torch.allclose(donor(images), heir(images), atol=1e-2)


def test_copies_can_become_different_channels() -> None:
    old, new = (architecture(*layers) for layers in WIDER["plain"])
    _, heir, _ = moved(old, new)
    heir.train()
    heir(torch.rand(8, 3, 16, 16)).square().sum().backward()
    gradient = heir.get_parameter("layer1.conv.weight").grad
    assert gradient is not None
    assert not torch.allclose(gradient[0], gradient[16], rtol=1e-3)


def test_narrower_layers_keep_the_first_channels_and_the_centre_of_kernels() -> None:
    old = architecture((CONV, {"filters": 32, "kernel_size": 5}, [0]))
    new = architecture((CONV, {"filters": 16, "kernel_size": 3}, [0]))
    donor, heir, report = moved(old, new)
    assert states(report) == {"stem": INHERITED, "layer1": CUT, "head": CUT}
    weight = donor.get_parameter("layer1.conv.weight")[:16, :, 1:4, 1:4]
    assert torch.equal(heir.get_parameter("layer1.conv.weight"), weight)


def test_a_layer_put_in_spoils_nothing_around_it() -> None:
    old = architecture((CONV, {"filters": 16}, [0]), (SEPARABLE, {"filters": 24}, [1]))
    new = architecture(
        (CONV, {"filters": 16}, [0]), (RESIDUAL, {"filters": 16}, [1]), (SEPARABLE, {"filters": 24}, [2])
    )
    _, heir, report = moved(old, new)
    assert states(report) == {
        "stem": INHERITED,
        "layer1": INHERITED,
        "layer2": FRESH,
        "layer3": INHERITED,
        "head": INHERITED,
    }
    assert [origin.donor for origin in report.origins] == ["stem", "layer1", None, "layer2", "head"]
    parameters = {name for name, _ in heir.named_parameters() if name.startswith("layer2.")}
    assert report.fresh == parameters


def test_a_part_that_the_donor_lacks_is_fresh() -> None:
    old = architecture((BOTTLENECK, {"filters": 16, "expansion": 1}, [0]))
    new = architecture((BOTTLENECK, {"filters": 16, "expansion": 2}, [0]))
    _, _, report = moved(old, new)
    assert states(report)["layer1"] == PARTLY
    assert "layer1.expand.0.weight" in report.fresh
    assert "layer1.project.weight" not in report.fresh
    assert "partly fresh: layer1" in str(report)


@pytest.mark.parametrize(
    ("classes", "state"), [(CLASSES, INHERITED), (None, INHERITED), (tuple("vwxyz"), FRESH), (("a",), FRESH)]
)
def test_the_head_is_taken_over_for_the_same_classes_only(classes: tuple[str, ...] | None, state: str) -> None:
    found = architecture((CONV, {"filters": 16}, [0]))
    _, _, report = moved(found, found, classes)
    assert states(report)["head"] == state


def test_classes_in_another_order_are_the_same_classes() -> None:
    found = architecture((CONV, {"filters": 16}, [0]))
    donor, heir = network(found, 0), network(found, 1)
    names = tuple(reversed(CLASSES))
    report = inherit(heir, found, names, Donor("d", donor.state_dict(), CLASSES))
    assert states(report)["head"] == INHERITED
    images = torch.rand(4, SPACE.fitted.channels, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(heir(images), donor(images).flip(1))


def test_a_grey_network_of_a_colour_network_computes_the_same_on_grey_images_and_back() -> None:
    grey = CNN.fit(InputShape(1, 16, 16, 5))
    found = architecture((CONV, {"filters": 16}, [0]))
    assert found == architecture((CONV, {"filters": 16}, [0]), space=grey)
    images = torch.rand(4, 1, 16, 16)
    for old, new in ((SPACE, grey), (grey, SPACE)):
        donor, heir = network(found, 0, old), network(found, 1, new)
        inherit(heir, found, CLASSES, Donor("d", donor.state_dict()))
        with torch.no_grad():
            outputs = [n(images.expand(-1, s.fitted.channels, -1, -1)) for n, s in ((donor, old), (heir, new))]
        torch.testing.assert_close(*outputs, atol=1e-4, rtol=1e-4)


def test_odd_weights_are_no_error() -> None:
    found = architecture((CONV, {"filters": 16}, [0]))
    weights = {"layer1.conv.weight": torch.zeros(3), "layer9999.conv.weight": torch.zeros(1, 1, 1, 1)}
    heir = network(found, 1)
    before = {name: tensor.clone() for name, tensor in heir.state_dict().items()}
    report = inherit(heir, found, CLASSES, Donor("odd", weights))
    assert set(states(report).values()) == {FRESH}
    assert all(torch.equal(before[name], tensor) for name, tensor in heir.state_dict().items())


def test_large_weights_that_stay_as_they_are_are_taken_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gcnas.training.inheritance.MOST_NUMBERS", 10)
    found = architecture((CONV, {"filters": 16}, [0]))
    donor, _, report = moved(found, found)
    assert donor is not None
    assert set(states(report).values()) == {INHERITED}


@pytest.mark.parametrize(
    "weights",
    [
        {"head.linear.bias": torch.tensor(1.0)},
        {"head.linear.bias": torch.zeros(0), "head.linear.weight": torch.zeros(5, 0)},
        {"layer1.conv.weight": torch.zeros(0, 16, 3, 3), "layer1.norm.weight": torch.zeros(0)},
        {"layer1.conv.weight": torch.zeros(16, 0, 3, 3)},
        {"layer1.conv.weight": torch.zeros(16, 16, 0, 0)},
        # Small files that would fill the memory on their way into the network.
        {"layer1.conv.weight": torch.zeros(1, 5_000_000, 1, 1, dtype=torch.int8)},
        {"layer1.conv.weight": torch.zeros(1, 1, 3_000, 3_000, dtype=torch.int8)},
        {"head.linear.weight": torch.zeros(1, 20_000_000, dtype=torch.int8)},
    ],
)
@pytest.mark.parametrize("classes", [None, CLASSES])
def test_weights_without_numbers_are_ignored(
    weights: dict[str, torch.Tensor], classes: tuple[str, ...] | None
) -> None:
    found = architecture((CONV, {"filters": 16}, [0]))
    report = inherit(network(found, 1), found, CLASSES, Donor("odd", weights, classes))
    assert set(states(report).values()) == {FRESH}


class Gain(LayerType):
    """One number for all channels, so that its weights fit however many there are."""

    def output_shape(self, shape: Shape, values: Values) -> Shape:
        return shape

    def cost(self, shape: Shape, values: Values) -> Cost:
        return Cost(1, shape.numbers, shape.numbers)

    def build(self, shape: Shape, values: Values) -> torch.nn.Module:
        return torch.nn.PReLU()


class Turned(Gain):
    """The channels in another order, without any weights."""

    def cost(self, shape: Shape, values: Values) -> Cost:
        return Cost(0, shape.numbers, shape.numbers)

    def build(self, shape: Shape, values: Values) -> torch.nn.Module:
        return torch.nn.ChannelShuffle(4)


@pytest.mark.parametrize("type_", [Gain(), Turned()])
def test_what_reads_wider_layers_of_a_users_type_is_not_called_widened(type_: Gain) -> None:
    space = SearchSpace("gains", (*CNN.layer_types, type_), max_depth=4, window=3).fit(InputShape(3, 16, 16, 5))
    wide, other, gain = (
        ("conv2d", {"filters": 24}, [0]),
        ("conv2d", {"filters": 16}, [0]),
        (type_.name, {}, [1]),
    )
    old, new = (
        architecture(first, gain, other, ("conv2d", {"filters": 16, "merge": "concat"}, [3, 2]), space=space)
        for first in (other, wide)
    )
    donor, heir = network(old, 0, space), network(new, 1, space)
    report = inherit(heir, new, CLASSES, Donor("d", donor.state_dict(), CLASSES, inputs=inputs_of(old)))
    assert states(report) == {
        "stem": INHERITED,
        "layer1": WIDENED,
        **(
            {} if isinstance(type_, Turned) else {"layer2": INHERITED}
        ),  # without weights there is nothing to say
        "layer3": INHERITED,
        "layer4": PARTLY,
        "head": INHERITED,
    }
    images = torch.rand(2, 3, 16, 16)
    assert not torch.allclose(heir(images), donor(images), atol=1e-3)


def test_shares_of_copies_sum_to_one() -> None:
    spread = Spread.joined([Spread.between(3, 5), Spread.between(2, 2)])
    assert spread.index.tolist() == [0, 1, 2, 0, 1, 3, 4]
    shares = spread.shares(4, torch.Generator().manual_seed(0))
    sums = torch.zeros(4, 5).index_add_(1, spread.index, shares)
    torch.testing.assert_close(sums, torch.ones(4, 5))
    assert torch.equal(shares[:, [2, 5, 6]], torch.ones(4, 3))
