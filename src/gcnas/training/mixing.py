"""Two images as one: what keeps a long training from learning its images by heart."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

CONCENTRATION = 0.2
"""Of the beta distribution from which mixup draws its shares; most of them are near 0 or 1."""


@dataclass(frozen=True)
class Batch:
    """Images to learn from, and what they are.

    Attributes:
        images: ``B x C x H x W``.
        labels: ``B``.
        others: Labels of the images that were mixed in, ``B``; None where none were.
        share: Of ``labels``; the rest is that of ``others``.
    """

    images: Tensor
    labels: Tensor
    others: Tensor | None = None
    share: float = 1.0

    def targets(self, classes: int) -> Tensor:
        """The labels, or of mixed images the probabilities of the classes, ``B x classes``."""
        if self.others is None:
            return self.labels
        first, second = (functional.one_hot(labels, classes).float() for labels in (self.labels, self.others))
        return torch.lerp(second, first, self.share)


class Mixer:
    """Mixes each batch with itself, by mixup or by CutMix, as often the one as the other.

    Mixup (Zhang and others 2018, "mixup: Beyond Empirical Risk Minimization") takes the weighted mean of two images,
    CutMix (Yun and others 2019, "CutMix: Regularization Strategy to Train Strong Classifiers with Localizable
    Features") pastes a rectangle of one into the other; labels are mixed by the same share.

    Args:
        seed: Seed of all draws.
    """

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng([seed, 1])

    def __call__(self, images: Tensor, labels: Tensor) -> Batch:
        """A batch in which the first image is mixed with the last, the second with the last but one, and so on.

        Args:
            images: ``B x C x H x W`` in random order; not changed.
            labels: ``B``.
        """
        if self._random.random() < 0.5:
            share = float(self._random.beta(CONCENTRATION, CONCENTRATION))
            mixed = torch.lerp(images.flip(0), images, share)
        else:
            rows, columns = self._rectangle(*images.shape[2:])
            mixed = images.clone(memory_format=torch.preserve_format)
            mixed[:, :, rows, columns] = images[:, :, rows, columns].flip(0)
            replaced = (rows.stop - rows.start) * (columns.stop - columns.start)
            share = 1 - replaced / (images.shape[2] * images.shape[3])
        return Batch(mixed, labels, labels.flip(0), share)

    def _rectangle(self, height: int, width: int) -> tuple[slice, slice]:
        """Of an area drawn uniformly, around a place drawn uniformly; cut off at the border."""
        side = float(np.sqrt(self._random.random()))
        return self._span(height, side), self._span(width, side)

    def _span(self, length: int, share: float) -> slice:
        centre, half = int(self._random.integers(length)), int(share * length) // 2
        return slice(max(0, centre - half), min(length, centre + half))
