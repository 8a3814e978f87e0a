"""Random architectures of the `mobile` preset."""

from gcnas.records import Limits
from gcnas.space import InputShape
from gcnas.space.presets import MOBILE
from gcnas.testing.space import SpaceTestCase


class TestSmallColourImages(SpaceTestCase):
    space = MOBILE.fit(InputShape(channels=3, height=16, width=16, classes=10))
    architectures = 15


class TestGreyImagesWithinLimits(SpaceTestCase):
    space = MOBILE.fit(
        InputShape(channels=1, height=28, width=28, classes=10),
        Limits(parameters=60_000, multiply_adds=5_000_000),
    )
    architectures = 15
    seed = 1


class TestOblongImagesOfOddSize(SpaceTestCase):
    space = MOBILE.fit(InputShape(channels=3, height=13, width=27, classes=2))
    architectures = 10
    seed = 2
