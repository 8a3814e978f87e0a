"""Images as estimators get them, in arrays of any shape and scale or as flat rows, brought to pixels."""

import math
from collections.abc import Sequence

import numpy as np

from gcnas.data.arrays import ArrayImages
from gcnas.data.pixels import to_pixels
from gcnas.data.source import batches
from gcnas.errors import DataError

ImageShape = tuple[int, ...]
"""Of one image: ``(H, W)``, ``(H, W, C)`` or ``(C, H, W)``."""

Range = tuple[float, float]
"""The values that are black and white."""


def image_shape(shape: Sequence[int], wanted: ImageShape | None = None) -> ImageShape:
    """The shape of each image of an array ``(N, …)``.

    Args:
        shape: Of the array: ``(N, H * W)``, or with images in their own shape.
        wanted: What the user says; without it, flat rows are square grey images.

    Raises:
        DataError: It cannot be told, or contradicts what the user says.
    """
    own = tuple(shape[1:])
    if wanted is not None:
        if math.prod(own) != math.prod(wanted) or (len(own) > 1 and _bare(own) != _bare(wanted)):
            raise DataError(
                f"Images have the shape {wanted} that image_shape says, or that was fitted; X holds {own}."
            )
        return wanted
    if len(own) > 1:
        return own
    side = math.isqrt(own[0])
    if side * side != own[0]:
        raise DataError(
            f"Rows are square grey images, so their length is a square such as 64 or 784; X has {own[0]} features. "
            "Say image_shape=(H, W) or (H, W, C)."
        )
    return side, side


def _bare(shape: ImageShape) -> ImageShape:
    """The shape of an image without an axis of a single channel."""
    if len(shape) == 3 and shape[-1] == 1:
        return shape[:-1]
    return shape[1:] if len(shape) == 3 and shape[0] == 1 and shape[-1] not in (3, 4) else shape


def value_range(values: np.ndarray) -> Range:
    """Black and white of images: 0 and 255 for uint8, 0 and 1 for booleans and numbers between, else the extremes."""
    if values.dtype == np.uint8:
        return 0.0, 255.0
    low, high = float(values.min()), float(values.max())
    if low >= 0 and high <= 1:
        return 0.0, 1.0
    return low, high if high > low else low + 1.0


def pixels(rows: np.ndarray, shape: ImageShape, values: Range) -> np.ndarray:
    """Images ``(N, H, W, C)`` uint8; values beyond the range are black or white.

    Args:
        rows: ``(N, F)`` numbers.
        shape: Of each image; its product is F.
        values: Black and white.

    Raises:
        DataError: The shape is not one of images.
    """
    low, high = values
    scaled = np.empty(rows.shape, dtype=np.uint8)
    for part in batches(len(rows), 24 * rows.shape[1]):  # a float copy of everything would be large
        share = (rows[part].astype(np.float64) - low) / (high - low)
        scaled[part] = np.round(share.clip(0, 1) * 255)
    return to_pixels([scaled.reshape(len(rows), *shape)], ["X"])[0]


def resized(images: np.ndarray, resolution: tuple[int, int], channels: int) -> np.ndarray:
    """The images as a network gets them, by the same steps as when data are loaded."""
    blocks = ArrayImages((images,)).blocks(resolution, channels)
    return np.concatenate([block.pixels for block in blocks])
