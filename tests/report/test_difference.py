import pytest

from gcnas.records import Architecture, Layer
from gcnas.report.difference import difference


def conv(filters: int, *inputs: int, stride: int = 1) -> Layer:
    return Layer("conv2d", (("filters", filters), ("kernel_size", 3), ("stride", stride)), inputs)


def pool(*inputs: int) -> Layer:
    return Layer("max_pool", (("kernel_size", 2),), inputs)


START = Architecture((conv(16, 0), pool(1), conv(32, 2)))


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ((conv(16, 0), pool(1), conv(32, 2)), "nothing"),
        ((conv(24, 0), pool(1), conv(32, 2)), "layer 1: filters 16 → 24"),
        ((conv(24, 0, stride=2), pool(1), conv(32, 2)), "layer 1: filters 16 → 24, stride 1 → 2"),
        ((conv(16, 0), conv(32, 1)), "layer 2 removed (max_pool k2)"),
        ((conv(16, 0), pool(1), conv(32, 2), conv(64, 3)), "conv2d 64 k3 added as layer 4"),
        ((conv(16, 0), conv(8, 1), conv(32, 2)), "layer 2: max_pool k2 → conv2d 8 k3"),
        ((conv(16, 0), pool(1), conv(32, 2, 1, 0)), "layer 3 reads the stem too; layer 3 reads layer 1 too"),
        ((conv(1, 0), pool(1), conv(2, 2), conv(3, 3), pool(4)),
         "layer 1: filters 16 → 1; layer 3: filters 32 → 2; conv2d 3 k3 added as layer 4; and 1 more"),
    ],
)  # fmt: skip
def test_words(layers: tuple[Layer, ...], words: str) -> None:
    assert difference(START, Architecture(layers)) == words


def test_connections_given_up() -> None:
    before = Architecture((conv(16, 0), conv(16, 1, 0)))
    after = Architecture((conv(16, 0), conv(16, 1)))
    assert difference(before, after) == "layer 2 no longer reads the stem"
