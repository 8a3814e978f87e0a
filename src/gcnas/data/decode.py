"""One image, from a file of any usual kind to (H, W, C) uint8."""

import io
import stat
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from gcnas.data.pixels import BLACK
from gcnas.errors import DataError

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff"}
    | {".ppm", ".pgm", ".pbm", ".pnm", ".avif"}
)
"""File names that say that a file is an image, in lower case."""

# Only formats that Pillow decodes by itself; EPS, for one, would start another program.
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM", "AVIF")

STRIP = 256
"""Rows of an image with 16 bits, floats or transparency that are converted at once."""

MAX_PIXELS = 80_000_000
"""Largest image that is decoded, in pixels, so that a small file cannot fill the memory."""

HUGE = 16_000_000
"""Pixels above which one image is decoded at a time."""

_ONE_HUGE = threading.Lock()

NEARLY_ONE = 1.1
"""Float pixels up to this go from 0 to 1: filters that resize overshoot a little. Others go from 0 to 255."""

GREY_MODES = frozenset({"1", "L", "LA", "La", "I", "F", "I;16", "I;16L", "I;16B", "I;16N"})

# What Pillow raises on damaged files, apart from OSError.
_DAMAGED = (
    SyntaxError, ValueError, EOFError, struct.error, zlib.error, LookupError, TypeError, ArithmeticError,
    AttributeError, RuntimeError, AssertionError,
)  # fmt: skip

