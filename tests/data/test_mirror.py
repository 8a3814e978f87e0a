"""The rule for left-right mirroring, on shapes with and without a direction."""

import time

import numpy as np
import pytest

from gcnas.data import Split, load
from gcnas.data.mirror import keeps_label


def bars(count: int, seed: int, across: bool) -> Split:
    """A bright bar: left or right (mirroring swaps the classes), or above or below (it does not)."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 2, count)
    images = generator.integers(0, 80, (count, 16, 16, 1), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        half = slice(0, 6) if label else slice(10, 16)
        image[half if across else slice(None), slice(None) if across else half] += 120
    return Split(images, labels)


def test_where_nothing_is_told_nothing_is_mirrored(monkeypatch: pytest.MonkeyPatch) -> None:
    for classes, plain, mirrored, kept in (
        (10, 0.0, 0.0, False),
        (10, 0.5, 0.3, True),
        (10, 0.5, 0.29, False),
        (10, 0.06, 0.06, True),  # hard to tell, by guesses too
        (2, 0.6, 0.48, True),
        (2, 0.6, 0.4, False),  # each for its mirror image, but for the background
    ):
        split = Split(np.zeros((200, 8, 8, 1), np.uint8), np.arange(200) % classes)
        monkeypatch.setattr("gcnas.data.mirror.mirror_accuracies", lambda *_, found=(plain, mirrored): found)
        assert keeps_label(split, split) is kept, (classes, plain, mirrored)


def test_direction_decides() -> None:
    assert keeps_label(bars(200, 0, across=True), bars(100, 1, across=True))
    assert not keeps_label(bars(200, 0, across=False), bars(100, 1, across=False))


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mnist.npz", False),
        ("cifar10_small.npz", True),
        pytest.param("fashion_mnist.npz", True, marks=pytest.mark.slow),
        pytest.param("flowers", True, marks=pytest.mark.slow),
    ],
)
def test_real_data(data_folder, name: str, expected: bool) -> None:
    dataset = load(data_folder / "images" / name, resolution=32 if name == "flowers" else None)
    assert dataset.mirror is expected


def test_digits_are_not_mirrored_and_fast() -> None:
    dataset = load("digits")
    assert not dataset.mirror
    start = time.thread_time()
    keeps_label(dataset.train(), dataset.validation())
    assert time.thread_time() - start < 2
