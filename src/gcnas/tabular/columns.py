"""Columns of a table file as text: CSV, gzip'ed CSV, or npz, with bounded sizes."""

import csv
import gzip
import hashlib
import io
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from gcnas.data.npz import DAMAGED, check_ratio, checked_archive, read_header
from gcnas.errors import DataError

MAX_RATIO = 200
"""Most bytes of a table for each byte that it is packed in; numbers have far fewer."""

MAX_BYTES = 2**30
"""Largest table, on the disk and unpacked."""

MAX_ROWS = 5_000_000
MAX_COLUMNS = 10_000
MAX_TEXT = 2**17
"""Characters of a cell, as many as a CSV file may have in one."""


def read_file(path: Path) -> bytes:
    """The content of a table file.

    Raises:
        DataError: If it is missing, cannot be read, or is too large.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DataError(f"A table has at most {MAX_BYTES:,} bytes; {path} has more.")
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"The table {path} cannot be read: {error.strerror or error}.") from None


def check_sum(content: bytes, expected: str, path: Path) -> None:
    """Hold a file against the SHA-256 of the one that was checked.

    Raises:
        DataError: If it is another.
    """
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise DataError(
            f"{path} is not the file that was checked: its SHA-256 is {found}, expected {expected}. If your copy is "
            "meant to differ, give --no-checksum; results are then not comparable with those of others."
        )


def read_columns(content: bytes, names: Sequence[str], path: Path) -> dict[str, list[str]]:
    """Columns by name, all of the same length.

    Args:
        content: The file.
        names: Columns wanted.
        path: Where it is from, for messages.

    Raises:
        DataError: If the file is damaged, too large, or lacks a column.
    """
    try:
        if content[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
            return _npz_columns(content, names, path)
        if content[:2] == b"\x1f\x8b":
            with gzip.open(io.BytesIO(content), "rb") as unpacked:
                most = min(MAX_BYTES, MAX_RATIO * len(content))
                content = unpacked.read(most + 1)
            if most < len(content) <= MAX_BYTES:
                raise DataError(
                    f"{path} has more than {MAX_RATIO} times its own bytes unpacked; that is no table."
                )
        if len(content) > MAX_BYTES:
            raise DataError(f"A table has at most {MAX_BYTES:,} bytes unpacked; {path} has more.")
        return _csv_columns(content.decode("utf-8-sig"), names, path)
    except (*DAMAGED, csv.Error, UnicodeDecodeError, zlib.error) as error:
        raise DataError(f"{path} cannot be read as CSV, CSV.gz or npz: {error}.") from None
    except MemoryError:
        raise DataError(f"{path} takes more memory than there is.") from None


def _csv_columns(text: str, names: Sequence[str], path: Path) -> dict[str, list[str]]:
    rows = csv.reader(_lines(text, path), strict=True)
    header = [name.strip() for name in next(rows, [])]
    positions = [_position(header, name, path) for name in names]
    columns: list[list[str]] = [[] for _ in names]
    for row in _checked(rows, len(header), path):
        for column, position in zip(columns, positions, strict=True):
            column.append(row[position])
    return dict(zip(names, columns, strict=True))


def _lines(text: str, path: Path) -> Iterator[str]:
    """The lines of a text; one of very many cells would fill the memory before it is looked at."""
    for line in io.StringIO(text):
        if line.count(",") >= MAX_COLUMNS:
            raise DataError(
                f"A table has at most {MAX_COLUMNS:,} columns; a line of {path} has {line.count(',') + 1:,}."
            )
        yield line


def _checked(rows: Iterator[list[str]], width: int, path: Path) -> Iterator[list[str]]:
    # Blank lines have no number.
    for number, row in enumerate(filter(None, rows), start=1):
        if len(row) != width:
            raise DataError(f"Row {number} of {path} has {len(row)} cells, but its header has {width}.")
        if number > MAX_ROWS:
            raise DataError(f"A table has at most {MAX_ROWS:,} rows; {path} has more.")
        yield row


def _position(header: Sequence[str], name: str, path: Path) -> int:
    if len(header) > MAX_COLUMNS:
        raise DataError(f"A table has at most {MAX_COLUMNS:,} columns; {path} has {len(header):,}.")
    if header.count(name) != 1:
        shown = ", ".join(header[:40]) + (", …" if len(header) > 40 else "")
        count = f"{header.count(name)} columns" if name in header else "no column"
        raise DataError(f"{path} has {count} called {name!r}; it has {shown or 'no header'}.")
    return header.index(name)


def _npz_columns(content: bytes, names: Sequence[str], path: Path) -> dict[str, list[str]]:
    with checked_archive(io.BytesIO(content), path) as archive:
        members = {i.filename.removesuffix(".npy"): i for i in archive.infolist()}
        columns = {}
        for name in names:
            _position(list(members), name, path)
        if sum(members[name].file_size for name in names) > MAX_BYTES:
            raise DataError(f"The columns of {path} take more than {MAX_BYTES:,} bytes, the most of a table.")
        for name in names:
            columns[name] = _member(archive, members[name], path)
    if len({len(column) for column in columns.values()}) > 1:
        lengths = {name: len(column) for name, column in columns.items()}
        raise DataError(f"The columns of {path} must have the same length, but have {lengths}.")
    return columns


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> list[str]:
    with archive.open(info) as file:
        header = read_header(file)
    if header.objects or header.bytes + header.offset != info.file_size or info.file_size > MAX_BYTES:
        raise DataError(f"{info.filename} in {path} is damaged, too large, or holds Python objects.")
    check_ratio(info, path)
    if len(header.shape) != 1 or header.shape[0] > MAX_ROWS:
        raise DataError(
            f"{info.filename} in {path} must be a list of at most {MAX_ROWS:,} numbers or texts, but has the "
            f"shape {header.shape}."
        )
    if header.bytes > MAX_TEXT * 4 * header.shape[0]:
        raise DataError(f"{info.filename} in {path} has texts of more than {MAX_TEXT:,} characters.")
    with archive.open(info) as file:
        array = np.lib.format.read_array(file, allow_pickle=False)
    if array.dtype.kind not in "USiuf":
        raise DataError(
            f"{info.filename} in {path} must be a list of numbers or texts, but has the type {array.dtype}."
        )
    values = array.tolist()
    return [value.decode() for value in values] if array.dtype.kind == "S" else [str(value) for value in values]
