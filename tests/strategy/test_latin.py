from collections import Counter

import numpy as np
import pytest
from tests.strategy.spaces import CELL, DEEP

from gcnas.records import Limits
from gcnas.space import InputShape
from gcnas.space.presets import CNN
from gcnas.strategy.edits import allowed
from gcnas.strategy.latin import latin


def test_every_option_is_tried_equally_often() -> None:
    design = latin(CELL, 10, np.random.default_rng(0), 0.25)
    for place in range(6):
        assert Counter(t.actions[place].type for t in design) == dict.fromkeys(range(5), 2)


def test_no_network_comes_twice() -> None:
    design = latin(CELL, 15, np.random.default_rng(0), 0.25)
    assert len({t.actions for t in design}) == 15


def test_depths_are_spread() -> None:
    design = latin(DEEP, 8, np.random.default_rng(0), 0.25)
    assert Counter(len(t.actions) - 1 for t in design) == {2: 2, 3: 2, 4: 2, 5: 2}


@pytest.mark.parametrize("seed", range(3))
def test_masks_hold(seed: int) -> None:
    space = CNN.fit(InputShape(1, 12, 12, 5), Limits(parameters=20_000))
    design = latin(space, 8, np.random.default_rng(seed), 0.25)
    assert len(design) == 8
    assert all(allowed(trajectory) for trajectory in design)
