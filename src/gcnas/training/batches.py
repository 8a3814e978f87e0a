"""Images as batches: uint8 on the device, cropped and mirrored a whole batch at a time."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gcnas.data import Split
from gcnas.training.memory import memory_errors
from gcnas.training.platform import Platform

EVALUATED = 256
"""Images that are classified at once."""

NUMBERS = 2**24
"""Numbers of the images that are classified at once, so that large images fill no more memory than in training."""


@dataclass(frozen=True)
class Augmentation:
    """What training does to images.

    Attributes:
        shift: Most rows and columns that an image is moved by; what is uncovered is black.
        mirror: Whether images are mirrored left to right, one time in two.
    """

    shift: int = 0
    mirror: bool = False


class ImageBatches:
    """The images of a split, ready to be drawn in batches.

    Small splits are kept on the device as uint8, ``N x H x W x C`` with a black border for shifted crops; large
    ones stay where they are (a memory-mapped file) and are read batch by batch.

    Args:
        split: Images ``N x H x W x C`` uint8 and labels ``N``.
        platform: Device and memory format.
        augmentation: Used by :meth:`training` only.

    Raises:
        OutOfMemoryError: If the device has no room for the images.
    """

    def __init__(self, split: Split, platform: Platform, augmentation: Augmentation | None = None) -> None:
        self._split, self._platform = split, platform
        self._augmentation = augmentation or Augmentation()
        with memory_errors():
            self._labels = torch.from_numpy(np.array(split.labels)).to(platform.device)
            self._images = self._bordered(split.images) if split.in_memory else None

    def __len__(self) -> int:
        return len(self._split)

    def training(self, batch_size: int, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """One epoch in random order, augmented.

        The last batch is left out if it would hold a single image, which batch normalisation cannot take.

        Args:
            batch_size: B.
            generator: CPU generator that decides order and augmentation.

        Yields:
            Images ``B x C x H x W`` in [0, 1] and labels ``B``.
        """
        order = torch.randperm(len(self), generator=generator)
        for rows in torch.split(order, batch_size):
            if len(rows) > 1 or len(self) == 1:
                yield self._augment(self._rows(rows), generator), self._labels[rows.to(self._labels.device)]

    def evaluation(self, batch_size: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """All images in order, as they are; shapes as for :meth:`training`.

        Args:
            batch_size: B; by default :data:`EVALUATED`, fewer where images are large.
        """
        border = self._augmentation.shift
        if batch_size is None:
            batch_size = min(EVALUATED, max(1, NUMBERS // math.prod(self._split.images.shape[1:])))
        for rows in torch.split(torch.arange(len(self)), batch_size):
            images = self._rows(rows)
            height, width = images.shape[1] - 2 * border, images.shape[2] - 2 * border
            cropped = images[:, border : border + height, border : border + width]
            yield _to_float(cropped, self._platform), self._labels[rows.to(self._labels.device)]

    def _rows(self, rows: Tensor) -> Tensor:
        if self._images is not None:
            return self._images[rows.to(self._images.device)]
        return self._bordered(self._split.take(rows.numpy()))

    def _bordered(self, images: np.ndarray) -> Tensor:
        border = self._augmentation.shift
        padded = np.pad(images, ((0, 0), (border, border), (border, border), (0, 0)))
        tensor = torch.from_numpy(padded)
        if self._platform.device.startswith("cuda"):
            return tensor.pin_memory().to(self._platform.device, non_blocking=True)
        return tensor.to(self._platform.device)

    def _augment(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Crop and mirror with one gather: B x (H + 2s) x (W + 2s) x C to B x C x H x W."""
        augmentation, device = self._augmentation, images.device
        count, border = len(images), augmentation.shift
        height, width = images.shape[1] - 2 * border, images.shape[2] - 2 * border
        if border or augmentation.mirror:
            offsets = torch.randint(0, 2 * border + 1, (2, count, 1), generator=generator).to(device)
            rows = offsets[0] + torch.arange(height, device=device)
            columns = torch.arange(width, device=device).expand(count, width)
            if augmentation.mirror:
                mirrored = torch.randint(0, 2, (count, 1), generator=generator).to(device)
                columns = torch.where(mirrored == 1, width - 1 - columns, columns)
            columns = columns + offsets[1]
            index = torch.arange(count, device=device)[:, None, None]
            images = images[index, rows[:, :, None], columns[:, None, :]]
        return _to_float(images, self._platform)


def _to_float(images: Tensor, platform: Platform) -> Tensor:
    # N x H x W x C seen as N x C x H x W is channels-last already, so nothing is copied for that format.
    return (images.permute(0, 3, 1, 2).float() / 255).contiguous(memory_format=platform.memory_format)
