from pathlib import Path

from gcnas.space import InputShape, load_space
from gcnas.testing.space import SpaceTestCase

FILE = Path(__file__).with_name("ghost_space.py")


class TestSpaceFromAFile(SpaceTestCase):
    space = load_space(f"{FILE}:SPACE").fit(InputShape(channels=3, height=12, width=12, classes=3))
    architectures = 30
