from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.records.arbitrary import JSON

from gcnas.errors import SpaceError
from gcnas.records import STOP, Architecture, Layer, LayerAction, Limits
from gcnas.space import InputShape, SearchSpace, Stem
from gcnas.space.presets import CNN
from gcnas.space.presets.cnn import Conv2d, MaxPool
from gcnas.space.search_space import MAX_DEPTH
from gcnas.strategy import RandomStrategy

IMAGE = InputShape(3, 16, 16, 10)
SPACE = CNN.fit(IMAGE)


def conv(*inputs: int, **values: Any) -> Layer:
    return SPACE.layer("conv2d", inputs, **values)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layer_types": ()}, "distinct names"),
        ({"layer_types": (Conv2d(), Conv2d())}, r"distinct names, but got \['conv2d', 'conv2d'\]"),
        ({"layer_types": (Conv2d,)}, r"with brackets, not <class .*Conv2d"),
        ({"layer_types": ("conv2d",)}, "with brackets, not 'conv2d'"),
        ({"min_depth": 0}, "1 <= min_depth"),
        ({"min_depth": -1}, "1 <= min_depth"),
        ({"min_depth": 5, "max_depth": 4}, "but got 5 and 4"),
        ({"max_depth": MAX_DEPTH + 1}, f"<= {MAX_DEPTH} must hold"),
        ({"window": 0}, "window must be between 1"),
        ({"window": MAX_DEPTH + 1}, f"between 1 and {MAX_DEPTH}"),
    ],
)
def test_spaces_that_make_no_sense(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        replace(CNN, **changes)


def test_bounds_are_inclusive() -> None:
    space = replace(CNN, min_depth=1, max_depth=1, window=MAX_DEPTH)
    assert (space.max_depth, space.window) == (1, MAX_DEPTH)
    assert replace(CNN, max_depth=MAX_DEPTH).max_depth == MAX_DEPTH


def test_an_unfitted_space_says_what_to_do() -> None:
    for use in (CNN.start, lambda: CNN.cost(Architecture(())), lambda: CNN.fitted):
        with pytest.raises(SpaceError, match=r"call space.fit\(InputShape"):
            use()


def test_fitting_changes_a_copy() -> None:
    limits = Limits(parameters=5)
    fitted = CNN.fit(IMAGE, limits)
    assert (fitted.image, fitted.limits) == (IMAGE, limits)
    assert (CNN.image, CNN.limits) == (None, Limits())
    assert fitted.fit(InputShape(1, 8, 8, 2)).limits == Limits()


@pytest.mark.parametrize(
    "changes",
    [
        {"layer_types": CNN.layer_types[:-1]},
        {"layer_types": CNN.layer_types[::-1]},
        {"min_depth": 3},
        {"max_depth": 19},
        {"window": 3},
        {"stem": Stem(8)},
        {"image": InputShape(1, 16, 16, 10)},
        {"image": InputShape(3, 16, 16, 11)},
        {"image": None},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_the_fingerprint_covers_what_decides_the_meaning(changes: dict[str, Any]) -> None:
    assert replace(SPACE, **changes).fingerprint != SPACE.fingerprint


def test_the_fingerprint_leaves_out_what_may_change() -> None:
    other = replace(SPACE, name="other", references={}, limits=Limits(5))
    assert other.fingerprint == SPACE.fingerprint


def test_the_fingerprint_covers_the_options() -> None:
    class Other(Conv2d):
        name = "conv2d"

    same = replace(SPACE, layer_types=(Other(), *SPACE.layer_types[1:]))
    assert same.fingerprint == SPACE.fingerprint
    wider = type("Wider", (Conv2d,), {"name": "conv2d", "kernel_size": type(Conv2d.kernel_size)(1, 3, 7)})
    assert replace(SPACE, layer_types=(wider(), *SPACE.layer_types[1:])).fingerprint != SPACE.fingerprint


def test_a_layer_in_words() -> None:
    layer = SPACE.layer("conv2d", after=3, filters=16, kernel_size=5)
    assert layer.inputs == (3,)
    assert layer.values == {
        "activation": "relu",
        "dilation": 1,
        "dropout": 0.0,
        "filters": 16,
        "kernel_size": 5,
        "merge": "add",
        "stride": 1,
    }
    assert SPACE.layer("max_pool", (2, 0)).inputs == (2, 0)


def test_a_layer_holds_the_options_themselves() -> None:
    """8.0 filters are 8, and no module takes the former."""
    filters = SPACE.layer("conv2d", filters=8.0).values["filters"]
    assert (filters, type(filters)) == (8, int)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("conv3d", {}, r"has the types \['conv2d', .*not 'conv3d'"),
        ("conv2d", {"filters": 9}, "filters must be one of .* got 9"),
        ("conv2d", {"filter": 8}, "conv2d has no hyper-parameter 'filter'"),
    ],
)
def test_layers_that_do_not_exist(name: str, values: dict[str, Any], message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        SPACE.layer(name, **values)


def layer_of(name: str = "conv2d", inputs: tuple[int, ...] = (0,), **changes: Any) -> Layer:
    values = {key: value for key, value in (conv(0).values | changes).items() if value is not None}
    return Layer(name, tuple(sorted(values.items())), inputs)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (layer_of("conv3d"), "not 'conv3d'"),
        (layer_of("max_pool"), r"max_pool has the hyper-parameters \['kernel_size', 'merge'\]"),
        (layer_of(filters=None), "conv2d has the hyper-parameters"),
        (layer_of(extra=1), "conv2d has the hyper-parameters"),
        (layer_of(filters=9), "filters must be one of"),
        (layer_of(filters="8"), "filters must be one of"),
        (layer_of(merge="max"), "merge must be one of"),
        (layer_of(inputs=()), "reads? "),
        (layer_of(inputs=(1,)), "reads? "),
        (layer_of(inputs=(-1,)), "reads? "),
    ],
)
def test_layers_that_are_no_part_of_the_space(layer: Layer, message: str) -> None:
    architecture = Architecture((layer,))
    for use in (SPACE.plan, SPACE.cost, SPACE.encode):
        with pytest.raises(SpaceError, match=message):
            use(architecture)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        pytest.param((conv(0), conv(0)), "must read node 1", id="newest left out"),
        pytest.param((*(conv(i) for i in range(5)), conv(5, 0)), "at most 4 back", id="beyond the window"),
        pytest.param((conv(0), conv(0, 1)), "canonical", id="inputs not sorted"),
        pytest.param((conv(0), conv(1, 1)), "canonical", id="an input twice"),
        pytest.param((conv(0, merge="concat"),), "canonical", id="one input concatenated"),
        pytest.param((conv(0, kernel_size=1, dilation=2),), "canonical", id="dilation without effect"),
        pytest.param(
            (*(conv(i, stride=2) for i in range(4)),), "canonical", id="a stride that the size does not allow"
        ),
        pytest.param(tuple(conv(i) for i in range(21)), "at most 20 layers", id="too deep"),
    ],
)
def test_networks_that_are_no_points_of_the_space(layers: tuple[Layer, ...], message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        SPACE.encode(Architecture(layers))


def test_pooling_that_would_vanish_is_no_point_of_the_space() -> None:
    space = CNN.fit(InputShape(3, 3, 3, 10))
    with pytest.raises(SpaceError, match="canonical"):
        space.encode(Architecture((space.layer("max_pool"),)))


def test_nothing_is_decoded_after_stop() -> None:
    first = SPACE.encode_layer(conv(0), 1)
    assert SPACE.decode([first, LayerAction(STOP), first, LayerAction(99)]).depth == 1
    assert SPACE.decode([LayerAction(STOP)]) == SPACE.decode([]) == Architecture(())


def test_codes_are_positions() -> None:
    assert SPACE.codes["conv2d"] == 0
    assert [SPACE.by_name[name] for name in SPACE.codes] == list(SPACE.layer_types)


def test_the_cheapest_form_by_hand() -> None:
    space = SearchSpace("s", (Conv2d(), MaxPool())).fit(IMAGE, Limits(5, 5))
    cheapest = space.cheapest["conv2d"]
    assert cheapest["parameters"]["filters"] == cheapest["multiply_adds"]["filters"] == 8
    assert cheapest["parameters"]["kernel_size"] == cheapest["multiply_adds"]["kernel_size"] == 1
    assert cheapest["multiply_adds"]["stride"] == 2
    assert set(SearchSpace("s", (Conv2d(),)).fit(IMAGE).cheapest["conv2d"]) == set()


def test_what_is_remembered_is_what_is_counted_anew() -> None:
    space = CNN.fit(InputShape(3, 17, 24, 5), Limits(50_000, 3_000_000))
    for proposal in RandomStrategy(space, 4).ask(30):
        fresh = CNN.fit(InputShape(3, 17, 24, 5), Limits(50_000, 3_000_000))
        assert space.plan(proposal.architecture) == fresh.plan(proposal.architecture)
        assert space.decode(proposal.trajectory.actions) == fresh.decode(proposal.trajectory.actions)
        cost = fresh.cost(proposal.architecture)
        assert space.size(proposal.architecture) == (cost.parameters, cost.multiply_adds)


def test_remembering_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gcnas.space.search_space.MAX_REMEMBERED", 3)
    space = CNN.fit(InputShape(1, 16, 16, 10))
    for proposal in RandomStrategy(space, 0).ask(5):
        assert proposal.architecture == space.decode(proposal.trajectory.actions)
    assert max(len(space._forms), len(space._plans)) <= 3


LAYER = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["conv2d", "max_pool", "other"]) | JSON,
        "hyperparameters": st.just(conv(0).values)
        | st.fixed_dictionaries(dict.fromkeys(conv(0).values, JSON | st.integers(0, 9)))
        | JSON,
        "inputs": st.lists(st.integers(-1, 3), max_size=3),
    }
)


@given(st.fixed_dictionaries({"layers": st.lists(LAYER, max_size=4)}))
def test_documents_from_outside_are_planned_or_refused(document: dict[str, Any]) -> None:
    try:
        architecture = Architecture.from_json(document)
        plans = SPACE.plan(architecture)
    except SpaceError:
        return
    assert len(plans) == architecture.depth
    assert SPACE.cost(architecture).parameters > 0
