"""What the masks close, and what they leave open."""

from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.space.drawing import AWKWARD, SPACES, Plain, action, actions, grow, growths

from gcnas.records import STOP, Cost, LayerAction, Limits
from gcnas.space import Growth, InputShape, LayerType, SearchSpace
from gcnas.space.presets import CNN

SMALL = CNN.fit(InputShape(1, 8, 8, 10))
TIGHT = tuple(
    space.fit(InputShape(1, 16, 16, 10), limits)
    for space in (CNN, AWKWARD)
    for limits in (
        Limits(3_000),
        Limits(None, 150_000),
        Limits(2_500, 200_000),
        Limits(300, 40_000),
        Limits(10, 10),
        Limits(activations=10),
    )
)


def test_stop_opens_at_the_least_depth() -> None:
    space = replace(SMALL, min_depth=3)
    stops = [grow(space, [action(space, "conv2d")] * depth).type_mask()[-1] for depth in range(5)]
    assert stops == [False, False, False, True, True]


def test_connections_open_with_the_nodes() -> None:
    found = [grow(SMALL, [action(SMALL, "conv2d")] * depth).connection_mask() for depth in range(5)]
    yes, no = True, False
    assert found == [(no, no, no), (yes, no, no), (yes, yes, no), (yes, yes, yes), (yes, yes, yes)]


def test_strides_close_with_the_size() -> None:
    stride = [choice.name for choice in CNN.layer_types[0].choices].index("stride")

    def open_strides(space: SearchSpace) -> tuple[bool, ...]:
        return space.start().layer_mask(0).hyperparameters[stride]

    assert open_strides(CNN.fit(InputShape(1, 4, 9, 2))) == (True, True)
    assert open_strides(CNN.fit(InputShape(1, 3, 9, 2))) == (True, False)


@given(growths((*SPACES, *TIGHT)))
@settings(max_examples=150)
def test_masks_are_never_empty_and_fit_the_decisions(growth: Growth) -> None:
    space = growth.space
    assert any(growth.type_mask())
    assert growth.layer_mask(STOP).types == growth.type_mask()
    for number, layer_type in enumerate(space.layer_types):
        mask = growth.layer_mask(number)
        assert len(mask.types) == len(space.layer_types) + 1
        assert [len(flags) for flags in mask.hyperparameters] == [len(c) for c in layer_type.choices]
        assert all(any(flags) for flags in mask.hyperparameters)
        assert len(mask.connections) == space.window - 1


@given(growths((SPACES[0], *TIGHT[:3]), spare=1), st.data())
@settings(max_examples=50)
def test_masks_do_not_depend_on_decisions_for_the_same_layer(growth: Growth, data: st.DataObject) -> None:
    space = growth.space
    first = data.draw(actions(space))
    second = data.draw(actions(space, first.type))
    before = growth.layer_mask(first.type)
    assert (
        growth.add(first).masks[-1] == growth.add(second).masks[-1] == before == growth.layer_mask(first.type)
    )


@pytest.mark.parametrize("space", TIGHT, ids=lambda space: f"{space.name} {space.limits}")
def test_masks_close_what_breaks_a_limit_and_nothing_else(space: SearchSpace) -> None:
    """An option is open exactly if, for each limit, some layer with it keeps the network within the limit."""
    generator = [
        [],
        [LayerAction(0, (1,) * len(space.layer_types[0].choices), (0,) * (space.window - 1))],
        [LayerAction(1, (2, *[0] * (len(space.layer_types[1].choices) - 1)), (0,) * (space.window - 1))] * 3,
        [LayerAction(2, (0,) * len(space.layer_types[2].choices), (0,) * (space.window - 1))] * 4,
    ]
    for decisions in generator:
        growth = grow(space, decisions)
        for number, layer_type in enumerate(space.layer_types):
            least = least_costs(growth, layer_type)
            limits = space.limits
            within = {
                key: all(
                    bound is None or value <= bound
                    for value, bound in zip(values, (limits.parameters, limits.multiply_adds), strict=True)
                )
                for key, values in least.items()
            }
            assert growth.type_mask()[number] == within["", None], (decisions, layer_type.name)
            for choice, flags in zip(
                layer_type.choices, growth.layer_mask(number).hyperparameters, strict=True
            ):
                allowed = tuple(
                    within[choice.name, option]
                    and (choice.name != "stride" or growth.nodes[-1].allows(int(option)))
                    for option in choice.options
                )
                expected = allowed if any(allowed) else (True,) * len(choice)
                assert flags == expected, (decisions, layer_type.name, choice.name)


def least_costs(growth: Growth, layer_type: LayerType) -> dict[tuple[str, object], tuple[int, int]]:
    """Least parameters and least multiply-adds of the whole network with one more layer, by trying all.

    The key is a hyper-parameter and an option of it, or an empty name for the whole type.
    """
    shape, space = growth.nodes[-1], growth.space
    classes = space.fitted.classes
    least: dict[tuple[str, object], tuple[int, int]] = {}
    names = [choice.name for choice in layer_type.choices]
    for options in product(*(choice.options for choice in layer_type.choices)):
        values = dict(zip(names, options, strict=True))
        form = layer_type.canonical(shape, values)
        added = Cost() if form is None else layer_type.cost(shape, form)
        # Where the layer vanishes, what comes next may have fewer channels: the head is left open.
        head = Cost() if form is None else space.head.cost(layer_type.output_shape(shape, form), classes)
        found = (
            growth.cost.parameters + added.parameters + head.parameters,
            growth.cost.multiply_adds + added.multiply_adds + head.multiply_adds,
        )
        for key in (("", None), *values.items()):
            known = least.get(key, found)
            least[key] = (min(known[0], found[0]), min(known[1], found[1]))
    return least


ONE_PRICE = SearchSpace("one price", (Plain(),), min_depth=1, max_depth=6)
"""Where one hyper-parameter alone decides the cost, masks keep every network within its limits."""


@given(st.integers(200, 3_000), st.integers(10_000, 300_000), st.data())
def test_every_prefix_may_stop_where_options_do_not_add_up(
    parameters: int, multiply_adds: int, data: st.DataObject
) -> None:
    space = ONE_PRICE.fit(InputShape(1, 8, 8, 5), Limits(parameters, multiply_adds))
    growth = space.start()
    while any(growth.type_mask()[:-1]):
        flags = growth.layer_mask(0).hyperparameters[0]
        option = data.draw(st.sampled_from([index for index, flag in enumerate(flags) if flag]))
        growth = growth.add(LayerAction(0, (option,), (0, 0, 0)))
        assert space.limits.violation(space.cost(growth.architecture)) is None


@given(growths(TIGHT))
@settings(max_examples=150)
def test_a_network_beyond_a_limit_grows_no_further(growth: Growth) -> None:
    """Not even by layers that would vanish."""
    if growth.space.limits.violation(growth.cost) is not None:
        assert growth.type_mask() == (*[False] * len(growth.space.layer_types), True)
