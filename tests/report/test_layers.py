import pytest

from gcnas.errors import SpaceError
from gcnas.records import Architecture, Layer
from gcnas.report.layers import describe, layer_table
from gcnas.space import SearchSpace
from gcnas.strategy import RandomStrategy


@pytest.fixture
def architecture(space: SearchSpace) -> Architecture:
    layers = (
        space.layer("residual_block", filters=16, after=0),
        space.layer("residual_block", filters=32, stride=2, after=1),
        space.layer("conv2d", (2, 1, 0), filters=24, kernel_size=5, merge="concat", activation="hard_swish"),
        space.layer("max_pool", (3, 2)),
    )
    return Architecture(layers)


def test_describe(architecture: Architecture) -> None:
    assert describe(architecture) == (
        "residual_block 16 k3 > residual_block 32 k3 s2 > conv2d 24 k5 hard_swish (concat 1 concat 0) > "
        "max_pool k2 (+2)"
    )
    assert describe(Architecture(())) == ""


def test_describe_of_unknown_types() -> None:
    layer = Layer("mine", (("alpha", 3), ("mode", "x")), (0,))
    assert describe(Architecture((layer,))) == "mine alpha=3 mode=x"


def test_table(architecture: Architecture, space: SearchSpace) -> None:
    rows = layer_table(architecture, space)
    assert [row.layer for row in rows] == ["stem", "1", "2", "3", "4", "head"]
    assert rows[2].output == "32 \u00d7 14 \u00d7 14"
    assert rows[3].inputs == "2, 1, stem (concat)"
    assert rows[3].hyperparameters == "24 filters, 5\u00d75, hard_swish"
    assert rows[5].output == "3 classes"


def test_costs_add_up_to_that_of_the_space(space: SearchSpace) -> None:
    for proposal in RandomStrategy(space, 1).ask(30):
        rows, cost = layer_table(proposal.architecture, space), space.cost(proposal.architecture)
        assert sum(row.parameters or 0 for row in rows) == cost.parameters
        assert sum(row.multiply_adds or 0 for row in rows) == cost.multiply_adds


def test_table_without_a_space(architecture: Architecture, space: SearchSpace) -> None:
    rows = layer_table(architecture)
    assert {(row.output, row.parameters, row.multiply_adds) for row in rows} == {(None, None, None)}
    assert [row.inputs for row in rows] == [row.inputs for row in layer_table(architecture, space)]


def test_foreign_architecture(space: SearchSpace) -> None:
    with pytest.raises(SpaceError, match="mine"):
        layer_table(Architecture((Layer("mine", (), (0,)),)), space)
