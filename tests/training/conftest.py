"""Small splits and networks; one thread, so that sums are added in one order."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from gcnas.data import Dataset, Split, load
from gcnas.space import InputShape, SearchSpace
from gcnas.space.presets import CNN
from gcnas.training import Platform

CPU = Platform("cpu", threads=1, channels_last=False)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def noise(count: int, height: int = 6, width: int = 9, channels: int = 3, seed: int = 0) -> Split:
    """Images of noise without black pixels; the label of each is its row."""
    images = np.random.default_rng(seed).integers(1, 256, (count, height, width, channels), dtype=np.uint8)
    return Split(images, np.arange(count))


@pytest.fixture(scope="session")
def stripes() -> Dataset:
    """240 grey images of 8x8 in 3 classes: bright rows, bright columns, bright everywhere."""
    random = np.random.default_rng(0)
    labels = np.arange(240) % 3
    images = random.integers(0, 120, (240, 8, 8), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        at = int(random.integers(8))
        image[(slice(at, at + 1), slice(None)) if label == 0 else (slice(None), slice(at, at + 1))] += 100
        if label == 2:
            image[:] = random.integers(60, 220, (8, 8))
    return load((images, labels))


@pytest.fixture(scope="session")
def space(stripes: Dataset) -> SearchSpace:
    """The built-in space, fitted to these images."""
    return CNN.fit(InputShape(1, 8, 8, stripes.classes))
