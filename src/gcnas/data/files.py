"""Images in files: looked at and decoded by a pool of threads."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gcnas.data.decode import GREY_MODES, decode, inspect
from gcnas.data.source import Block, Survey
from gcnas.errors import DataError

MAX_THREADS = 8
_ROWS_AT_ONCE = 512
_GREY_SAMPLE = 128
_GREY_RESOLUTION = (32, 32)
# JPEG may store a grey picture with colours a level or two apart.
_GREY_TOLERANCE = 2


@dataclass(frozen=True)
class FileImages:
    """Images in files, by path; ``shown`` are the paths for messages."""

    paths: tuple[Path, ...]
    shown: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def describe(self, row: int) -> str:
        """The path of a file, relative to what the user gave."""
        return self.shown[row]

    def survey(self) -> Survey:
        """Read the headers of all files."""
        with _threads() as pool:
            headers = [header for _, batch in self._batches() for header in pool.map(_header, batch)]
        sizes = np.array([header[:2] for header in headers], dtype=np.int64).reshape(-1, 2)
        modes = tuple(header[2] for header in headers)
        broken = {row: header[3] for row, header in enumerate(headers) if header[3]}
        coloured = [row for row, mode in enumerate(modes) if mode and mode not in GREY_MODES]
        step = max(1, len(coloured) // _GREY_SAMPLE)
        grey = all(_looks_grey(self.paths[row]) for row in coloured[::step])
        return Survey(sizes, modes, broken, grey)

    def blocks(self, resolution: tuple[int, int], channels: int) -> Iterator[Block]:
        """Decode all files in order."""
        blank = np.zeros((*resolution, channels), dtype=np.uint8)

        def read(path: Path) -> tuple[np.ndarray, str]:
            try:
                return decode(path, resolution, channels), ""
            except DataError as error:
                return blank, str(error)

        with _threads() as pool:
            for start, batch in self._batches():
                images = list(pool.map(read, batch))
                broken = {start + i: reason for i, (_, reason) in enumerate(images) if reason}
                yield Block(start, np.stack([pixels for pixels, _ in images]), broken)

    def _batches(self) -> Iterator[tuple[int, tuple[Path, ...]]]:
        # Handing all paths to the pool at once would keep a future for each in memory.
        for start in range(0, len(self), _ROWS_AT_ONCE):
            yield start, self.paths[start : start + _ROWS_AT_ONCE]


def _threads() -> ThreadPoolExecutor:
    # Each may hold an image of the largest size that is decoded.
    return ThreadPoolExecutor(min(os.cpu_count() or 1, MAX_THREADS))


def _header(path: Path) -> tuple[int, int, str, str]:
    try:
        return *inspect(path), ""
    except DataError as error:
        return 0, 0, "", str(error)


def _looks_grey(path: Path) -> bool:
    try:
        pixels = decode(path, _GREY_RESOLUTION, 3).astype(np.int16)
    except DataError:  # reported when all are decoded
        return True
    return bool((np.ptp(pixels, axis=2) <= _GREY_TOLERANCE).all())
