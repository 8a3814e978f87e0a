"""Arrays of images in the layouts and number types that users have, as (N, H, W, C) uint8."""

import math
from collections.abc import Sequence

import numpy as np

from gcnas.data.source import batches
from gcnas.errors import DataError

_CHANNELS = (1, 3, 4)

DARK = 2**13
"""Pixels of 16 bits that are all below this would be nearly black."""

BLACK = 2.0
"""Floats from 0 to 255 of which none is above this would be black images: they are taken for others, and refused."""


def to_pixels(arrays: Sequence[np.ndarray], names: Sequence[str]) -> list[np.ndarray]:
    """Bring the images of all splits into one layout and to uint8, by one scale.

    Booleans and numbers up to 1 become 0..255, but uint8 stays as it is; 16-bit integers are divided by 257.

    Raises:
        DataError: An array is not of images, or the splits differ in shape.
    """
    parts = [_layout(array, name) for array, name in zip(arrays, names, strict=True)]
    shapes = {part.shape[1:] for part in parts}
    if len(shapes) > 1:
        shown = ", ".join(f"'{name}' {part.shape}" for name, part in zip(names, parts, strict=True))
        raise DataError(f"All splits have images of one height, width and channels; given: {shown}.")
    scale = _scale(parts, names)
    return [_rescaled(part, scale) for part in parts]


def _layout(array: np.ndarray, name: str) -> np.ndarray:
    """(N, H, W, C) from (N, H, W), (N, H, W, C) or (N, C, H, W)."""
    if array.ndim == 3:
        array = array[..., np.newaxis]
    elif array.ndim == 4 and array.shape[1] in _CHANNELS and array.shape[3] not in _CHANNELS:
        array = array.transpose(0, 2, 3, 1)
    if array.ndim != 4 or array.shape[3] not in _CHANNELS:
        raise DataError(
            f"Images have the shape (N, height, width) or (N, height, width, channels) with 1, 3 or 4 "
            f"channels; '{name}' has {array.shape}. Reshape or transpose it."
        )
    if 0 in array.shape:
        raise DataError(f"There must be at least one image of at least one pixel; '{name}' has {array.shape}.")
    return array


def _scale(parts: Sequence[np.ndarray], names: Sequence[str]) -> float:
    """Factor that maps the numbers of all splits to 0..255."""
    kinds = {part.dtype.kind for part in parts}
    if all(part.dtype == np.uint8 for part in parts):
        return 1.0
    if kinds == {"b"}:
        return 255.0
    if not kinds <= set("iuf"):
        types = ", ".join(str(part.dtype) for part in parts)
        raise DataError(f"Pixels are integers, floats or booleans, the same in all splits; given: {types}.")
    low, highs = min(float(part.min()) for part in parts), [float(part.max()) for part in parts]
    high = max(highs)
    if not np.isfinite([low, high]).all():
        raise DataError(f"Pixels are finite numbers; {', '.join(names)} hold NaN or infinity.")
    if low >= 0 and high <= 1:
        return 255.0
    if low >= 0 and high <= 255:
        _check_floats(parts, names, highs)
        return 1.0
    if kinds == {"u"} and all(part.dtype.itemsize == 2 for part in parts):
        if high < DARK:
            raise DataError(
                f"Pixels of 16 bits go from 0 to 65,535; these go up to {high:g}, as those of 10 or 12 bits do. Scale "
                "them up, or to 0 to 255."
            )
        return 1 / 257
    raise DataError(
        f"Pixels go from 0 to 255, or from 0 to 1; these go from {low:g} to {high:g}. "
        "Undo any normalisation first."
    )


def _check_floats(parts: Sequence[np.ndarray], names: Sequence[str], highs: Sequence[float]) -> None:
    """See to it that floats of a set that goes up to 255 are no numbers from 0 to 1, which would all be black.

    Raises:
        DataError: If they seem to be.
    """
    small = max(highs) <= BLACK
    for part, name, high in zip(parts, names, highs, strict=True):
        if part.dtype.kind == "f" and 0 < high <= BLACK and (not small or high == max(highs)):
            others = "" if small else f", others up to {max(highs):g}"
            raise DataError(
                "Floats go from 0 to 1 or from 0 to 255, in all splits alike; those of "
                f"'{name}' go up to {high:g}{others}. Clip them to 0 to 1, or bring all to one scale."
            )


def _rescaled(part: np.ndarray, scale: float) -> np.ndarray:
    if part.dtype == np.uint8 and scale == 1:
        return part
    pixels = np.empty(part.shape, dtype=np.uint8)
    for rows in batches(len(part), 16 * math.prod(part.shape[1:])):  # a float copy of everything would be large
        pixels[rows] = np.round(part[rows].astype(np.float64) * scale)
    return pixels
