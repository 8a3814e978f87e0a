import numpy as np
import pytest

from gcnas.records import LayerAction, Limits
from gcnas.space import Growth, InputShape
from gcnas.space.presets import CNN
from gcnas.strategy import RandomStrategy
from gcnas.strategy.drawing import TRIES, any_open, grow
from gcnas.strategy.latin import latin

LIMITS = [Limits(50_000, 2_000_000), Limits(5_000), Limits(multiply_adds=300_000)]


@pytest.mark.parametrize("limits", LIMITS, ids=str)
def test_networks_drawn_by_chance_are_within_the_limits(limits: Limits) -> None:
    space = CNN.fit(InputShape(1, 28, 28, 10), limits)
    design = latin(space, 16, np.random.default_rng(0), 0.25)
    drawn = [*design, *(proposal.trajectory for proposal in RandomStrategy(space, 0).ask(50))]
    assert [space.violation(space.decode(t.actions)) for t in drawn] == [None] * len(drawn)


def test_limits_do_not_make_networks_shallow() -> None:
    space = CNN.fit(InputShape(1, 28, 28, 10), LIMITS[0])
    depths = [proposal.architecture.depth for proposal in RandomStrategy(space, 0).ask(100)]
    assert np.mean(depths) > 5


def test_a_layer_that_never_fits_ends_the_network() -> None:
    space = CNN.fit(InputShape(1, 28, 28, 10), Limits(5_000))
    widest = space.encode_layer(space.layer("conv2d", filters=128, kernel_size=5), 1)
    narrow = space.encode_layer(space.layer("conv2d", filters=8), 1)
    asked: list[int] = []

    def draw(growth: Growth) -> LayerAction:
        asked.append(growth.depth)
        return narrow if growth.depth < 3 else widest

    found = grow(space, 10, draw)
    assert len(found.actions) == 3 + 1
    assert asked == [0, 1, 2] + [3] * (1 + TRIES)


def test_every_open_option_is_drawn_equally_often_and_closed_ones_never() -> None:
    random = np.random.default_rng(0)
    counts = np.bincount(
        [any_open((False, True, True, False, True), random) for _ in range(3_000)], minlength=5
    )
    assert counts[[0, 3]].tolist() == [0, 0]
    assert all(abs(count - 1_000) < 100 for count in counts[[1, 2, 4]])
    with pytest.raises(ValueError, match="high <= 0"):
        any_open((False, False), random)
