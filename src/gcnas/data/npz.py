"""``.npz`` files from strangers: sizes are checked before anything is unpacked, and nothing is unpickled."""

import io
import lzma
import math
import struct
import tokenize
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO

import numpy as np

from gcnas.data.arrays import read_arrays, select
from gcnas.data.source import Source
from gcnas.errors import DataError

MAX_BYTES = 8 * 2**30
"""Most that the arrays used may take in memory."""

MAX_RATIO = 250
"""Most that an array above ``RATIO_FROM`` bytes may shrink by compression; images shrink by less than 20."""

RATIO_FROM = 64 * 2**20

MAX_DIRECTORY = 2**20
"""Bytes that the names and places of all arrays may take in the file; each array takes some hundred."""

# The record at the end of an archive; its 64-bit form stands before it, and a comment may follow.
_RECORD = 22
_END_BYTES = 76 + _RECORD + 2**16

PACKED = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA}
"""How members of an archive may be packed."""

# The longest header that NumPy itself accepts from files that are not trusted.
_MAX_HEADER = 10_000
DAMAGED = (
    OSError, EOFError, ValueError, SyntaxError, RuntimeError, NotImplementedError, struct.error, zlib.error,
    zipfile.BadZipFile, OverflowError, RecursionError, TypeError, tokenize.TokenError, lzma.LZMAError,
)  # fmt: skip
"""What reading a damaged archive raises."""


@dataclass(frozen=True)
class ArrayHeader:
    """What an array says about itself: its shape, bytes of numbers, bytes before them, whether it has objects."""

    shape: tuple[int, ...]
    bytes: int
    offset: int
    objects: bool


def read_npz(path: Path) -> Source:
    """Read images and labels from an ``.npz`` file.

    Raises:
        DataError: The file is damaged, too large, pickled, or has no images and labels.
    """
    try:
        with path.open("rb") as file, checked_archive(file, path) as archive:
            members = {i.filename[:-4]: i for i in archive.infolist() if i.filename.endswith(".npy")}
            selection = select(members)
            _check_sizes(archive, {name: members[name] for name in selection.used}, path)
            arrays = {name: _read(archive, members[name]) for name in selection.used}
    except DAMAGED as error:
        raise DataError(f"{path} cannot be read as .npz (numpy.savez): {error}.") from error
    except MemoryError as error:
        raise DataError(f"{path} takes more memory than there is.") from error
    return read_arrays(arrays, selection, path.stem, "npz")


def checked_archive(file: BinaryIO, path: Path) -> zipfile.ZipFile:
    """Open an archive, but not if its list of members is so long that reading it alone would fill the memory.

    The record at the end says how long it is (APPNOTE.TXT of the zip format, 4.3.14 and 4.3.16).

    Raises:
        DataError: If the list is too long.
        zipfile.BadZipFile: If it is no archive.
    """
    whole = file.seek(0, io.SEEK_END)
    file.seek(max(0, whole - _END_BYTES))
    end = file.read()
    plain = end[-_RECORD:-18] == b"PK\5\6" and end[-2:] == b"\0\0"
    place = len(end) - _RECORD if plain else end.rfind(b"PK\5\6")
    if not 0 <= place <= len(end) - _RECORD:
        return zipfile.ZipFile(file)  # no archive, as this will say
    size = int.from_bytes(end[place + 12 : place + 16], "little")
    if end[place - 20 : place - 16] == b"PK\6\7":
        # Readers look for the long record where they are told, or just here: only what is the same to all is read.
        told, here = int.from_bytes(end[place - 12 : place - 4], "little"), whole - len(end) + place - 76
        if told != here or end[place - 76 : place - 72] != b"PK\6\6":
            raise zipfile.BadZipFile("its 64-bit record is not where it belongs")
        size = int.from_bytes(end[place - 36 : place - 28], "little")
    if size > MAX_DIRECTORY:
        raise DataError(
            f"The list of the arrays in {path} takes {size:,} bytes; more than {MAX_DIRECTORY:,} are not read. "
            "Save only what is used in it."
        )
    archive = zipfile.ZipFile(file)
    # Newer Pythons know more, whose errors are none of those below.
    if strange := next((i for i in archive.infolist() if i.compress_type not in PACKED), None):
        raise NotImplementedError(
            f"{strange.filename} is packed by method {strange.compress_type}, which is not read"
        )
    return archive


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
        check_ratio(info, path)
        total += header.bytes
    if total > MAX_BYTES:
        raise DataError(
            f"Arrays may take {MAX_BYTES / 2**30:g} GiB in memory; those in {path} take "
            f"{total / 2**30:.1f} GiB. Save smaller images, or a folder of image files."
        )


def check_ratio(info: zipfile.ZipInfo, path: Path) -> None:
    """Refuse an array that unpacks to far more than its size.

    Raises:
        DataError: If it does.
    """
    if info.file_size > RATIO_FROM and info.file_size > MAX_RATIO * max(info.compress_size, 1):
        raise DataError(
            f"'{info.filename.removesuffix('.npy')}' in {path} would unpack to "
            f"{info.file_size // max(info.compress_size, 1)} times its size, more than {MAX_RATIO} are not read. "
            "Save it with numpy.savez if it is genuine."
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
    return ArrayHeader(shape, math.prod(shape) * dtype.itemsize, 8 + size + length, dtype.hasobject)


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> np.ndarray:
    with archive.open(info) as file:
        array: np.ndarray = np.lib.format.read_array(file, allow_pickle=False)
        return array
