"""Read an image file as the training read it (needs numpy and pillow 11.3, or newer)."""

from contextlib import suppress

import numpy as np
import PIL
from PIL import Image, ImageOps

if tuple(map(int, PIL.__version__.split(".")[:2])) < (11, 3):
    raise ImportError(f"Pillow {PIL.__version__} is too old: pip install -U pillow")

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM", "AVIF")
MAX_PIXELS = 80_000_000
TURN = Image.Transpose
TURNS = (
    TURN.FLIP_LEFT_RIGHT, TURN.ROTATE_180, TURN.FLIP_TOP_BOTTOM, TURN.TRANSPOSE, TURN.ROTATE_270, TURN.TRANSVERSE,
    TURN.ROTATE_90,
)  # fmt: skip
"""What undoes the orientations 2 to 8 of a photo."""


def load(path: str, resolution: list[int], channels: int) -> np.ndarray:
    """An image file as the network wants it: 1 x height x width x channels, 0 to 255.

    Raises:
        ValueError: If it cannot be read.
    """
    try:
        return _load(path, resolution, channels)
    except Exception as error:  # decoders raise whatever a damaged file leads them to
        raise ValueError(f"{path} cannot be read: {str(error) or 'damaged'}") from error


def _load(path: str, resolution: list[int], channels: int) -> np.ndarray:
    height, width = resolution
    image: Image.Image = Image.open(path, formats=FORMATS)
    if image.width * image.height > MAX_PIXELS:
        raise ValueError(f"more pixels than {MAX_PIXELS:,}")
    image.draft(None, (2 * max(height, width),) * 2)
    whole_numbers = image.format == "TIFF" and image.mode == "I"
    image.load()
    turned = 1
    with suppress(Exception):  # damaged metadata are no reason to refuse the pixels
        turned = int(image.getexif().get(0x0112, 1))
    if 2 <= turned <= 8:
        image = image.transpose(TURNS[turned - 2])
    if image.mode[0] in "IF":  # 16 bits, or numbers with a point
        values = np.asarray(image)
        top = float(values.max())
        unclear = (whole_numbers and 0 < top <= 255) or (image.mode == "F" and 1.1 < top <= 2)
        factor = 1 / 257 if image.mode[0] == "I" else 255 if top <= 1.1 else 1
        low, white = float(values.min()), 255 / factor
        far = (
            (low < 0 or top > white)
            if image.mode[0] == "I"
            else (low < -min(white, top) / 2 or top > 2 * white)
        )
        if unclear or far or not np.isfinite(values).all():
            raise ValueError("what is black and what is white cannot be told")
        rows = np.array_split(values, len(values) // 256 + 1)  # all at once would take gigabytes
        image = Image.fromarray(
            np.concatenate(
                [(each.astype(float) * factor).round().clip(0, 255).astype(np.uint8) for each in rows]
            )
        )
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = image.convert("L" if channels == 1 else "RGB")
    image = ImageOps.fit(image, (width, height), Image.Resampling.BILINEAR)
    return np.asarray(image).reshape(1, height, width, channels)
