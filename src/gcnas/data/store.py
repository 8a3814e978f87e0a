"""Decoded images: in memory if they are few, in files that are mapped if they are many."""

import fcntl
import glob
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from gcnas.data.duplicates import digest
from gcnas.data.source import Block, Images
from gcnas.errors import DataError
from gcnas.files import beside

MEMORY_LIMIT = 2**30
"""Bytes of pixels above which images are kept in files."""

_ROWS_AT_ONCE = 1024

Place = Callable[[str, np.ndarray], np.ndarray]
"""Puts the images at some rows (n,) where they stay, under a name: ``place(name, rows)`` -> (n, H, W, C)."""


@dataclass(frozen=True)
class Decoded:
    """What is known of all images once they are decoded.

    Attributes:
        digests: (N, 2) uint64.
        broken: Reason by row, for images that could not be decoded.
        brightest: Highest pixel of all, 0 to 255.
    """

    digests: np.ndarray
    broken: dict[int, str]
    brightest: int


@contextmanager
def decoded(
    images: Images, resolution: tuple[int, int], channels: int, cache: Path | None
) -> Iterator[tuple[Decoded, Place]]:
    """Decode all images once; inside the context, rows can be placed where they stay.

    Raises:
        DataError: The images need files and there is no ``cache`` folder, or no room in it.
    """
    shape = (len(images), *resolution, channels)
    size = int(np.prod(shape, dtype=np.int64))
    if size <= MEMORY_LIMIT:
        pixels = np.zeros(shape, dtype=np.uint8)

        def keep(block: Block) -> None:
            pixels[block.start : block.start + len(block.pixels)] = block.pixels

        yield _consume(images, resolution, channels, keep), lambda _, rows: pixels[rows]
        return
    folder = _cache_folder(cache, size)
    with _disk_refuses(folder), _unfinished(folder / "decoding") as (file, path):
        # Plain writes: a full disk is then an OSError and not a bus error, as it is through a map.
        facts = _consume(images, resolution, channels, lambda block: _write(file.write, block.pixels))
        file.flush()
        staged = np.memmap(path, dtype=np.uint8, mode="r", shape=shape)
        yield facts, lambda name, rows: _to_file(folder / f"{name}.npy", staged, rows)


@contextmanager
def _disk_refuses(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataError(
            f"The images cannot be kept in {folder}: {error}. Make room, or give a smaller resolution."
        ) from error


def decode_only(images: Images, resolution: tuple[int, int], channels: int) -> Decoded:
    """Decode all images and forget the pixels."""
    return _consume(images, resolution, channels, lambda _: None)


def map_images(images: np.ndarray, file: Path) -> np.ndarray:
    """Images (N, H, W, C) as a read-only map of a file, which is written unless they are one already.

    Raises:
        DataError: If it cannot be written.
    """
    if isinstance(images, np.memmap):
        return images
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        return _to_file(file, images, np.arange(len(images)))
    except OSError as error:
        raise DataError(
            f"The images that worker processes share cannot be written to {file}: {error.strerror}. Make room, or use "
            "workers=1."
        ) from error


def _consume(
    images: Images, resolution: tuple[int, int], channels: int, keep: Callable[[Block], None]
) -> Decoded:
    digests, broken, brightest = [np.empty((0, 2), dtype=np.uint64)], {}, 0
    for block in images.blocks(resolution, channels):
        keep(block)
        digests.append(digest(block.pixels))
        broken.update(block.broken)
        brightest = max(brightest, int(block.pixels.max(initial=0)))
    return Decoded(np.concatenate(digests), broken, brightest)


def _write(write: Callable[[bytes], int], pixels: np.ndarray) -> None:
    write(np.ascontiguousarray(pixels).tobytes())


def _cache_folder(cache: Path | None, size: int) -> Path:
    if cache is None:
        raise DataError(
            f"Images of more than {MEMORY_LIMIT / 2**30:g} GiB are kept in files; these take "
            f"{size / 2**30:.1f} GiB. Give a cache folder, or a smaller resolution."
        )
    try:
        cache.mkdir(parents=True, exist_ok=True)
        _sweep(cache / "decoding")
        free = shutil.disk_usage(cache).free
    except OSError as error:
        raise DataError(f"The cache folder {cache} cannot be used: {error.strerror}. Give another.") from error
    if free < 2 * size:
        raise DataError(
            f"Decoding these images takes {2 * size / 2**30:.1f} GiB of disk; {cache} has "
            f"{free / 2**30:.1f} GiB free. Give another cache folder, or a smaller resolution; for a run that has "
            "decoded them before, 'gcnas clean RUN' makes room."
        )
    return cache


def _to_file(path: Path, staged: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Write rows as ``.npy`` and map them; the name appears only once the file is whole."""
    with _unfinished(path) as (file, unfinished):
        header = {"descr": "|u1", "fortran_order": False, "shape": (len(rows), *staged.shape[1:])}
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            _write(file.write, staged[rows[start : start + _ROWS_AT_ONCE]])
        file.flush()
        unfinished.replace(path)
    mapped: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    return mapped


@contextmanager
def _unfinished(path: Path) -> Iterator[tuple[BinaryIO, Path]]:
    """A hidden file beside a path, gone at the end unless it was renamed.

    Several processes may read the same images for the same run: each has its own file, and holds a lock on it, which
    the system lifts when the process ends, however it ends.
    """
    _sweep(path)
    while True:
        unfinished = beside(path)
        with unfinished.open("xb") as file:
            with suppress(OSError):  # some network disks have no locks; then nobody sweeps there either
                fcntl.flock(file, fcntl.LOCK_EX)
            if not os.fstat(file.fileno()).st_nlink:
                continue  # another process found it before it was locked
            try:
                yield file, unfinished
            finally:
                unfinished.unlink(missing_ok=True)
            return


def _sweep(path: Path) -> None:
    """Delete the unfinished files beside a path that no process holds any more."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*"):
        with suppress(OSError), left.open("rb") as file:  # it is another process's, or gone
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            left.unlink()
