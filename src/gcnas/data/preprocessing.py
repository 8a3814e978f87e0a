"""What is done to every image before a network sees it, as a record that travels with the network."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from gcnas.data.decode import decode, quiet_pillow
from gcnas.data.source import batches
from gcnas.errors import DataError

MAX_SIDE = 512
"""Longest side of the images that networks see, in pixels."""

# Keeps the division by the deviation finite on constant images: one grey level.
_SMALLEST_STD = 1 / 255


@dataclass(frozen=True)
class Preprocessing:
    """Resolution, channels and normalisation of a network's input.

    Attributes:
        resolution: Height and width in pixels.
        channels: 1 (grey) or 3 (red, green, blue).
        mean: Mean of each channel over search-train, on the scale 0..1.
        std: Standard deviation of each channel over search-train, on the scale 0..1; at least 1/255.
    """

    resolution: tuple[int, int]
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def load_image(self, source: Path | str | bytes | Image.Image) -> np.ndarray:
        """Read an image file, its bytes or a Pillow image as (H, W, C) uint8, not yet normalised.

        Raises:
            DataError: The image cannot be decoded.
        """
        name = str(source) if isinstance(source, (Path, str)) else "image"
        try:
            with quiet_pillow():
                readable = Path(source) if isinstance(source, str) else source
                return decode(readable, self.resolution, self.channels)
        except DataError as error:
            raise DataError(f"Cannot read {name}: {error}.") from error

    def to_json(self) -> dict[str, Any]:
        """JSON form, read back by :meth:`from_json`."""
        return {
            "resolution": list(self.resolution),
            "channels": self.channels,
            "mean": list(self.mean),
            "std": list(self.std),
        }

    @classmethod
    def from_json(cls, data: Any) -> "Preprocessing":
        """Read the JSON form.

        Raises:
            DataError: It is not what :meth:`to_json` writes.
        """
        if not isinstance(data, Mapping) or set(data) != {"resolution", "channels", "mean", "std"}:
            raise DataError(f"Preprocessing has resolution, channels, mean and std; given: {_short(data)}.")
        channels, resolution = data["channels"], data["resolution"]
        if channels not in (1, 3) or isinstance(channels, bool | float):
            raise DataError(f"Preprocessing has 1 or 3 channels; given: {_short(channels)}.")
        if not _is_list(resolution, int, 2) or not all(1 <= side <= MAX_SIDE for side in resolution):
            raise DataError(
                f"A resolution is a height and a width of 1 to {MAX_SIDE} pixels; given: {_short(resolution)}."
            )
        for key in ("mean", "std"):
            if not _is_list(data[key], (int, float), channels) or not all(map(math.isfinite, data[key])):
                raise DataError(f"'{key}' is one number per channel; given: {_short(data[key])}.")
        if min(data["std"]) <= 0:
            raise DataError(f"'std' is positive; given: {_short(data['std'])}.")
        mean, std = (tuple(map(float, data[key])) for key in ("mean", "std"))
        return cls((resolution[0], resolution[1]), channels, mean, std)


def fit(images: np.ndarray) -> Preprocessing:
    """The preprocessing of images (N, H, W, C) uint8 that already have their resolution."""
    count, height, width, channels = images.shape
    total, squares = np.zeros(channels), np.zeros(channels)
    for rows in batches(count, 8 * height * width):
        block = images[rows]
        # Counting grey levels is exact, and much less work than floating-point copies of all pixels.
        levels = np.stack([np.bincount(block[..., c].ravel(), minlength=256) for c in range(channels)])
        total += levels @ np.arange(256)
        squares += levels @ np.arange(256) ** 2
    pixels = count * height * width
    mean = total / pixels / 255
    std = np.sqrt(np.maximum(squares / pixels / 255**2 - mean**2, 0)).clip(_SMALLEST_STD)
    return Preprocessing((height, width), channels, tuple(mean.tolist()), tuple(std.tolist()))


def _is_list(value: Any, kind: type | tuple[type, ...], length: int) -> bool:
    return (
        isinstance(value, list | tuple)
        and len(value) == length
        and all(isinstance(v, kind) and not isinstance(v, bool) for v in value)
    )


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
