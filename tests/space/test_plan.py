"""Merging and memory, counted by hand."""

import pytest
from tests.space.drawing import Halve, Plain

from gcnas.errors import SpaceError
from gcnas.records import Architecture, Cost, Layer, Limits
from gcnas.space import Choice, InputShape, LayerType, SearchSpace, Shape, Values
from gcnas.space.plan import plan_layer, plan_merge

NODE = Shape(8, 4, 6)


def test_one_input_is_not_merged() -> None:
    plan = plan_merge([NODE], "add")
    assert (plan.output, plan.cost, plan.projected) == (NODE, Cost(), (False,))


def test_equal_inputs_are_added_for_nothing() -> None:
    plan = plan_merge([NODE, NODE], "add")
    assert (plan.output, plan.cost) == (NODE, Cost())


def test_other_inputs_are_projected_to_be_added() -> None:
    plan = plan_merge([NODE, Shape(3, 4, 6), NODE, Shape(8, 8, 11)], "add")
    assert plan.output == NODE
    assert plan.strides == (1, 1, 1, 2)
    assert plan.projected == (False, True, False, True)
    weights = 3 * 8 + 8 * 8
    assert plan.cost == Cost(weights + 2 * (2 * 8), weights * 4 * 6)


def test_inputs_are_concatenated_for_nothing() -> None:
    plan = plan_merge([NODE, Shape(3, 8, 11)], "concat")
    assert (plan.output, plan.cost, plan.strides) == (Shape(11, 4, 6), Cost(), (1, 2))


def test_a_smaller_older_input_is_refused() -> None:
    with pytest.raises(SpaceError, match="2x3 to 4x6"):
        plan_merge([NODE, Shape(3, 2, 3)], "add")


def test_a_layer_costs_what_it_and_its_merging_cost() -> None:
    layer = Layer("plain", (("filters", 4),), (1, 0))
    plan = plan_layer(Plain(), layer, [Shape(2, 8, 8), Shape(5, 4, 4)])
    assert plan.output == Shape(4, 4, 4)
    assert plan.cost == Cost(parameters=5 * 4 + 2 * 5 + 2 * 5, multiply_adds=(5 * 4 + 2 * 5) * 16)


