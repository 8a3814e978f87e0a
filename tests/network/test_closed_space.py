"""Random architectures of the `cnn` preset, 310 in all: `benchmarks/closed_space.py` looks at 10,000."""

import pytest

from gcnas.records import Limits
from gcnas.space import InputShape
from gcnas.space.presets import CNN
from gcnas.testing.space import SpaceTestCase


class TestTinyGreyImages(SpaceTestCase):
    space = CNN.fit(InputShape(channels=1, height=8, width=8, classes=10))
    architectures = 50


@pytest.mark.slow
class TestSmallColourImages(SpaceTestCase):
    space = CNN.fit(InputShape(channels=3, height=16, width=16, classes=10))
    architectures = 150
    seed = 1


class TestGreyImagesWithinLimits(SpaceTestCase):
    space = CNN.fit(
        InputShape(channels=1, height=28, width=28, classes=10),
        Limits(parameters=78_000, multiply_adds=9_400_000),
    )
    architectures = 60
    seed = 2


class TestGreyImages(SpaceTestCase):
    space = CNN.fit(InputShape(channels=1, height=28, width=28, classes=10))
    architectures = 30
    seed = 3


class TestOblongImagesOfOddSize(SpaceTestCase):
    space = CNN.fit(InputShape(channels=3, height=13, width=27, classes=2))
    architectures = 20
    seed = 4
