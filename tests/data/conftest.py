"""Small made-up data: pictures that differ, and files of them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

MakePicture = Callable[..., Image.Image]
MakeFolder = Callable[..., Path]


@pytest.fixture
def picture() -> MakePicture:
    """Make a picture of noise, another for every seed."""

    def make(seed: int = 0, size: tuple[int, int] = (16, 16), mode: str = "RGB") -> Image.Image:
        pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        return Image.fromarray(pixels).convert(mode)

    return make


@pytest.fixture
def folder(tmp_path: Path, picture: MakePicture) -> MakeFolder:
    """Make folders of different pictures: ``folder({"cat": 5, "dog": 4})``; names may be paths."""

    def make(classes: dict[str, int], root: Path = tmp_path / "pets", first_seed: int = 0) -> Path:
        seed = first_seed
        for name, count in classes.items():
            (root / name).mkdir(parents=True, exist_ok=True)
            for number in range(count):
                picture(seed).save(root / name / f"{number:03d}.png")
                seed += 1
        return root

    return make


@pytest.fixture
def arrays() -> tuple[np.ndarray, np.ndarray]:
    """60 different grey images of 8x8 pixels in 3 classes of 20."""
    images = np.random.default_rng(0).integers(0, 256, (60, 8, 8), dtype=np.uint8)
    return images, np.repeat(np.arange(3), 20)
