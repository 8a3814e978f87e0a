"""A data set in its three splits; the test split opens only by name, with a log line."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from gcnas.data.preprocessing import Preprocessing
from gcnas.data.store import map_images


@dataclass(frozen=True, eq=False)
class Split:
    """Images and labels of one split.

    Attributes:
        images: (N, H, W, C) uint8; an array in memory, or a read-only ``numpy.memmap``.
        labels: (N,) int64 in ``0 .. classes - 1``.
    """

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def in_memory(self) -> bool:
        """Whether the pixels lie in memory shared with nobody; if not, stream them with :meth:`take`."""
        return not isinstance(self.images, np.memmap) and self.images.flags.writeable

    def take(self, indices: np.ndarray) -> np.ndarray:
        """The images at ``indices`` (n,), copied into memory as (n, H, W, C) uint8."""
        return np.asarray(self.images[indices])


@dataclass(frozen=True)
class _MappedFile:
    """What is pickled in place of a memory map, so that worker processes map the file instead of copying it."""

    path: Path


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set with its splits made and its images at the final resolution.

    Attributes:
        name: Short name for tables and run folders.
        images: (N, H, W, C) uint8, search-train rows first, then search-validation; no test images.
        labels: (N,) int64, in the order of ``images``.
        class_names: Name of each class, by label.
        train_index: (n,) int64, rows of ``images`` in search-train.
        validation_index: (n,) int64, rows of ``images`` in search-validation.
        preprocessing: How a file became one of these images.
        fingerprint: 16 hexadecimal digits of the SHA-256 of pixels, labels, splits and class names.
        splits: 16 hexadecimal digits of the SHA-256 of which image of the source is in which split.
        notices: What the user should know about the data, one sentence each.
        mirror: Whether a left-right mirrored image keeps its label, measured on search-train and -validation.
    """

    name: str
    images: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]
    train_index: np.ndarray
    validation_index: np.ndarray
    preprocessing: Preprocessing
    fingerprint: str
    splits: str
    notices: tuple[str, ...]
    mirror: bool
    _test: Split = field(repr=False)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of every image."""
        height, width = self.preprocessing.resolution
        return self.preprocessing.channels, height, width

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    @property
    def size_test(self) -> int:
        """Number of test images; counting them is not opening the split."""
        return len(self._test)

    def train(self) -> Split:
        """The search-train split: a view, nothing is copied."""
        return self._rows(self.train_index)

    def validation(self) -> Split:
        """The search-validation split (the reward): a view, nothing is copied."""
        return self._rows(self.validation_index)

    def train_and_validation(self) -> Split:
        """Both search splits together, for the final training: a view, nothing is copied."""
        return Split(self.images, self.labels)

    def open_test(self, purpose: str, log: Callable[[str], None]) -> Split:
        """Open the test split, the only way to its images and labels.

        Args:
            purpose: Why it is opened; handed to ``log`` before anything is returned.
            log: Records the opening; if it raises, the split stays closed.
        """
        log(purpose)
        return self._test

    def for_workers(self, file: Path) -> "Dataset":
        """The same data without its test images, and with the others in a file that processes share.

        Pickled, it holds the name of the file in place of the images; each process maps it, and the system
        keeps it in memory once.

        Args:
            file: Where to put the images; not used where they are in a file already.

        Raises:
            DataError: If the file cannot be written.
        """
        return replace(self.without_test(), images=map_images(self.images, file))

    def without_test(self) -> "Dataset":
        """The same data without its test images."""
        return replace(self, _test=Split(self.images[:0], self.labels[:0]))

    def _rows(self, index: np.ndarray) -> Split:
        # Each split is one contiguous block of rows, so a slice serves and a memory map stays one.
        rows = slice(int(index[0]), int(index[-1]) + 1)
        return Split(self.images[rows], self.labels[rows])

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)
        state["images"] = _unmap(self.images)
        state["_test"] = (_unmap(self._test.images), self._test.labels)
        return state

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        images, (test_images, test_labels) = _remap(state["images"]), state["_test"]
        self.__dict__.update(state, images=images, _test=Split(_remap(test_images), test_labels))


def _unmap(images: np.ndarray) -> np.ndarray | _MappedFile:
    if isinstance(images, np.memmap) and images.filename is not None:
        return _MappedFile(Path(images.filename))
    return images


def _remap(images: np.ndarray | _MappedFile) -> np.ndarray:
    if isinstance(images, _MappedFile):
        mapped: np.ndarray = np.load(images.path, mmap_mode="r", allow_pickle=False)
        return mapped
    return images
