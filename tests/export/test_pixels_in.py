import numpy as np
import torch
from torch import nn

from gcnas.export.pixels_in import PixelClassifier, made_images


def test_pixels_become_the_networks_input() -> None:
    images = made_images((2, 3, 5), 4)
    found = PixelClassifier(nn.Flatten())(torch.from_numpy(images))
    expected = torch.from_numpy(images.transpose(0, 3, 1, 2).astype(np.float32) / 255).flatten(1).softmax(1)
    torch.testing.assert_close(found, expected)


def test_made_images_are_always_the_same_and_all_kinds() -> None:
    images = made_images((3, 8, 9), 64)
    assert images.shape == (64, 8, 9, 3)
    assert images.dtype == np.uint8
    assert np.array_equal(images, made_images((3, 8, 9), 64))
    levels, contrasts = images.mean((1, 2, 3)), images.std((1, 2, 3))
    assert levels.min() < 50 < 200 < levels.max()
    assert contrasts.min() < 5 < 60 < contrasts.max()
