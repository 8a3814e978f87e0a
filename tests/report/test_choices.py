import math

import numpy as np
import pytest

from gcnas.records import Architecture, Layer
from gcnas.report.choices import choice_table
from gcnas.space import SearchSpace


def conv(filters: int, stride: int, *inputs: int, activation: str = "relu") -> Layer:
    values = {"filters": filters, "kernel_size": 3, "stride": stride, "activation": activation}
    values |= {"dilation": 1, "dropout": 0.0, "merge": "add"}
    return Layer("conv2d", tuple(sorted(values.items())), inputs)


POOL = Layer("max_pool", (("kernel_size", 2), ("merge", "add")), (2,))


def test_columns(space: SearchSpace) -> None:
    plain = Architecture((conv(16, 1, 0), conv(32, 1, 1, activation="hard_swish")))
    other = Architecture((conv(16, 1, 0), conv(16, 2, 1, 0), POOL))
    names, table = choice_table(space, [plain, other])
    first, second = (dict(zip(names, row, strict=True)) for row in table)
    pairs = {
        "layers": (2, 3),
        "connections past a layer": (0, 1),
        "max_pool layers": (0, 1),
        "mean filters": (24, 16),
        "mean stride": (1, 1.5),
        "mean kernel_size": (3, 8 / 3),
        "share with activation relu": (0.5, 2 / 3),
        "share with activation hard_swish": (0.5, 0),
        "layers that shrink the map": (0, 2),
        "first layer that shrinks it": (3, 2),
        "log parameters": tuple(math.log10(space.cost(each).parameters) for each in (plain, other)),
    }
    for name, (one, two) in pairs.items():
        assert (first[name], second[name]) == pytest.approx((one, two)), name
    # What both share tells nothing.
    assert not {"conv2d layers", "mean dropout", "share with merge add"} & set(names)


def test_one_network_has_no_columns(space: SearchSpace) -> None:
    names, table = choice_table(space, [Architecture((conv(16, 1, 0), conv(16, 1, 1)))])
    assert (names, table.shape) == ((), (1, 0))
    assert np.isfinite(table).all()
