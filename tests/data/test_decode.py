"""Odd images become plain pixels; damaged ones a reason."""

import io
import os
import struct
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from gcnas.data import decode as module
from gcnas.data.decode import decode, inspect
from gcnas.errors import DataError

RED, BLUE = (255, 0, 0), (0, 0, 255)


def halves(width: int = 16, height: int = 8) -> Image.Image:
    """Red on the left, blue on the right."""
    image = Image.new("RGB", (width, height), RED)
    image.paste(BLUE, (width // 2, 0, width, height))
    return image


# What a camera stores for a scene that looks like `halves`, by orientation tag.
STORED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("suffix", ["png", "JPG", "tif"])
def test_orientation_is_applied(tmp_path: Path, orientation: int, suffix: str) -> None:
    scene = Image.new("RGB", (32, 16), "white")
    scene.paste(RED, (0, 0, 16, 8))  # top left only: tells all eight orientations apart
    stored = scene if STORED[orientation] is None else scene.transpose(STORED[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"photo.{suffix}"
    stored.save(path, exif=exif, **({"quality": 95, "subsampling": 0} if suffix == "JPG" else {}))
    assert inspect(path)[:2] == (32, 16)
    assert np.abs(decode(path, (16, 32), 3).astype(int) - np.asarray(scene).astype(int)).max() < 60


def test_keeps_pixels_when_nothing_has_to_change(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert (decode(tmp_path / "a.png", (9, 12), 3) == pixels).all()
    assert (decode((tmp_path / "a.png").read_bytes(), (9, 12), 3) == pixels).all()
    assert (decode(Image.fromarray(pixels), (9, 12), 3) == pixels).all()


@pytest.mark.parametrize(
    ("mode", "pixel", "expected"),
    [
        ("L", 100, (100, 100, 100)),
        ("1", 1, (255, 255, 255)),
        ("LA", (100, 255), (100, 100, 100)),
        ("LA", (0, 0), (255, 255, 255)),
        ("RGBA", (255, 0, 0, 255), RED),
        ("RGBA", (255, 0, 0, 0), (255, 255, 255)),
        ("RGBA", (0, 0, 0, 128), (127, 127, 127)),
        ("CMYK", (0, 255, 255, 0), RED),
        ("I;16", 65535, (255, 255, 255)),
        ("I;16", 257 * 7, (7, 7, 7)),
        ("F", 0.5, (128, 128, 128)),
        ("F", 200.0, (200, 200, 200)),
        ("F", 1.004, (255, 255, 255)),
        ("I", 257 * 7, (7, 7, 7)),
    ],
)
def test_modes(tmp_path: Path, mode: str, pixel: object, expected: tuple[int, int, int]) -> None:
    path = tmp_path / f"image.{'tif' if mode in ('CMYK', 'F', 'I') else 'png'}"
    Image.new(mode, (8, 8), pixel).save(path)
    assert tuple(decode(path, (8, 8), 3)[3, 3].tolist()) == expected
    grey = decode(path, (8, 8), 1)
    assert grey.shape == (8, 8, 1)
    if len(set(expected)) == 1:
        assert grey[3, 3, 0] == expected[0]


@pytest.mark.parametrize("mode", ["I;16", "F"])
def test_tall_images_of_many_bits_are_converted_as_a_whole(tmp_path: Path, mode: str) -> None:
    """They are converted strip by strip, which must not show."""
    generator = np.random.default_rng(0)
    values = (
        generator.integers(0, 65_536, (600, 5)) if mode == "I;16" else generator.random((600, 5)) * 300 - 20
    )
    values = values.astype(np.uint16 if mode == "I;16" else np.float32)
    path = tmp_path / ("image.png" if mode == "I;16" else "image.tif")
    Image.fromarray(values).save(path)
    expected = values.astype(np.float64) / (257 if mode == "I;16" else 1)
    assert np.array_equal(decode(path, (600, 5), 1)[..., 0], expected.round().clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize("transparent", [False, True])
def test_palette(tmp_path: Path, transparent: bool) -> None:
    image = halves().quantize(4)
    blue = image.getpixel((15, 0))
    image.save(tmp_path / "a.png", **({"transparency": blue} if transparent else {}))
    pixels = decode(tmp_path / "a.png", (8, 16), 3)
    assert tuple(pixels[0, 0]) == RED
    assert tuple(pixels[0, 15]) == ((255, 255, 255) if transparent else BLUE)


def test_resizing_keeps_the_aspect_and_the_centre() -> None:
    scene = Image.new("RGB", (60, 20), "black")
    scene.paste("white", (20, 0, 40, 20))
    assert (decode(scene, (10, 10), 1)[:, 1:-1] == 255).all()
    assert decode(scene, (8, 24), 3).shape == (8, 24, 3)


def test_integers_of_8_or_of_16_bits_are_not_guessed(tmp_path: Path) -> None:
    for value, refused in ((0, False), (200, True), (257, False)):
        Image.new("I", (8, 8), value).save(tmp_path / "a.tif")
        if refused:
            with pytest.raises(DataError, match="32-bit integers up to 255"):
                decode(tmp_path / "a.tif", (8, 8), 1)
        else:
            assert decode(tmp_path / "a.tif", (8, 8), 1).max() == value // 257


def test_an_image_that_is_given_stays_as_it_is(tmp_path: Path) -> None:
    halves(800, 600).save(tmp_path / "a.jpg")
    with Image.open(tmp_path / "a.jpg") as given:
        decode(given, (8, 8), 3)
        assert given.size == (800, 600)


def test_resizing_is_smooth() -> None:
    stripes = np.tile(np.array([[0], [255]], dtype=np.uint8), (32, 64))  # rows 0, 255, 0, 255 …
    small = decode(Image.fromarray(stripes), (16, 16), 1)
    assert np.abs(small[1:-1].astype(int) - 127).max() < 10


def test_large_jpegs_are_reduced_without_visible_change(tmp_path: Path) -> None:
    ramp = np.linspace(0, 255, 512).astype(np.uint8)
    image = Image.fromarray(np.stack([np.tile(ramp, (512, 1))] * 3, axis=2))
    image.save(tmp_path / "a.jpg", quality=95)
    difference = decode(tmp_path / "a.jpg", (32, 32), 3).astype(int) - decode(image, (32, 32), 3)
    assert np.abs(difference).max() <= 4


def png(width: int, height: int, colour_type: int = 2) -> bytes:
    """A file of some 100 bytes whose header claims any size."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, colour_type, 0, 0, 0)
    data = zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def half_of(image: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()[: buffer.tell() // 2]


NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
DAMAGED = {
    "empty.jpg": (b"", "empty"),
    "text.jpg": (b"this is not a picture at all", "not an image"),
    "truncated.jpg": (half_of(NOISE, "JPEG"), "truncated"),
    "truncated.png": (half_of(NOISE, "PNG"), "damaged"),
    "truncated.webp": (half_of(NOISE, "WEBP"), "damaged"),
    "truncated.gif": (half_of(NOISE, "GIF"), "truncated"),
    "truncated.tif": (half_of(NOISE, "TIFF"), "truncated"),
    "bomb.png": (png(100_000, 1_000), "more than the 80,000,000"),
    "larger_bomb.png": (png(60_000, 60_000), "80,000,000"),
    "no_pixels.png": (png(0, 5), "not an image"),
    "postscript.jpg": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image"),
    "lying.png": (png(1_000, 1_000), "damaged"),
    "no_palette.png": (png(9, 9, colour_type=3), "damaged$"),
}


@pytest.mark.filterwarnings("default::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_files_give_a_reason(tmp_path: Path, name: str) -> None:
    content, reason = DAMAGED[name]
    (tmp_path / name).write_bytes(content)
    with module.quiet_pillow(), pytest.raises(DataError, match=reason) as caught:
        decode(tmp_path / name, (8, 8), 3)
    assert str(tmp_path) not in str(caught.value)


def test_missing_files_and_folders_give_a_reason(tmp_path: Path) -> None:
    for path, reason in ((tmp_path / "none.png", "file not found"), (tmp_path, "is a directory")):
        with pytest.raises(DataError, match=reason):
            decode(path, (8, 8), 3)
        with pytest.raises(DataError, match=reason):
            inspect(path)


@pytest.mark.timeout(20)
def test_pipes_and_devices_are_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "endless.png").symlink_to("/dev/zero")
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    for name, reason in (
        ("pipe.png", "not a regular"),
        ("endless.png", "not a regular"),
        ("loop.png", "symbolic links"),
    ):
        for read in (inspect, lambda path: decode(path, (8, 8), 3)):
            with pytest.raises(DataError, match=reason):
                read(tmp_path / name)


@pytest.mark.parametrize(
    ("low", "high", "kind"),
    [(0, 65_000, "f4"), (-1, 1, "f4"), (-2.1, 2.6, "f4"), (0, 100_000, "i4"), (-300, 9_000, "i4")],
)
def test_numbers_of_another_scale_are_no_white_images(
    tmp_path: Path, low: float, high: float, kind: str
) -> None:
    """Most of their pixels would be white, or black; in arrays they are an error, too."""
    pixels = np.linspace(low, high, 64).reshape(8, 8).astype(kind)
    Image.fromarray(pixels).save(tmp_path / "a.tiff")
    with pytest.raises(DataError, match=r"go from 0 to .* its pixels from"):
        decode(tmp_path / "a.tiff", (8, 8), 1)


def test_not_finite_floats_are_damage() -> None:
    with pytest.raises(DataError, match="finite"):
        decode(Image.fromarray(np.full((8, 8), np.nan, dtype=np.float32)), (8, 8), 1)


def test_random_bytes_never_escape(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for kind in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM"):
        buffer = io.BytesIO()
        NOISE.resize((16, 16)).save(buffer, kind)
        for _ in range(40):
            content = bytearray(buffer.getvalue())
            for position in generator.integers(0, min(len(content), 200), 5):
                content[position] = generator.integers(0, 256)
            try:
                with module.quiet_pillow():
                    pixels = decode(bytes(content), (8, 8), 3)
            except DataError:
                continue
            assert pixels.shape == (8, 8, 3)


def test_huge_images_are_decoded_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HUGE", 1_000)
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (600, 40, 4), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    inside, most = [0], [0]
    fit = ImageOps.fit

    def slow(*arguments: Any) -> Image.Image:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        time.sleep(0.02)
        inside[0] -= 1
        return fit(*arguments)

    monkeypatch.setattr(module.ImageOps, "fit", slow)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: decode(tmp_path / "a.png", (8, 8), 3), range(8)))
    assert most == [1]
    # Strips make no difference.
    whole = Image.fromarray(pixels)
    whole = Image.alpha_composite(Image.new("RGBA", whole.size, "white"), whole).convert("RGB")
    expected = np.asarray(fit(whole, (8, 8), Image.Resampling.BILINEAR))
    assert all(np.array_equal(image, expected) for image in found)
