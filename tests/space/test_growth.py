"""The decision process: closed, canonical, masked."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.space.drawing import AWKWARD, action, actions, grow, growths, without_connections

from gcnas.errors import SpaceError
from gcnas.records import STOP, Architecture, LayerAction, Trajectory
from gcnas.space import Growth, InputShape, SearchSpace
from gcnas.space.presets import CNN


@given(growths())
@settings(max_examples=100)
def test_any_decisions_lead_to_a_network(growth: Growth) -> None:
    space, architecture = growth.space, growth.architecture
    plans, cost = space.plan(architecture), space.cost(architecture)
    assert architecture.depth <= growth.depth <= space.max_depth
    assert growth.nodes[1:] == tuple(plan.output for plan in plans)
    assert all(min(shape.channels, shape.height, shape.width) >= 1 for shape in growth.nodes)
    for index, layer in enumerate(architecture.layers, start=1):
        assert layer.inputs[0] == index - 1
        assert list(layer.inputs) == sorted(set(layer.inputs), reverse=True)
        assert index - layer.inputs[-1] <= space.window
    head = space.head.cost(growth.nodes[-1], space.fitted.classes)
    assert cost.parameters == growth.cost.parameters + head.parameters
    assert cost.multiply_adds == growth.cost.multiply_adds + head.multiply_adds


@given(growths())
@settings(max_examples=100)
def test_the_canonical_form_is_its_own(growth: Growth) -> None:
    space, architecture = growth.space, growth.architecture
    trajectory = space.encode(architecture)
    assert space.decode(trajectory.actions) == architecture
    assert space.decode(growth.stop().actions) == architecture
    assert space.encode(space.decode(trajectory.actions)) == trajectory
    assert trajectory.actions[-1] == LayerAction(STOP)
    assert len(trajectory.actions) == len(trajectory.masks) == architecture.depth + 1


@given(growths())
def test_networks_and_decisions_survive_json(growth: Growth) -> None:
    architecture, trajectory = growth.architecture, growth.stop()
    again = Architecture.from_json(json.loads(json.dumps(architecture.to_json())))
    assert again == architecture
    assert again.fingerprint == architecture.fingerprint
    assert Trajectory.from_json(json.loads(json.dumps(trajectory.to_json()))) == trajectory


SMALL = CNN.fit(InputShape(1, 8, 8, 10))
TINY = CNN.fit(InputShape(1, 3, 9, 10))


@pytest.mark.parametrize(
    ("space", "first", "second"),
    [
        pytest.param(
            TINY,
            [action(TINY, "conv2d", stride=2)],
            [action(TINY, "conv2d", stride=1)],
            id="a stride that the size does not allow is 1",
        ),
        pytest.param(
            TINY,
            [action(TINY, "conv2d"), action(TINY, "max_pool"), action(TINY, "residual_block")],
            [action(TINY, "conv2d"), action(TINY, "residual_block")],
            id="pooling vanishes where the size does not allow it",
        ),
        pytest.param(
            TINY,
            [action(TINY, "conv2d"), action(TINY, "avg_pool", 2), action(TINY, "conv2d", merge="concat")],
            [action(TINY, "conv2d"), action(TINY, "conv2d", 2, merge="concat")],
            id="who reads pooling that vanished reads what it read",
        ),
        pytest.param(
            SMALL,
            [action(SMALL, "conv2d", kernel_size=1, dilation=2)],
            [action(SMALL, "conv2d", kernel_size=1, dilation=1)],
            id="a kernel of 1 is not dilated",
        ),
        pytest.param(
            SMALL,
            [action(SMALL, "conv2d", kernel_size=3, stride=2, dilation=2)],
            [action(SMALL, "conv2d", kernel_size=3, stride=2, dilation=1)],
            id="a strided kernel is not dilated",
        ),
        pytest.param(
            SMALL,
            [action(SMALL, "conv2d", kernel_size=5, dilation=2)],
            [action(SMALL, "conv2d", kernel_size=5, dilation=1)],
            id="a kernel without room is not dilated",
        ),
        pytest.param(
            SMALL,
            [action(SMALL, "conv2d", merge="concat")],
            [action(SMALL, "conv2d", merge="add")],
            id="one input is not concatenated",
        ),
        pytest.param(
            SMALL,
            [action(SMALL, "conv2d", 2, 3, 4, merge="concat"), action(SMALL, "conv2d", 3, 4)],
            [action(SMALL, "conv2d"), action(SMALL, "conv2d")],
            id="there are no connections to before the stem",
        ),
    ],
)
def test_equal_networks_have_one_form(
    space: SearchSpace, first: list[LayerAction], second: list[LayerAction]
) -> None:
    left, right = space.decode(first), space.decode(second)
    assert left == right
    assert left.fingerprint == right.fingerprint


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param({"stride": 2}, {"stride": 1}, id="stride"),
        pytest.param({"kernel_size": 3, "dilation": 2}, {"kernel_size": 3, "dilation": 1}, id="dilation"),
        pytest.param({"dropout": 0.1}, {"dropout": 0.0}, id="dropout"),
    ],
)
def test_other_networks_have_another_form(first: dict[str, Any], second: dict[str, Any]) -> None:
    left, right = (SMALL.decode([action(SMALL, "conv2d", **values)]) for values in (first, second))
    assert left.fingerprint != right.fingerprint


def test_merging_matters_with_two_inputs() -> None:
    left, right = (
        SMALL.decode([action(SMALL, "conv2d"), action(SMALL, "conv2d", 2, merge=mode)])
        for mode in ("add", "concat")
    )
    assert left.fingerprint != right.fingerprint


@given(growths(spare=1), st.data())
def test_decisions_without_effect_are_not_seen(growth: Growth, data: st.DataObject) -> None:
    """Toggle a decision that changes nothing: connections to before the stem, merging of one input."""
    space = growth.space
    last = data.draw(actions(space))
    reach = len(growth.actions) + 1
    changed = tuple(
        bit if distance <= reach else 1 - bit for distance, bit in enumerate(last.connections, start=2)
    )
    expected = growth.add(last).architecture
    assert growth.add(replace(last, connections=changed)).architecture == expected
    alone = growth.resolved[-1] == (len(growth.nodes) - 1,)
    names = [choice.name for choice in space.layer_types[last.type].choices]
    if alone and "merge" in names:
        place = names.index("merge")
        options = range(len(space.layer_types[last.type].choices[place]))
        forms = {
            growth.add(
                replace(
                    without_connections(last),
                    hyperparameters=(*last.hyperparameters[:place], option, *last.hyperparameters[place + 1 :]),
                )
            ).architecture
            for option in options
        }
        assert len(forms) == 1


def test_a_type_that_only_concatenates_keeps_to_its_option() -> None:
    space = AWKWARD.fit(InputShape(1, 8, 8, 2))
    architecture = space.decode([LayerAction(space.codes["dense"], (0, 0), (0, 0))])
    assert architecture.layers[0].values["merge"] == "concat"
    assert space.decode(space.encode(architecture).actions) == architecture


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"type": 99}, "no layer type with code 99"),
        ({"type": STOP}, "no layer type with code -1"),
        ({"connections": (0, 0)}, "decides on 3 connections"),
        ({"connections": ()}, "decides on 3 connections"),
        ({"hyperparameters": ()}, "conv2d has options"),
        ({"hyperparameters": (0,) * 20}, "conv2d has options"),
        ({"hyperparameters": (99, 0, 0, 0, 0, 0, 0)}, "conv2d has options"),
        ({"hyperparameters": (-1, 0, 0, 0, 0, 0, 0)}, "conv2d has options"),
    ],
)
def test_decisions_out_of_range_are_refused(change: dict[str, Any], message: str) -> None:
    valid = action(SMALL, "conv2d")
    with pytest.raises(SpaceError, match=message):
        SMALL.start().add(replace(valid, **change))


def test_a_network_grows_no_deeper_than_it_may() -> None:
    space = replace(SMALL, max_depth=3)
    growth = grow(space, [action(space, "conv2d")] * 3)
    assert growth.type_mask() == (*[False] * 6, True)
    with pytest.raises(SpaceError, match="at most 3 layers"):
        growth.add(action(space, "conv2d"))
