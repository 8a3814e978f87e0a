"""Whether mirroring an image left to right keeps its label, measured with nearest neighbours on tiny copies.

A search picks its augmentation before anything is trained, so the measurement has to be cheap: 1-nearest
neighbour on 8x8 grey copies, once on validation images as they are and once mirrored. Digits lose more than
half of their accuracy, clothes about a quarter, photographs next to nothing (``benchmarks/mirror_rule.py``).
"""

import math

import numpy as np
from PIL import Image

from gcnas.data.dataset import Split
from gcnas.data.source import batches

SMALLEST_RATIO = 0.6
"""Mirroring is on if mirrored images keep at least this share of the accuracy."""

ERRORS = 2
"""Mirroring is off if mirrored images do worse than guesses by more than so many standard errors of these."""

_SIDE = 8
_TRAIN_SAMPLE = 2000
_VALIDATION_SAMPLE = 1000


def mirror_accuracies(train: Split, validation: Split) -> tuple[float, float]:
    """Accuracy of nearest neighbours on validation images as they are, and mirrored."""
    from sklearn.neighbors import KNeighborsClassifier  # here, because importing it takes a second

    known, known_labels = _sample(train, _TRAIN_SAMPLE)
    asked, labels = _sample(validation, _VALIDATION_SAMPLE)
    neighbours = KNeighborsClassifier(1, n_jobs=1).fit(known.reshape(len(known), -1), known_labels)
    plain, mirrored = (
        float((neighbours.predict(images.reshape(len(images), -1)) == labels).mean())
        for images in (asked, asked[:, :, ::-1])
    )
    return plain, mirrored


def keeps_label(train: Split, validation: Split) -> bool:
    """Whether left-right mirroring may be used for augmentation."""
    plain, mirrored = mirror_accuracies(train, validation)
    labels = _sampled(validation, _VALIDATION_SAMPLE)
    guessed = float((np.bincount(validation.labels[labels]) ** 2).sum()) / len(labels) ** 2
    error = math.sqrt(guessed * (1 - guessed) / len(labels))
    # Where nothing is told, nothing is mirrored; nor where mirrored images are taken for those of another class.
    return plain > 0 and mirrored >= SMALLEST_RATIO * plain and mirrored >= guessed - ERRORS * error


def _sampled(split: Split, size: int) -> np.ndarray:
    return np.sort(np.random.default_rng(0).permutation(len(split))[:size])


def _sample(split: Split, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Grey copies (n, 8, 8) of at most ``size`` images, always the same ones, and their labels."""
    rows = _sampled(split, size)
    shrunk = []
    for part in batches(len(rows), 5 * math.prod(split.images.shape[1:])):
        grey = split.take(rows[part]).mean(axis=3, dtype=np.float32)
        shrunk += [Image.fromarray(image).resize((_SIDE, _SIDE), Image.Resampling.BOX) for image in grey]
    return np.stack([np.asarray(image) for image in shrunk]), split.labels[rows]
