"""``.npz`` files from strangers: sizes are checked before anything is unpacked, and nothing is unpickled."""

import io
import math
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from gcnas.data.arrays import read_arrays, select
from gcnas.data.source import Source
from gcnas.errors import DataError

MAX_BYTES = 8 * 2**30
"""Most that the arrays used may take in memory."""

MAX_RATIO = 250
"""Most that an array above ``RATIO_FROM`` bytes may shrink by compression; images shrink by less than 20."""

RATIO_FROM = 64 * 2**20

# The longest header that NumPy itself accepts from files that are not trusted.
_MAX_HEADER = 10_000
DAMAGED = (
    OSError, EOFError, ValueError, SyntaxError, RuntimeError, NotImplementedError, struct.error, zlib.error,
    zipfile.BadZipFile, OverflowError, RecursionError,
)  # fmt: skip
"""What reading a damaged archive raises."""


@dataclass(frozen=True)
class ArrayHeader:
    """What an array says about itself: bytes of numbers, bytes before them, whether it has objects."""

    bytes: int
    offset: int
    objects: bool


def read_npz(path: Path) -> Source:
    """Read images and labels from an ``.npz`` file.

    Raises:
        DataError: The file is damaged, too large, pickled, or has no images and labels.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = {i.filename[:-4]: i for i in archive.infolist() if i.filename.endswith(".npy")}
            selection = select(members)
            _check_sizes(archive, {name: members[name] for name in selection.used}, path)
            arrays = {name: _read(archive, members[name]) for name in selection.used}
    except DAMAGED as error:
        raise DataError(f"{path} cannot be read as .npz (numpy.savez): {error}.") from error
    return read_arrays(arrays, selection, path.stem, "npz")


def _check_sizes(archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], path: Path) -> None:
    total = 0
    for name, info in members.items():
        with archive.open(info) as file:
            header = read_header(file)
        if header.objects:
            raise DataError(
                f"'{name}' in {path} holds Python objects, which are never unpickled. "
                "Save it as an array of numbers or text."
            )
        if header.bytes + header.offset != info.file_size:
            raise DataError(
                f"'{name}' in {path} claims {header.bytes:,} bytes but holds "
                f"{info.file_size - header.offset:,}: the file is damaged."
            )
        if info.file_size > RATIO_FROM and info.file_size > MAX_RATIO * max(info.compress_size, 1):
            raise DataError(
                f"'{name}' in {path} would unpack to {info.file_size // max(info.compress_size, 1)} times "
                f"its size, more than images do ({MAX_RATIO}). Save it with numpy.savez if it is genuine."
            )
        total += header.bytes
    if total > MAX_BYTES:
        raise DataError(
            f"Arrays may take {MAX_BYTES / 2**30:g} GiB in memory; those in {path} take "
            f"{total / 2**30:.1f} GiB. Save smaller images, or a folder of image files."
        )


def read_header(file: IO[bytes]) -> ArrayHeader:
    """Read the header of an array in the ``.npy`` format, versions 1 and 2.

    Raises:
        ValueError: If it is damaged, or of another version.
    """
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"version {version} of the .npy format is not supported")
    size = 2 if version == (1, 0) else 4
    prefix = file.read(size)
    length = int.from_bytes(prefix, "little")
    if len(prefix) != size or length > _MAX_HEADER:
        raise ValueError("the header of an array is damaged")
    read = np.lib.format.read_array_header_1_0 if size == 2 else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(io.BytesIO(prefix + file.read(length)), max_header_size=_MAX_HEADER)
    if any(side < 0 for side in shape):
        raise ValueError("the shape of an array is negative")
    return ArrayHeader(math.prod(shape) * dtype.itemsize, 8 + size + length, dtype.hasobject)


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> np.ndarray:
    with archive.open(info) as file:
        array: np.ndarray = np.lib.format.read_array(file, allow_pickle=False)
        return array