_ORIENTATION_TAG = 0x0112
_TRANSPOSITIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@contextmanager
def quiet_pillow() -> Iterator[None]:
    """Silence Pillow's warnings on odd files; enter it in the main thread only, filters are global."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\b")
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        yield


def inspect(path: Path) -> tuple[int, int, str]:
    """Width and height as shown (orientation applied) and mode of an image file, from its header.

    Raises:
        DataError: The file is not an image; the message is the reason alone, without the path.
    """
    with _plain_reasons(), _open(path) as image, _room(image):
        width, height = image.size
        # Pillow turns a TIFF by itself.
        on_its_side = image.format != "TIFF" and _orientation(image) >= 5
        return (height, width, image.mode) if on_its_side else (width, height, image.mode)


def decode(source: Path | bytes | Image.Image, resolution: tuple[int, int], channels: int) -> np.ndarray:
    """Read an image as (H, W, C) uint8 at ``resolution`` (height, width).

    The shorter side is resized, with antialiasing, and the centre is cut out of the longer one.

    Raises:
        DataError: The image cannot be decoded; the message is the reason alone, without the path.
    """
    with _plain_reasons():
        if isinstance(source, Image.Image):
            _check_size(source)
            return _convert(source, resolution, channels)
        with _open(source) as image, _room(image):
            # JPEG decodes at 1/2, 1/4 or 1/8 of its size for less work; twice the target keeps the resizing smooth.
            image.draft(None, (2 * max(resolution),) * 2)
            return _convert(image, resolution, channels)


def _open(source: Path | bytes) -> Image.Image:
    if isinstance(source, Path):
        status = source.stat()
        # Opening a pipe would wait for a writer for ever; Pillow says the rest, that of folders too.
        if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
            raise DataError("not a regular file")
        if status.st_size == 0:
            raise DataError("the file is empty")
    image = Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=FORMATS)
    try:
        _check_size(image)
    except DataError:
        image.close()
        raise
    return image


def _check_size(image: Image.Image) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise DataError(f"{width} x {height} pixels are more than the {MAX_PIXELS:,} that are decoded")
    if not width * height:
        raise DataError("the image has no pixels")


def _convert(image: Image.Image, resolution: tuple[int, int], channels: int) -> np.ndarray:
    height, width = resolution
    image.load()
    turn = _TRANSPOSITIONS.get(_orientation(image))  # of a TIFF that Pillow has turned there is none left
    image = eight_bits(image)
    mode = "L" if channels == 1 else "RGB"
    image = _on_white(image, mode) if image.has_transparency_data else image.convert(mode)
    if turn is not None:
        image = image.transpose(turn)
    if image.size != (width, height):
        image = ImageOps.fit(image, (width, height), Image.Resampling.BILINEAR)
    return np.asarray(image, dtype=np.uint8).reshape(height, width, channels)


def _on_white(image: Image.Image, mode: str) -> Image.Image:
    """What shows through is white; strip by strip, since four copies of a huge image would be in memory otherwise."""
    width, height = image.size
    result = Image.new(mode, image.size)
    for top in range(0, height, STRIP):
        box = (0, top, width, min(top + STRIP, height))
        strip = image.crop(box).convert("RGBA")
        result.paste(Image.alpha_composite(Image.new("RGBA", strip.size, "white"), strip).convert(mode), box)
    return result


@contextmanager
def _room(image: Image.Image) -> Iterator[None]:
    """Wait while another huge image is decoded: several threads decode, and each needs hundreds of megabytes."""
    if image.width * image.height <= HUGE:
        yield
        return
    with _ONE_HUGE:
        yield


def eight_bits(image: Image.Image) -> Image.Image:
    """Map 16-bit and float pixels to 0..255, strip by strip; other modes already have 8 bits per channel."""
    if image.mode != "F" and not image.mode.startswith("I"):
        return image
    values = np.asarray(image)
    strips = [slice(start, start + STRIP) for start in range(0, len(values), STRIP)]
    if image.mode == "F":
        if not all(np.isfinite(values[strip]).all() for strip in strips):
            raise DataError("the pixels are not all finite numbers")
        if NEARLY_ONE < (top := values.max()) <= BLACK:
            raise DataError(f"floats go from 0 to 1 or from 0 to 255, and its brightest pixel is {top:g}")
        factor = 255.0 if top <= NEARLY_ONE else 1.0
        low, white = values.min(), 255.0 / factor
        if low < -min(white, top) / 2 or top > 2 * white:
            raise DataError(f"floats go from 0 to 1 or from 0 to 255, and its pixels from {low:g} to {top:g}")
    else:
        if image.mode == "I" and image.format in ("TIFF", None) and 0 < values.max() <= 255:
            raise DataError(
                "32-bit integers up to 255 may be 8 bits, or 16 that are dark; save it with 8 or 16 bits"
            )
        low, top = values.min(), values.max()
        if low < 0 or top > 65_535:
            raise DataError(f"integers go from 0 to 65,535, and its pixels from {low} to {top}")
        factor = 1 / 257
    pixels = np.empty(values.shape, np.uint8)
    for strip in strips:
        pixels[strip] = (values[strip].astype(np.float64) * factor).round().clip(0, 255)
    return Image.fromarray(pixels)


def upright(image: Image.Image) -> Image.Image:
    """A picture as its EXIF orientation says it is to be seen; the same object where it need not be turned."""
    with suppress(OSError, *_DAMAGED):  # what is damaged is told where its pixels are read
        image.load()
    turn = _TRANSPOSITIONS.get(_orientation(image))
    return image if turn is None else image.transpose(turn)


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except (OSError, *_DAMAGED):  # damaged metadata is no reason to refuse the pixels
        return 1


@contextmanager
def _plain_reasons() -> Iterator[None]:
    """Turn whatever Pillow raises into a DataError that says the reason in plain words."""
    try:
        yield
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(f"more pixels than the {MAX_PIXELS:,} that are decoded") from error
    except UnidentifiedImageError as error:
        raise DataError("not an image, or of an unknown format") from error
    except FileNotFoundError as error:
        raise DataError("file not found") from error
    except OSError as error:
        raise DataError(error.strerror.lower() if error.strerror else f"damaged: {error}") from error
    except MemoryError as error:
        raise DataError("not enough memory to decode it") from error
    except _DAMAGED as error:
        raise DataError(f"damaged: {error}" if str(error) else "damaged") from error
