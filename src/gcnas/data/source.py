"""What reading a source yields before any image is resized: images, labels and the splits given."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from gcnas.errors import DataError

UNSPLIT, TRAIN, VALIDATION, TEST = -1, 0, 1, 2
"""Codes of the splits in ``Source.given`` and in whatever is made of it."""

SPLIT_NAMES = ("train", "validation", "test")
"""Names of the splits, by code."""

SPLIT_WORDS = {
    "train": TRAIN,
    "training": TRAIN,
    "val": VALIDATION,
    "valid": VALIDATION,
    "validation": VALIDATION,
    "test": TEST,
    "testing": TEST,
}
"""Words that users call the splits by, in lower case."""

AT_ONCE = 2**26
"""Bytes of working copies of images that are handled at once."""

MAX_CLASSES = 10_000
"""More different labels than this are a mistake, such as labels that are really numbers to predict."""


@dataclass(frozen=True)
class Survey:
    """What the headers of the images say.

    Attributes:
        sizes: (N, 2) width and height as shown, 0 where the image cannot be read.
        modes: Channel mode of each image as Pillow calls it, empty where it cannot be read.
        broken: Reason by row, for images that cannot be read.
        grey: Whether all images are grey; of those stored in colour, a sample was looked at.
    """

    sizes: np.ndarray
    modes: tuple[str, ...]
    broken: dict[int, str]
    grey: bool


@dataclass(frozen=True)
class Block:
    """Decoded images of consecutive rows.

    Attributes:
        start: First row.
        pixels: (n, H, W, C) uint8; zeros where the image could not be decoded.
        broken: Reason by row, for images that could not be decoded.
    """

    start: int
    pixels: np.ndarray
    broken: dict[int, str]


class Images(Protocol):
    """Images of a source, read when they are asked for."""

    def __len__(self) -> int:
        """Number of images, broken ones included."""
        ...

    def describe(self, row: int) -> str:
        """What to call an image in messages, such as its path."""
        ...

    def survey(self) -> Survey:
        """Look at all headers."""
        ...

    def blocks(self, resolution: tuple[int, int], channels: int) -> Iterator[Block]:
        """Decode all images in order, a bounded number at a time."""
        ...


@dataclass(frozen=True)
class Source:
    """Images with labels, as found.

    Attributes:
        name: Short name.
        kind: ``digits``, ``folder``, ``csv``, ``npz`` or ``arrays``.
        images: The images, N of them.
        labels: (N,) int64.
        class_names: Name of each class, by label.
        given: (N,) int8, the split that the source puts each image into, or ``UNSPLIT``.
        notices: What the user should know, one sentence each.
        other_files: Number of files passed over because their names do not say that they are images.
    """

    name: str
    kind: str
    images: Images
    labels: np.ndarray
    class_names: tuple[str, ...]
    given: np.ndarray
    notices: tuple[str, ...] = ()
    other_files: int = 0


def number_classes(names: Sequence[str], where: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Turn N class names into labels (N,) int64 and the ordered names; names that are all integers by value.

    Raises:
        DataError: There are fewer than 2 or more than ``MAX_CLASSES`` different names.
    """
    found = set(names)
    if not 2 <= len(found) <= MAX_CLASSES:
        shown = f" ({next(iter(found))!r})" if len(found) == 1 else ""
        raise DataError(
            f"There must be 2 to {MAX_CLASSES:,} classes; {where} has {len(found):,}{shown}. "
            "Give every image the name of what it shows."
        )
    ordered = tuple(sorted(found, key=int) if all(map(_is_integer, found)) else sorted(found))
    number = {name: label for label, name in enumerate(ordered)}
    return np.array([number[name] for name in names], dtype=np.int64), ordered


def _is_integer(name: str) -> bool:
    digits = name.removeprefix("-")
    return digits.isascii() and digits.isdigit() and len(digits) <= 18 and str(int(name)) == name


def batches(count: int, row_bytes: int, most: int = 4096) -> Iterator[slice]:
    """All of so many images in order, so many at once as fit into :data:`AT_ONCE`.

    Args:
        count: Images.
        row_bytes: Bytes that a working copy of one takes.
        most: Images at once, however small they are.
    """
    size = max(1, min(most, AT_ONCE // max(row_bytes, 1)))
    yield from (slice(start, min(start + size, count)) for start in range(0, count, size))