class Faulty(LayerType):
    """Breaks the shape rule in one way or another."""

    fault = Choice("none", "grows", "odd", "no channels")

    def output_shape(self, shape: Shape, values: Values) -> Shape:
        return {
            "none": shape,
            "grows": Shape(shape.channels, 2 * shape.height, 2 * shape.width),
            "odd": Shape(shape.channels, shape.height - 1, shape.width - 1),
            "no channels": Shape(0, shape.height, shape.width),
        }[values["fault"]]

    def cost(self, shape: Shape, values: Values) -> Cost:
        return Cost()


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("grows", r"ceil\(size / stride\)"),
        ("odd", r"ceil\(size / stride\)"),
        ("no channels", "faulty gives 0 channels"),
    ],
)
def test_a_wrong_shape_rule_is_named(fault: str, message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        plan_layer(Faulty(), Layer("faulty", (("fault", fault),), (0,)), [Shape(4, 8, 8)])


class Failing(LayerType):
    what = Choice("no cost", "no shape", "a tuple", "a name", "a number")

    def output_shape(self, shape: Shape, values: Values) -> Shape:
        if values["what"] == "a tuple":
            return tuple(shape)  # type: ignore[return-value]
        return super().output_shape(shape, values) if values["what"] == "no shape" else shape

    def cost(self, shape: Shape, values: Values) -> Cost:
        if values["what"] == "a number":
            return 3  # type: ignore[return-value]
        return Cost(values["filter"]) if values["what"] == "a name" else super().cost(shape, values)


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("no cost", "cost of the layer type 'failing' failed: it is not defined"),
        ("no shape", "output_shape of the layer type 'failing' failed: it is not defined"),
        ("a tuple", "must give a Shape, but gave tuple"),
        ("a name", "cost of the layer type 'failing' failed: KeyError: 'filter'"),
        ("a number", "must give a Cost, but gave int"),
    ],
)
def test_a_rule_that_fails_is_named(what: str, message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        plan_layer(Failing(), Layer("failing", (("what", what),), (0,)), [Shape(4, 8, 8)])


def test_a_rule_that_fails_for_masks_is_named() -> None:
    space = SearchSpace("failing", (Failing(),), max_depth=2).fit(
        InputShape(1, 8, 8, 2), Limits(parameters=1_000)
    )
    with pytest.raises(SpaceError, match="of the layer type 'failing' failed"):
        space.start().type_mask()


@pytest.mark.parametrize("inputs", [(), (2,), (1, -1), (-1,), (1, 5)])
def test_nodes_that_do_not_exist_are_refused(inputs: tuple[int, ...]) -> None:
    layer = Layer("plain", (("filters", 4),), inputs)
    with pytest.raises(SpaceError, match="0 to 1, but got"):
        plan_layer(Plain(), layer, [Shape(2, 8, 8), Shape(5, 4, 4)])


class Heavy(Plain):
    """Keeps 1,000 numbers inside."""

    def cost(self, shape: Shape, values: Values) -> Cost:
        return Cost(activations=1_000)


SPACE = SearchSpace("memory", (Plain(), Halve(), Heavy())).fit(InputShape(1, 4, 4, 2))
"""The stem's output, node 0, is 16 x 4 x 4 = 256 numbers."""


def peak(*layers: tuple[str, int | None, tuple[int, ...]]) -> int:
    """Peak of layers, each given by type, filters and inputs."""
    return SPACE.cost(
        Architecture(
            tuple(
                Layer(name, () if filters is None else (("filters", filters),), inputs)
                for name, filters, inputs in layers
            )
        )
    ).activations


def test_peak_of_the_stem_alone() -> None:
    assert peak() == 256


def test_peak_of_a_chain_is_its_largest_pair() -> None:
    # 256 + 32; 32 + 64; 64 + 128; 128 + 256; 256 + 64
    chain = [(2, 0), (4, 1), (8, 2), (16, 3), (4, 4)]
    assert peak(*(("plain", filters, (node,)) for filters, node in chain)) == 384


def test_peak_keeps_what_is_read_again() -> None:
    # Layer 3 reads node 0 again, so it is alive all the while. By layer:
    # 1: 256 + 128;  2: 256 + 128 + 128;  3: 256 + 128, their sum 128, its output 32;  4: 32 + 32
    skip = [("plain", 8, (0,)), ("plain", 8, (1,)), ("plain", 2, (2, 0)), ("plain", 2, (3,))]
    assert peak(*skip) == 256 + 128 + 128 + 32
    assert peak(*skip[:2], ("plain", 2, (2,))) == 256 + 128


def test_peak_counts_merged_inputs() -> None:
    # 1: 256 + 256;  2: 256 + 256, their sum 256, its output 64
    assert peak(("plain", 16, (0,)), ("plain", 4, (1, 0))) == 832


def test_peak_counts_what_lives_inside_a_layer() -> None:
    # 2: 32 + 32 + 1000
    assert peak(("plain", 2, (0,)), ("heavy", 2, (1,)), ("plain", 16, (2,))) == 1_064


def test_peak_frees_a_skip_after_its_last_reader() -> None:
    # 1: 256 + 32;  2: 256 + 32 + 32 (node 0 still wanted);  3: 256 + 32, sum 32, output 32;
    # 4: node 0 is gone: 32 + 256;  5: 256 + 256
    layers = [
        ("plain", 2, (0,)),
        ("plain", 2, (1,)),
        ("plain", 2, (2, 0)),
        ("plain", 16, (3,)),
        ("plain", 16, (4,)),
    ]
    assert peak(*layers) == 512


def test_peak_of_smaller_maps() -> None:
    # 1: 256 + 64 (16 x 2 x 2);  2: 64 + 16 x 1 x 1
    assert peak(("halve", None, (0,)), ("halve", None, (1,))) == 320
