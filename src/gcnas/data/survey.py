"""The resolution and the channels that suit the images, where the user has not chosen them."""

import numpy as np

from gcnas.data.source import Survey

LONGEST_INFERRED = 64
"""Longest side that is chosen without being asked for: small networks, short training."""

COMMON_SHARE = 0.9
"""Share of the images that must have one size for it to be the images' own: the others are exceptions."""

_STEP = 8


def infer_resolution(survey: Survey) -> tuple[int, int]:
    """Height and width: the images' own if nearly all are equal and small, else a square that suits most.

    Args:
        survey: Sizes of images, of which at least one can be read.
    """
    sizes = survey.sizes[survey.sizes[:, 0] > 0]
    different, counts = np.unique(sizes, axis=0, return_counts=True)
    width, height = (int(side) for side in different[counts.argmax()])
    if counts.max() >= COMMON_SHARE * len(sizes) and max(width, height) <= LONGEST_INFERRED:
        return height, width
    typical = int(np.median(sizes.min(axis=1))) // _STEP * _STEP
    side = min(LONGEST_INFERRED, max(_STEP, typical))
    return side, side


def infer_channels(survey: Survey) -> int:
    """1 if all images are grey, else 3."""
    return 1 if survey.grey else 3
