"""A CSV file with a path, a label and perhaps a split in each row."""

import csv
import io
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gcnas.data.files import FileImages
from gcnas.data.source import SPLIT_WORDS, UNSPLIT, Source, number_classes
from gcnas.errors import DataError

_PATH_WORDS = frozenset(
    {"path", "image", "image_path", "imagepath", "file", "file_path", "filepath", "filename", "file_name"}
)
_LABEL_WORDS = frozenset({"label", "class", "target", "category", "class_name", "label_name"})
_SPLIT_WORDS = frozenset({"split", "set", "subset", "partition"})
MAX_BYTES = 2**30
"""Of a table that is read: it is in memory, and its cells as well."""
_END = "\0end"
"""A last row of our own: where a quote is still open, it is no row but part of one."""
_EXPECTED = "Expected rows of path,label or path,label,split, with or without a header"


@dataclass(frozen=True)
class _Columns:
    """Positions of the columns; ``header`` is whether the first row names them."""

    path: int
    label: int
    split: int | None
    header: bool
    others: tuple[str, ...] = ()


def read_table(path: Path) -> Source:
    """List the images of a CSV file; paths are relative to its folder. Nothing is decoded yet.

    Raises:
        DataError: The file is not such a table.
    """
    rows = _rows(path)
    columns = _columns([cell.strip() for cell in rows[0][1]], path)
    body = rows[1:] if columns.header else rows
    if not body:
        raise DataError(f"{_EXPECTED}; {path} has no rows below its header.")
    width = len(rows[0][1])
    needed = max(columns.path, columns.label, columns.split or 0) + 1
    for line, cells in body:
        if len(cells) < needed or not cells[columns.path].strip() or not cells[columns.label].strip():
            raise DataError(f"{_EXPECTED}; line {line} of {path} has an empty or missing cell.")
        if any(cell.strip() for cell in cells[width:]):
            raise DataError(f"{_EXPECTED}; line {line} of {path} has more cells than the first row.")
        if any("\n" in cells[column].strip() for column in (columns.path, columns.label)):
            raise DataError(
                f"{_EXPECTED}; the row that ends in line {line} of {path} goes over several lines: is a quote never "
                "closed?"
            )
    shown = tuple(cells[columns.path].strip() for _, cells in body)
    # The same letters have several forms in Unicode.
    names = [unicodedata.normalize("NFC", cells[columns.label].strip()) for _, cells in body]
    labels, class_names = number_classes(names, str(path))
    notices = [f"Columns not used: {', '.join(columns.others)}."] if columns.others else []
    if long := [(line, cells) for line, cells in body if any("\n" in cell.strip() for cell in cells)]:
        line, cells = long[0]
        begin = line - sum(cell.count("\n") for cell in cells)
        notices.append(
            f"Rows that go over several lines: {len(long):,}, the first from line {begin} to {line}; if it should not, "
            "a quote is not closed where it should be."
        )
    # Tables made on Windows separate folders by backslashes.
    paths = tuple(path.parent / cell.replace("\\", "/") for cell in shown)
    return Source(
        name=path.stem,
        kind="csv",
        images=FileImages(paths, shown),
        labels=labels,
        class_names=class_names,
        given=_splits(body, columns.split, path),
        notices=tuple(notices),
    )


def _rows(path: Path) -> list[tuple[int, list[str]]]:
    """Line number and cells of every row that is not empty."""
    try:
        if (size := path.stat().st_size) > MAX_BYTES:
            raise DataError(f"{path} has {size:,} bytes; tables of at most {MAX_BYTES:,} are read.")
        text = path.read_text(encoding="utf-8-sig")
        first = next((line for line in text.splitlines() if line.strip()), "")
        delimiter = max(",;\t", key=first.count)
        rows = list(_read(text, delimiter))
    except UnicodeDecodeError as error:
        raise DataError(f"{_EXPECTED}, as UTF-8 text; {path} is not: {error.reason}.") from error
    except csv.Error as error:
        raise DataError(f"{_EXPECTED}; {path} cannot be read as CSV: {error}") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error
    if not rows:
        raise DataError(f"{_EXPECTED}; {path} is empty.")
    return rows


def _read(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Line number and cells of every row that is not empty.

    Raises:
        csv.Error: If a row never ends.
    """
    reader = csv.reader(
        io.StringIO(f"{text}\n{_END}\n", newline=""), delimiter=delimiter, skipinitialspace=True
    )
    begin = before = 0
    row: list[str] = []
    while row != [_END]:
        try:
            row = next(reader)
        except StopIteration:
            raise csv.Error(_never_closed(begin, "it never ends")) from None
        except csv.Error as error:
            raise csv.Error(_never_closed(before, str(error))) from error
        begin, before = before, reader.line_num
        if row != [_END] and any(cell.strip() for cell in row):
            yield before, row


def _never_closed(line: int, reason: str) -> str:
    return f"the row that begins after line {line}: {reason}; is a quote never closed?"


def _columns(first: Sequence[str], path: Path) -> _Columns:
    names = [name.lower().replace(" ", "_").replace(".", "_") for name in first]
    at_path, at_label, at_split = (
        next((i for i, name in enumerate(names) if name in words), None)
        for words in (_PATH_WORDS, _LABEL_WORDS, _SPLIT_WORDS)
    )
    if at_path is not None and at_label is not None:
        others = tuple(
            name or "one without a name"
            for i, name in enumerate(first)
            if i not in (at_path, at_label, at_split)
        )
        return _Columns(at_path, at_label, at_split, True, others)
    if len(first) in (2, 3) and Path(first[0]).suffix:
        return _Columns(0, 1, 2 if len(first) == 3 else None, False)
    raise DataError(
        f"{_EXPECTED}; the first row of {path} is {', '.join(first[:6])[:80]!r}. "
        "Name the columns path, label and, if there is one, split."
    )


def _splits(body: Sequence[tuple[int, list[str]]], column: int | None, path: Path) -> np.ndarray:
    given = np.full(len(body), UNSPLIT, dtype=np.int8)
    if column is None:
        return given
    words = [cells[column].strip().lower() for _, cells in body]
    if not any(words):
        return given
    for row, word in enumerate(words):
        if word not in SPLIT_WORDS:
            raise DataError(
                f"A split is train, validation or test; line {body[row][0]} of {path} says {word[:40]!r}. "
                "Fill the column in every row or leave it out."
            )
        given[row] = SPLIT_WORDS[word]
    return given
