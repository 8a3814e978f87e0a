"""Batches: images exactly as they are, or exactly as a slow augmentation would make them."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.training.conftest import CPU, noise
from torch import Tensor

from gcnas.data import Split
from gcnas.training import Augmentation, ImageBatches, Platform

CHANNELS_LAST = Platform("cpu", threads=1, channels_last=True)
SHIFT_AND_MIRROR = Augmentation(shift=2, mirror=True)


def epoch(batches: ImageBatches, size: int = 16, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """All images (N x C x H x W) and labels of one epoch of training."""
    images, labels = zip(*batches.training(size, torch.Generator().manual_seed(seed)), strict=True)
    return torch.cat(images).numpy(), torch.cat(labels).numpy()


def as_floats(image: np.ndarray) -> np.ndarray:
    """H x W x C uint8 to C x H x W in [0, 1]."""
    return image.transpose(2, 0, 1).astype(np.float32) / np.float32(255)


def moved(image: np.ndarray, down: int, right: int, mirrored: bool) -> np.ndarray:
    """One pixel after the other: an image, mirrored if so, then moved; what is uncovered is black."""
    height, width, _ = image.shape
    result = np.zeros_like(image)
    for row in range(height):
        for column in range(width):
            source_row, source_column = row - down, column - right
            if 0 <= source_row < height and 0 <= source_column < width:
                at = width - 1 - source_column if mirrored else source_column
                result[row, column] = image[source_row, at]
    return result


# --- evaluation


@pytest.mark.parametrize("platform", [CPU, CHANNELS_LAST])
@pytest.mark.parametrize("augmentation", [None, Augmentation(shift=3, mirror=True)])
def test_evaluation_gives_the_images_themselves(platform: Platform, augmentation: Augmentation | None) -> None:
    split = noise(21)
    batches = ImageBatches(split, platform, augmentation)
    assert len(batches) == 21
    for size in (8, 256):
        given = list(batches.evaluation(size))
        assert [len(labels) for _, labels in given] == ([8, 8, 5] if size == 8 else [21])
        images, labels = (torch.cat(parts) for parts in zip(*given, strict=True))
        assert images.dtype == torch.float32
        assert labels.dtype == torch.int64
        np.testing.assert_array_equal(labels, split.labels)
        np.testing.assert_array_equal(images, [as_floats(image) for image in split.images])
        assert all(batch.is_contiguous(memory_format=platform.memory_format) for batch, _ in given)


def test_brightness_spans_zero_to_one() -> None:
    images = np.array([0, 51, 255], np.uint8).repeat(16).reshape(3, 4, 4, 1)
    (batch, _), = ImageBatches(Split(images, np.arange(3)), CPU).evaluation()  # fmt: skip
    assert batch[:, 0, 0, 0].tolist() == pytest.approx([0.0, 0.2, 1.0])


# --- training


def test_every_image_comes_once_an_epoch_in_random_order() -> None:
    batches = ImageBatches(noise(50), CPU)
    generator = torch.Generator().manual_seed(1)
    orders = [torch.cat([labels for _, labels in batches.training(16, generator)]).tolist() for _ in range(2)]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(50))
    assert orders[0] != orders[1]
    assert orders[0] != sorted(orders[0])
    assert epoch(batches, seed=1)[1].tolist() == orders[0]


def test_without_augmentation_images_stay_as_they_are() -> None:
    split = noise(20)
    images, labels = epoch(ImageBatches(split, CPU))
    np.testing.assert_array_equal(images, [as_floats(split.images[label]) for label in labels])


@pytest.mark.parametrize(
    "augmentation", [Augmentation(shift=2), Augmentation(mirror=True), SHIFT_AND_MIRROR], ids=str
)
@pytest.mark.parametrize("platform", [CPU, CHANNELS_LAST], ids=["contiguous", "channels last"])
def test_augmented_images_are_moved_and_mirrored_ones(augmentation: Augmentation, platform: Platform) -> None:
    """Each image is exactly one of the allowed variants, and all of them come about equally often."""
    split, border = noise(12), augmentation.shift
    steps = range(-border, border + 1)
    variants = {
        (label, down, right, mirrored): as_floats(moved(split.images[label], down, right, mirrored))
        for label in range(len(split))
        for down in steps
        for right in steps
        for mirrored in ((False, True) if augmentation.mirror else (False,))
    }
    by_bytes = {variant.tobytes(): key for key, variant in variants.items()}
    assert len(by_bytes) == len(variants)
    batches, found = ImageBatches(split, platform, augmentation), Counter[tuple[int, int, bool]]()
    for seed in range(100):
        for image, label in zip(*epoch(batches, seed=seed), strict=True):
            source, *how = by_bytes[np.ascontiguousarray(image).tobytes()]
            assert source == label
            found[tuple(how)] += 1
    kinds = len(variants) // len(split)
    expected = 1200 / kinds
    assert len(found) == kinds
    assert max(found.values()) < expected + 5 * expected**0.5
    assert min(found.values()) > expected - 5 * expected**0.5


def test_images_of_a_batch_move_independently() -> None:
    """The same image many times in a batch comes in many variants."""
    split = noise(1)
    same = Split(split.images.repeat(64, 0), np.zeros(64, np.int64))
    images, _ = epoch(ImageBatches(same, CPU, SHIFT_AND_MIRROR), 64)
    assert len({image.tobytes() for image in images}) > 25


def test_last_batch_of_a_single_image_is_left_out() -> None:
    """Batch normalisation cannot take it; there is no other choice where there is one image only."""
    sizes = {
        count: [len(labels) for _, labels in ImageBatches(noise(count), CPU).training(8, torch.Generator())]
        for count in (1, 2, 8, 9, 10, 17)
    }
    assert sizes == {1: [1], 2: [2], 8: [8], 9: [8], 10: [8, 2], 17: [8, 8]}


def test_same_seed_same_batches() -> None:
    batches = ImageBatches(noise(40), CPU, SHIFT_AND_MIRROR)
    again = ImageBatches(noise(40), CPU, SHIFT_AND_MIRROR)
    torch.manual_seed(1)
    first = epoch(batches, seed=3)
    torch.manual_seed(2)  # the global state plays no part
    state = torch.get_rng_state()
    for other in (epoch(again, seed=3), epoch(batches, seed=3)):
        np.testing.assert_array_equal(first[0], other[0])
    assert torch.equal(torch.get_rng_state(), state)
    assert (epoch(batches, seed=4)[0] != first[0]).any()


@pytest.mark.parametrize("augmentation", [None, SHIFT_AND_MIRROR], ids=str)
def test_memory_mapped_images_give_the_same(tmp_path: Path, augmentation: Augmentation | None) -> None:
    split = noise(33)
    np.save(tmp_path / "images.npy", split.images)
    mapped = Split(np.load(tmp_path / "images.npy", mmap_mode="r"), split.labels)
    assert split.in_memory
    assert not mapped.in_memory
    near, far = (ImageBatches(each, CPU, augmentation) for each in (split, mapped))
    for left, right in zip(epoch(near), epoch(far), strict=True):
        np.testing.assert_array_equal(left, right)
    for left_batch, right_batch in zip(near.evaluation(10), far.evaluation(10), strict=True):
        for one, other in zip(left_batch, right_batch, strict=True):
            assert_same(one, other)


def assert_same(one: Tensor, other: Tensor) -> None:
    assert torch.equal(one, other)
    assert one.stride() == other.stride()


def test_fewer_large_images_are_classified_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    found = ImageBatches(noise(40, 6, 5), CPU)
    assert [len(labels) for _, labels in found.evaluation()] == [40]
    monkeypatch.setattr("gcnas.training.batches.NUMBERS", 16 * 6 * 5 * 3)
    assert [len(labels) for _, labels in found.evaluation()] == [16, 16, 8]
    monkeypatch.setattr("gcnas.training.batches.NUMBERS", 1)
    assert [len(labels) for _, labels in found.evaluation()] == [1] * 40
