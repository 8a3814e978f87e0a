"""The resolution and the channels that suit the images, where the user has not chosen them."""

import numpy as np

from gcnas.data.source import Survey

LONGEST_INFERRED = 64
"""Longest side that is chosen without being asked for: small networks, short training."""

_STEP = 8


def infer_resolution(survey: Survey) -> tuple[int, int]:
    """Height and width: the images' own if they are all equal and small, else a square that suits most.

    Args:
        survey: Sizes of images, of which at least one can be read.
    """
    sizes = survey.sizes[survey.sizes[:, 0] > 0]
    width, height = (int(side) for side in sizes[0])
    if (sizes == sizes[0]).all() and max(width, height) <= LONGEST_INFERRED:
        return height, width
    typical = int(np.median(sizes.min(axis=1))) // _STEP * _STEP
    side = min(LONGEST_INFERRED, max(_STEP, typical))
    return side, side


def infer_channels(survey: Survey) -> int:
    """1 if all images are grey, else 3."""
    return 1 if survey.grey else 3
